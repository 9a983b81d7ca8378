/** The cookie of an entry: its layout, its counter, how long it lasts. Patch 06/14, get_cookie() and unwind_reset_info(). */
import { afterEach, expect, test } from 'vitest';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import type { PerfRecord } from '../../src/trace/perf-record.js';
import { type BootOptions, Kernel, newTracer, returned } from './harness.js';

const SCHED_SETAFFINITY = 203;

let kernel: Kernel;
function boot(command: string, options?: BootOptions): Kernel {
  kernel = new Kernel(command, options);
  return kernel;
}
afterEach(() => kernel.close());

test('the first cookie on CPU 0 is 0x300000001: count in the high half, CPU + 1 in the low half', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  expect(tracer.request().cookie).toBe(0x3_0000_0001n);
  expect(kernel.info).toMatchObject({ cookie: 0x3_0000_0001n, id: { cpu: 1, cnt: 3 } });
});

test('the first cookie on CPU 1 is 0x300000002', () => {
  boot('processes', { cpus: 2 });
  kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 1);
  expect(newTracer(kernel).request().cookie).toBe(0x3_0000_0002n);
});

test('counts are odd and rise by two; the counter of the CPU is even and one less', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  expect(kernel.perCpu('unwind_ctx_ctr')).toBe(0);
  for (const count of [3, 5, 7, 9]) {
    tracer.request();
    expect(kernel.info.id).toEqual({ cpu: 1, cnt: count });
    expect(kernel.perCpu('unwind_ctx_ctr')).toBe(count - 1);
    kernel.nextEntry();
  }
});

test('an entry in which nobody asks takes no count', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  tracer.request();
  kernel.nextEntry();
  kernel.nextEntry();
  expect(kernel.info.cookie).toBe(0n);
  kernel.nextEntry();
  expect(tracer.request().cookie).toBe(0x5_0000_0001n);
});

test('the count is never 0, not even when the counter wraps', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  kernel.machine.memory.write(
    kernel.cpu.paging,
    kernel.guest.perCpu('unwind_ctx_ctr', 0),
    Uint8Array.of(0xfe, 0xff, 0xff, 0xff),
  );
  expect(tracer.request().cookie).toBe(0x1_0000_0001n);
  expect(kernel.perCpu('unwind_ctx_ctr')).toBe(0);
});

test('all requests of an entry get one cookie, whoever makes them, and one count is taken', () => {
  const first = newTracer(boot('roundtrip 20'));
  const second = newTracer(kernel);
  const cookies = [first, second, first].map((tracer) => tracer.request().cookie);
  expect(cookies).toEqual([0x3_0000_0001n, 0x3_0000_0001n, 0x3_0000_0001n]);
  expect(kernel.perCpu('unwind_ctx_ctr')).toBe(2);
});

test('a new entry gets a new cookie', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  const cookies = [1, 2, 3].map(() => {
    const { cookie } = tracer.request();
    kernel.nextEntry();
    return cookie;
  });
  expect(new Set(cookies).size).toBe(3);
});

test('the id is reset at the exit to user mode, and not before', () => {
  const tracer = newTracer(boot('roundtrip 20'));
  const { cookie } = tracer.request();
  kernel.runTo('unwind_reset_info.begin');
  expect(kernel.info.cookie).toBe(cookie);
  kernel.runToUser();
  expect(kernel.info.cookie).toBe(0n);
});

test('a task that migrates within an entry keeps the cookie, and the CPU in it', () => {
  boot('processes', { cpus: 2 });
  const regs = kernel.runToSyscall(SCHED_SETAFFINITY);
  const { pid } = kernel.task;
  const from = kernel.cpu.index;
  kernel.write64(regs.dx, 1n << BigInt(1 - from)); // the mask: the other CPU
  const tracer = newTracer(kernel);
  const { cookie } = tracer.request();
  expect(cookie).toBe(0x3_0000_0001n + BigInt(from));
  kernel.runTo('trace_syscall_leave', () => kernel.task.pid === pid);
  expect(kernel.cpu.index).toBe(1 - from);
  expect(tracer.request()).toEqual({ result: 1, cookie });
  kernel.runToUser();
  expect(tracer.callbacks).toMatchObject([{ pid, cookie }]);
});

/*
 * Race C: whoever interrupts get_cookie and comes through it first decides. This version refuses requests in NMI, but
 * get_cookie itself stands it: its cmpxchg takes one count for both.
 */
test('get_cookie inside get_cookie, at each of its instructions, takes one count and gives one cookie', () => {
  boot('roundtrip 20', { commandLine: 'trace=ftrace' });
  kernel.runTo('get_cookie.begin');
  const info = kernel.register('rdi');
  const { boundaries } = kernel.sweep(returned(kernel), () => {
    const inner = kernel.call('get_cookie', info);
    kernel.runTo('unwind_deferred_task_work.begin');
    expect([inner, kernel.info.cookie]).toEqual([0x3_0000_0001n, 0x3_0000_0001n]);
    expect(kernel.perCpu('unwind_ctx_ctr')).toBe(2);
  });
  expect(boundaries).toBeGreaterThan(10);
});

test('with both tracers of the kernel on two CPUs, all records of one entry of one task have one cookie, and no other has it', () => {
  boot('contention', { cpus: 2, commandLine: 'trace=perf,ftrace perf.period=3000' });
  const { perf, ftrace } = kernel.samples;
  kernel.runToUser();
  perf.length = ftrace.length = 0; // what was before this entry is not known in full
  const cookies = new Set<bigint>();
  const unseen = new Map<number, bigint[]>();
  let shared = 0;
  const take = ({ tid, cookies: found }: { tid: number; cookies: readonly bigint[] }) =>
    unseen.set(tid, [...(unseen.get(tid) ?? []), ...found]);
  kernel.watch('unwind_reset_info.begin', () => {
    for (const record of perf.splice(0)) take({ tid: record.tid, cookies: perfCookies(record) });
    for (const { tid, cookie } of ftrace.splice(0)) take({ tid, cookies: [cookie] });
    const { pid } = kernel.task;
    const { cookie } = kernel.info;
    const found = unseen.get(pid) ?? [];
    unseen.delete(pid);
    expect(new Set(found)).toEqual(new Set(cookie === 0n ? [] : [cookie]));
    if (cookie === 0n) return false;
    expect(cookies.has(cookie)).toBe(false);
    cookies.add(cookie);
    shared += Number(found.length > 2);
    return false;
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(cookies.size).toBeGreaterThan(400);
  expect(shared).toBeGreaterThan(100);
});

/** The cookies that a perf record speaks of. */
function perfCookies(record: PerfRecord): bigint[] {
  if (record.type === 'deferred') return [record.cookie];
  if (record.type !== 'sample') return [];
  const at = record.callchain.indexOf(CONTEXT.USER_DEFERRED);
  return at < 0 ? [] : [record.callchain[at + 1]!];
}
