/**
 * Every guest program under both tracers: what it prints, how it ends, and each of its user stacks. Two implementations of
 * the walk must agree frame by frame: the kernel's, as its tracers record it, and the host's, from the registers that the
 * entry saved.
 */
import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import type { UserAddr } from '../../emu/memory/address.js';
import type { PtRegs } from '../../src/guest/pt-regs.js';
import { openImage } from '../../src/lab/open.js';
import { type Walk, walkFramePointers } from '../../src/unwind/walk.js';
import { type StatedRun, type StatedStack, statedRuns, withinLimit } from '../guest-user/stated.js';
import { BANNER, FAULT_REPORT, Kernel } from './harness.js';

const LIMIT = 511;
const SYSCALL_NUMBERS: Readonly<Record<string, bigint>> = { getpid: 39n, wait4: 61n, write: 1n };

/** All but the 10,000 calls of `roundtrip`: `roundtrip 500` is the same, and has its own turn. */
const RUNS = statedRuns().filter((run) => run.image !== 'roundtrip' || run.arguments.length > 0);

let kernel: Kernel;
afterEach(() => kernel.close());

const commandOf = (run: StatedRun): string => [run.image, ...run.arguments].join(' ');

/** One entry from user mode that ended in a walk. */
interface Entry {
  readonly tid: number;
  readonly cookie: bigint;
  readonly regs: PtRegs;
  readonly walk: Walk;
  /** An exiting task has no memory any more, and its trace is empty. */
  readonly hasMemory: boolean;
}

/** Collects the entries of all tasks from here on, each with the host's walk. */
function watchEntries(): Entry[] {
  const entries: Entry[] = [];
  const entered = new Map<number, PtRegs>();
  const enter = (): boolean => {
    const regs = kernel.guest.regs(kernel.argument);
    if (regs.cs === BigInt(kernel.constant('USER_CS'))) entered.set(kernel.task.pid, regs);
    return false;
  };
  kernel.watch('trace_syscall_enter', enter);
  kernel.watch('do_vector', enter);
  kernel.watch('unwind_reset_info.begin', () => {
    entered.delete(kernel.task.pid);
    return false;
  });
  // By now the kernel's walk has paged in what it needed; the registers are those of the entry.
  kernel.watch('ftrace_unwound', () => {
    const { task } = kernel;
    const regs = entered.get(task.pid) ?? kernel.regs; // a new task has left the kernel without having entered it
    const start = { ...kernel.guest.walkRegs(task), ip: regs.ip, sp: regs.sp, fp: regs.bp };
    const walk = walkFramePointers(start, (address) => kernel.readUser(task.cr3, address), { max: LIMIT });
    entries.push({ tid: task.pid, cookie: kernel.register('rdx'), regs, walk, hasMemory: task.mm !== 0n });
    return false;
  });
  return entries;
}

/** The function around an address, as statements name it. */
function nameOf(run: StatedRun): (address: UserAddr) => string {
  const { symbols } = openImage(`build/user/${run.image}.elf`);
  return (address) => {
    const found = symbols.resolve(address);
    return found && found.offset < found.size ? found.name : `0x${address.toString(16)}`;
  };
}

function expectStated(stated: StatedStack, { walk }: Entry, name: (address: UserAddr) => string): void {
  const { entries, ends } = withinLimit(stated, LIMIT);
  const found = walk.entries.map(name);
  if (ends === undefined) expect(found.slice(0, entries.length)).toEqual(entries);
  else expect({ entries: found, ends: walk.end }).toEqual({ entries, ends });
}

describe.each([1, 2])('on %i CPUs', (cpus) => {
  test.each(RUNS.map((run) => [commandOf(run), run] as const))('%s', (command, run) => {
    kernel = new Kernel(command, {
      cpus,
      commandLine: 'trace=perf,ftrace perf.period=50000',
      input: run.input,
      start: 'syscall_exit',
    });
    const { perf, ftrace } = kernel.samples;
    const entries = watchEntries();

    expect(kernel.runToEnd()).toBe(run.exit);
    expect(kernel.console.replace(FAULT_REPORT, '')).toBe(BANNER + run.output);

    const traces = entries.map(({ tid, cookie, walk, hasMemory }) => [
      tid,
      cookie,
      hasMemory ? walk.entries : [],
    ]);
    const stacksOf = (records: typeof ftrace | typeof perf) =>
      records
        .filter((record) => record.type === 'user_unwind_stack' || record.type === 'deferred')
        .map(({ tid, cookie, ips }) => [tid, cookie, ips]);
    expect(stacksOf(ftrace)).toEqual(traces);
    // Everybody is called, whoever asked; perf also in the entries for which ftrace is off.
    if (run.image === 'tracers') expect(stacksOf(perf)).toEqual(expect.arrayContaining(traces));
    else expect(stacksOf(perf)).toEqual(traces);

    const name = nameOf(run);
    for (const stated of run.stacks) {
      const marked = entries.filter(
        ({ regs }) => regs.orig_ax === SYSCALL_NUMBERS[stated.syscall] && regs.di === stated.argument,
      );
      expect(marked, `${stated.syscall}(${stated.argument})`).not.toHaveLength(0);
      for (const entry of marked) expectStated(stated, entry, name);
    }
  });
});

test.each(['syscalls', 'fault'])(
  '%s prints what it prints on this host, and ends as it does there',
  (program) => {
    const native = spawnSync(`build/user/${program}.elf`, { encoding: 'utf8', timeout: 20_000 });
    kernel = new Kernel(program);
    expect(kernel.runToEnd()).toBe(native.status);
    expect(kernel.console.replace(FAULT_REPORT, '')).toBe(BANNER + native.stdout);
  },
);
