/** Who may not ask: the refusals of unwind_deferred_request in patch 06/14, each with -EINVAL and the cookie 0. */
import { afterEach, describe, expect, test } from 'vitest';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import { inUserMode, Kernel, newTracer } from './harness.js';

const REFUSED = { result: -22, cookie: 0n };
const IN_NMI = 'WARNING: CPU: 0 PID: 1 at unwind_deferred_request (in_nmi)';

let kernel: Kernel;
afterEach(() => kernel.close());

const warnings = () => kernel.console.match(/WARNING.*/g);

describe('in an NMI', () => {
  test.each([
    ['that hit the kernel', () => {}],
    ['that hit user code', () => kernel.runToUser()],
  ])('%s: refused, with one warning for ever', (_name, goThere) => {
    kernel = new Kernel('roundtrip 20');
    const tracer = newTracer(kernel);
    goThere();
    for (let i = 0; i < 3; i++) {
      kernel.nmi();
      kernel.runTo('perf_nmi');
      expect(tracer.request()).toEqual(REFUSED);
    }
    expect(kernel.info).toMatchObject({ cookie: 0n, pending: false });
    expect(kernel.runToEnd()).toBe(0);
    expect(warnings()).toEqual([IN_NMI]);
    expect(tracer.callbacks).toEqual([]);
  });

  test('and the same entry may still ask outside of it', () => {
    kernel = new Kernel('roundtrip 20');
    const tracer = newTracer(kernel);
    kernel.nmi();
    kernel.runTo('perf_nmi');
    tracer.request();
    kernel.runTo('asm_irq_work');
    expect(tracer.request()).toEqual({ result: 0, cookie: 0x3_0000_0001n });
  });

  test('of the performance counter: no sample has a cookie, no stack follows, and the warning comes once', () => {
    kernel = new Kernel('registers', { commandLine: 'trace=perf perf.source=nmi perf.period=20000' });
    expect(kernel.runToEnd()).toBe(0);
    const { perf } = kernel.samples;
    const samples = perf.filter((record) => record.type === 'sample');
    expect(samples.length).toBeGreaterThan(50);
    expect(samples.filter(({ callchain }) => callchain.includes(CONTEXT.USER_DEFERRED))).toEqual([]);
    expect(perf.filter(({ type }) => type === 'deferred')).toEqual([]);
    expect(warnings()).toEqual([IN_NMI]);
  });
});

test('a kernel thread', () => {
  kernel = new Kernel('contention');
  const tracer = newTracer(kernel);
  kernel.runTo('timer_interrupt', () => kernel.task.kthread);
  expect(tracer.request()).toEqual(REFUSED);
  expect(kernel.info).toMatchObject({ cookie: 0n, pending: false });
});

test('an exiting task', () => {
  kernel = new Kernel('hello');
  const tracer = newTracer(kernel);
  kernel.runTo('trace_task_exit');
  expect(kernel.task.exiting).toBe(true);
  expect(tracer.request()).toEqual(REFUSED);
  expect(kernel.info.cookie).toBe(0n);
});

test('a task whose saved registers are not those of user mode', () => {
  kernel = new Kernel('roundtrip 20');
  const tracer = newTracer(kernel);
  const cs = kernel.task.regs + BigInt(kernel.constant('PT_cs'));
  const user = kernel.read64(cs);
  kernel.write64(cs, BigInt(kernel.constant('KERNEL_CS')));
  expect(tracer.request()).toEqual(REFUSED);
  kernel.write64(cs, user);
  expect(tracer.request().result).toBe(0);
});

test('none of them but the NMI warns', () => {
  kernel = new Kernel('contention');
  const tracer = newTracer(kernel);
  kernel.runTo('timer_interrupt', () => kernel.task.kthread);
  tracer.request();
  kernel.runTo('trace_task_exit');
  tracer.request();
  expect(kernel.runToEnd()).toBe(0);
  expect(warnings()).toBeNull();
});

test('an NMI in user mode is over before user code goes on, and does no exit work', () => {
  kernel = new Kernel('roundtrip 20');
  kernel.runToUser();
  kernel.nmi();
  let resets = 0;
  kernel.watch('unwind_reset_info.begin', () => {
    resets++;
    return false;
  });
  const { rip } = kernel.cpu.state;
  kernel.runTo(rip, inUserMode);
  expect([kernel.perCpu('nmi_count'), resets]).toEqual([1, 0]);
});
