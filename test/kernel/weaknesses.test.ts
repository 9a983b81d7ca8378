/**
 * Weaknesses of version v13-06, kept as mailed. Each test shows one, so a later
 * version that mends it fails here and gets a test of its own.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inUserMode, Kernel, newTracer } from './harness.js';

let kernel: Kernel;
beforeEach(() => {
  kernel = new Kernel('roundtrip 20');
});
afterEach(() => kernel.close());

test('race I: a request after the last look at the flags is lost with its cookie; the work runs in the next entry, without one', () => {
  const tracer = newTracer(kernel);
  kernel.runTo('unwind_reset_info.begin');
  const { result, cookie } = tracer.request();
  expect(result).toBe(0);
  kernel.runToUser();
  expect(kernel.info).toMatchObject({ pending: true, cookie: 0n }); // user code runs with the work pending
  expect(tracer.callbacks).toEqual([]);
  kernel.runTo('trace_syscall_enter');
  kernel.runToUser();
  expect(cookie).not.toBe(0n);
  expect(tracer.callbacks).toMatchObject([{ cookie: 0n }]);
});

test('race I, where the next entry asks too: that entry gets 1 and a new cookie; the first one is never delivered', () => {
  const tracer = newTracer(kernel);
  kernel.runTo('unwind_reset_info.begin');
  const lost = tracer.request().cookie;
  kernel.runToUser();
  kernel.runTo('trace_syscall_enter');
  const { result, cookie } = tracer.request();
  expect(result).toBe(1);
  expect(cookie).not.toBe(lost);
  kernel.runToUser();
  expect(tracer.callbacks).toMatchObject([{ cookie }]);
});

test('race E: a tracer that asks in each of its callbacks keeps the task from user mode', () => {
  const tracer = newTracer(kernel);
  tracer.request();
  tracer.stops = true;
  const user = kernel.watch(kernel.regs.ip, inUserMode);
  for (let i = 0; i < 50; i++) {
    expect(kernel.run()).toMatchObject({ rip: kernel.callback });
    expect(tracer.request().result).toBe(0);
  }
  user();
  expect(tracer.callbacks).toHaveLength(50);
});

test('a refused task_work_add warns once and returns -ESRCH, but the cookie has been given out', () => {
  const tracer = newTracer(kernel);
  const works = kernel.task.address + BigInt(kernel.constant('TASK_task_works'));
  kernel.write64(works, kernel.address('work_exited'));
  expect(tracer.request()).toEqual({ result: -3, cookie: 0x3_0000_0001n });
  expect(tracer.request()).toEqual({ result: -3, cookie: 0x3_0000_0001n });
  expect(kernel.info.pending).toBe(false);
  expect(kernel.console.match(/WARNING.*/g)).toEqual([
    'WARNING: CPU: 0 PID: 1 at unwind_deferred_request (task_work_add)',
  ]);
});
