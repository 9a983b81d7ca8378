/** Who may page user memory in: a walk in task context does, an NMI and whoever has interrupts off do not. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { UserAddr } from '../../emu/memory/address.js';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import { Kernel, newTracer } from './harness.js';

const GETPID = 39;
/** getpid(1) of `untouched`: a frame that lies in a page which nothing has touched. */
const FRESH_PAGE = 1n;

let kernel: Kernel;
afterEach(() => kernel.close());
beforeEach(() => start());

function start(commandLine = ''): void {
  kernel?.close();
  kernel = new Kernel('untouched', { commandLine });
  kernel.runToSyscall(GETPID, FRESH_PAGE);
}

/** Whether the frame that the user's rbp points at is in memory. */
const present = (): boolean => kernel.readUser(kernel.task.cr3, kernel.regs.bp as UserAddr) !== undefined;

/** unwind_user() of the current task, called by the host. */
function walk(): bigint[] {
  const trace = kernel.alloc(16);
  const entries = kernel.alloc(4096);
  kernel.write64(trace + BigInt(kernel.constant('TRACE_entries')), entries);
  expect(kernel.call('unwind_user', trace, 511n)).toBe(0n);
  const nr = Number(kernel.read64(trace));
  return Array.from({ length: nr }, (_, i) => kernel.read64(entries + BigInt(8 * i)));
}

test('the walk of a task work faults the page in, and goes on through it', () => {
  const tracer = newTracer(kernel);
  const { ip, bp } = kernel.regs;
  const { cr3 } = kernel.task;
  expect(present()).toBe(false);
  tracer.request();
  expect(present()).toBe(false);
  kernel.runToUser();
  expect(kernel.readUser(cr3, bp as UserAddr)).toBe(0n);
  expect(tracer.callbacks[0]!.entries).toEqual([ip, 0n]); // fresh memory is zeros: a return address of 0
});

test('a walk with interrupts on may fault, one with interrupts off ends at the page that is not there', () => {
  const { ip } = kernel.regs;
  const { state } = kernel.cpu;
  state.clearSystemFlags(kernel.constant('X86_EFLAGS_IF'));
  expect(walk()).toEqual([ip]);
  expect(present()).toBe(false);
  state.rflags |= kernel.constant('X86_EFLAGS_IF');
  expect(walk()).toEqual([ip, 0n]);
  expect(present()).toBe(true);
});

test('a sample in an NMI touches no user memory: it has no user part, and the page stays away', () => {
  start('trace=perf perf.source=nmi perf.period=2000000000');
  kernel.nmi();
  kernel.runTo('trace_syscall_enter'); // where it hit
  expect(present()).toBe(false);
  const sample = kernel.samples.perf.findLast((record) => record.type === 'sample')!;
  expect(sample.callchain).not.toContain(CONTEXT.USER_DEFERRED);
});

test('a page fault in an NMI ends the kernel: its IRET would let in another NMI', () => {
  kernel.nmi();
  kernel.runTo('perf_nmi');
  expect(() => walk()).toThrow('debug-exit');
  expect(kernel.console).toMatch(/^panic: page fault .* in NMI$/m);
});

test('max = 0 is -EINVAL, and max ends the walk', () => {
  const trace = kernel.alloc(16);
  expect(BigInt.asIntN(32, kernel.call('unwind_user', trace, 0n))).toBe(-22n);
  kernel.write64(trace + BigInt(kernel.constant('TRACE_entries')), kernel.alloc(64));
  kernel.call('unwind_user', trace, 1n);
  expect(kernel.read64(trace)).toBe(1n);
  expect(present()).toBe(false);
});
