/** Requests, their task work, and the tracers' callbacks: the rules of patch 06/14, one test each. */
import { afterEach, describe, expect, test } from 'vitest';
import { GPR } from '../../emu/engine/cpu-state.js';
import { type BootOptions, Kernel, newTracer } from './harness.js';

const EXIT_GROUP = 231;
const CLONE = 56;
const GETPID = 39;

let kernel: Kernel;
function boot(command = 'roundtrip 20', options?: BootOptions): Kernel {
  kernel = new Kernel(command, options);
  return kernel;
}
afterEach(() => kernel.close());

/** Counts how often the kernel comes to a place from here on. */
function count(place: string): { times: number } {
  const counter = { times: 0 };
  kernel.watch(place, () => {
    counter.times++;
    return false;
  });
  return counter;
}

describe('request', () => {
  test('returns 0 as it queues the work, and 1 as long as it is pending', () => {
    const tracer = newTracer(boot());
    expect([1, 2, 3].map(() => tracer.request().result)).toEqual([0, 1, 1]);
  });

  test('returns 1 to a second tracer too: the work is queued once for all', () => {
    const [first, second] = [newTracer(boot()), newTracer(kernel)];
    expect(first.request().result).toBe(0);
    expect(second.request().result).toBe(1);
    expect(kernel.task.taskWorks).toBe(kernel.infoField('work'));
    expect(kernel.read64(kernel.infoField('work'))).toBe(0n); // nothing behind it
  });

  test('sets TIF_NOTIFY_RESUME and pending', () => {
    const tracer = newTracer(boot());
    const flag = kernel.constant('_TIF_NOTIFY_RESUME');
    expect([kernel.task.tiFlags & flag, kernel.info.pending]).toEqual([0, false]);
    tracer.request();
    expect([kernel.task.tiFlags & flag, kernel.info.pending]).toEqual([flag, true]);
  });

  test('is granted in an interrupt that hit user code, and the trace begins where it was hit', () => {
    boot('registers');
    const tracer = newTracer(kernel);
    kernel.runTo('timer_interrupt', () => kernel.regs.orig_ax === 0xffff_ffff_ffff_ffffn);
    const { ip } = kernel.regs;
    const { result, cookie } = tracer.request();
    expect(result).toBe(0);
    kernel.runToUser();
    expect(tracer.callbacks).toMatchObject([{ cookie }]);
    expect(tracer.callbacks[0]!.entries[0]).toBe(ip);
  });

  test('keeps interrupts off over cookie and claim, and leaves them as they were', () => {
    boot('roundtrip 20', { commandLine: 'trace=ftrace' });
    const on = () => (kernel.cpu.state.rflags & kernel.constant('X86_EFLAGS_IF')) !== 0;
    kernel.runTo('unwind_deferred_request.begin');
    expect(on()).toBe(true);
    for (const place of ['get_cookie.begin', 'task_work_add.begin']) {
      kernel.runTo(place);
      expect(on(), place).toBe(false);
    }
    kernel.runTo('ring_begin'); // ftrace's record, after the request
    expect(on()).toBe(true);
  });
});

describe('the task work', () => {
  test('runs before user code resumes', () => {
    const tracer = newTracer(boot());
    tracer.request();
    tracer.stops = true;
    const user = kernel.watch(kernel.regs.ip, () => true);
    expect(kernel.run()).toMatchObject({ rip: kernel.callback });
    user();
    tracer.stops = false;
    kernel.runToUser();
    expect(tracer.callbacks).toHaveLength(1);
  });

  test('gives every callback the cookie of the request and the stack of the entry', () => {
    boot('recursion 5');
    kernel.runToSyscall(GETPID, 1n);
    const tracer = newTracer(kernel);
    const { ip } = kernel.regs;
    const { cookie } = tracer.request();
    kernel.runToUser();
    expect(tracer.callbacks).toMatchObject([{ cookie }]);
    expect(tracer.callbacks[0]!.entries).toHaveLength(7); // recurse*5 main _start
    expect(tracer.callbacks[0]!.entries[0]).toBe(ip);
  });

  test('calls all registered tracers, also one that asked for nothing, the newest first', () => {
    const [oldest, middle, newest] = [newTracer(boot()), newTracer(kernel), newTracer(kernel)];
    const { cookie } = oldest.request();
    const order: bigint[] = [];
    kernel.watch(kernel.callback, () => {
      order.push(kernel.register('rdi'));
      return false;
    });
    kernel.runToUser();
    expect(order).toEqual([newest.work, middle.work, oldest.work]);
    for (const tracer of [oldest, middle, newest]) expect(tracer.callbacks).toMatchObject([{ cookie }]);
  });

  test('is run once for many requests', () => {
    const tracer = newTracer(boot());
    for (let i = 0; i < 5; i++) tracer.request();
    kernel.runToUser();
    expect(tracer.callbacks).toHaveLength(1);
  });

  test('is not run where nobody asked', () => {
    const tracer = newTracer(boot());
    kernel.nextEntry();
    kernel.nextEntry();
    expect(tracer.callbacks).toEqual([]);
  });

  test('clears pending first: in the callback it is clear, and the cookie is still there', () => {
    const tracer = newTracer(boot());
    const { cookie } = tracer.request();
    tracer.stops = true;
    kernel.run();
    expect(kernel.info).toMatchObject({ pending: false, cookie });
  });

  test('may be asked for again in a callback: it is queued again, and everybody is called again with the same cookie', () => {
    const [asking, silent] = [newTracer(boot()), newTracer(kernel)];
    const { cookie } = asking.request();
    asking.stops = true;
    kernel.run();
    expect(asking.request()).toEqual({ result: 0, cookie });
    asking.stops = false;
    kernel.runToUser();
    for (const tracer of [asking, silent]) {
      expect(tracer.callbacks).toMatchObject([{ cookie }, { cookie }]);
      expect(tracer.callbacks[1]!.entries).toEqual(tracer.callbacks[0]!.entries);
    }
  });

  test('gives an empty trace to a task that has no memory any more, and still calls everybody', () => {
    boot();
    kernel.runToSyscall(EXIT_GROUP);
    const [first, second] = [newTracer(kernel), newTracer(kernel)];
    const { cookie } = first.request();
    expect(kernel.runToEnd()).toBe(0);
    for (const tracer of [first, second]) expect(tracer.callbacks).toEqual([{ pid: 1, cookie, entries: [] }]);
  });

  test('gives an empty trace where there is no memory for the cache', () => {
    const tracer = newTracer(boot());
    const { cookie } = tracer.request();
    kernel.runTo('unwind_user_faultable.begin');
    kernel.runTo('kzalloc');
    kernel.cpu.state.setReg(GPR.rdi, 8192n); // more than kzalloc ever gives
    kernel.runToUser();
    expect(tracer.callbacks).toMatchObject([{ cookie, entries: [] }]);
    expect(kernel.info.cache).toBeUndefined();
  });

  test('warns and calls nobody where nothing is pending; the warning comes once', () => {
    const tracer = newTracer(boot());
    for (let i = 0; i < 2; i++) {
      tracer.request();
      kernel.write64(kernel.infoField('pending'), 0n);
      kernel.nextEntry();
    }
    expect(tracer.callbacks).toEqual([]);
    expect(kernel.console.match(/WARNING.*/g)).toEqual([
      'WARNING: CPU: 0 PID: 1 at unwind_deferred_task_work (!pending)',
    ]);
  });
});

describe('init and cancel', () => {
  test('init returns 0 and puts the work at the head of the callbacks', () => {
    const tracer = newTracer(boot());
    expect(tracer.init()).toBe(0);
    expect(kernel.read64(kernel.address('callbacks'))).toBe(tracer.work);
  });

  test('cancel takes the tracer off the list: it is not called any more, the others are', () => {
    const tracers = [newTracer(boot()), newTracer(kernel), newTracer(kernel)];
    tracers[1]!.cancel();
    tracers[0]!.request();
    kernel.runToUser();
    expect(tracers.map(({ callbacks }) => callbacks.length)).toEqual([1, 0, 1]);
  });

  test('work that is pending as its tracer cancels does not find it', () => {
    const tracer = newTracer(boot());
    expect(tracer.request().result).toBe(0);
    tracer.cancel();
    expect(kernel.info.pending).toBe(true);
    kernel.runToUser();
    expect(kernel.info.pending).toBe(false);
    expect(tracer.callbacks).toEqual([]);
  });

  test('cancel of no tracer does nothing', () => {
    const tracer = newTracer(boot());
    kernel.call('unwind_deferred_cancel', 0n);
    tracer.request();
    kernel.runToUser();
    expect(tracer.callbacks).toHaveLength(1);
  });

  test('cancel on another CPU waits for the callbacks that run, and none comes after it', () => {
    boot('processes', { cpus: 2, turn: 50 });
    const tracer = newTracer(kernel);
    kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 1);
    kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 0);
    tracer.request();
    tracer.stops = true;
    kernel.run();
    const caller = kernel.task.pid;
    // The callback takes its time: 8192 instructions that clear the buffer of a CPU that is not there.
    const { state } = kernel.cpu;
    for (const [register, value] of [
      [GPR.rdi, kernel.address('ftrace_buffers') + BigInt(7 * kernel.constant('BUFFER_SIZE'))],
      [GPR.rsi, 0n],
      [GPR.rdx, 65536n],
    ] as const)
      state.setReg(register, value);
    state.rip = kernel.address('memset');

    kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 1);
    const canceller = kernel.task.pid;
    expect(canceller).not.toBe(caller);
    const waiters = BigInt(kernel.constant('MUTEX_waiters'));
    const events: string[] = [];
    for (const place of ['mutex_lock', 'sleep_on', 'mutex_unlock'])
      kernel.watch(place, () => {
        const offset = kernel.register('rdi') - kernel.address('callback_mutex');
        if (offset === 0n || offset === waiters) events.push(`${place} ${kernel.task.pid}`);
        return false;
      });
    tracer.cancel();
    expect(events).toEqual([
      `mutex_lock ${canceller}`,
      `sleep_on ${canceller}`,
      `mutex_unlock ${caller}`,
      `mutex_unlock ${canceller}`,
    ]);
    kernel.runToEnd();
    expect(tracer.callbacks).toHaveLength(1);
  });
});

describe('the cache', () => {
  test('is allocated by the first walk of a task and kept', () => {
    const tracer = newTracer(boot());
    expect(kernel.info.cache).toBeUndefined();
    tracer.request();
    kernel.nextEntry();
    const { cache } = kernel.info;
    expect(cache).toMatchObject({ nr: 0 });
    tracer.request();
    kernel.nextEntry();
    expect(kernel.info.cache?.address).toBe(cache!.address);
  });

  test('is used again within an entry: two works, one walk', () => {
    const tracer = newTracer(boot());
    const walks = count('unwind_user.begin');
    tracer.request();
    tracer.stops = true;
    kernel.run();
    tracer.request();
    tracer.stops = false;
    kernel.runToUser();
    expect([walks.times, tracer.callbacks.length]).toEqual([1, 2]);
  });

  test('is reset at the exit: the next entry walks again', () => {
    const tracer = newTracer(boot());
    const walks = count('unwind_user.begin');
    for (const times of [1, 2, 3]) {
      tracer.request();
      kernel.runTo('unwind_reset_info.begin');
      expect(kernel.info.cache!.nr).toBeGreaterThan(0);
      kernel.runToUser();
      expect(kernel.info.cache!.nr).toBe(0);
      expect(walks.times).toBe(times);
      kernel.runTo('trace_syscall_enter');
    }
  });

  test('is reset also where unwind_user_faultable was called without a request', () => {
    boot();
    const trace = kernel.alloc(16);
    expect(kernel.call('unwind_user_faultable', trace)).toBe(0n);
    expect(kernel.info).toMatchObject({ cookie: 0n, pending: false });
    expect(kernel.info.cache!.nr).toBe(Number(kernel.read64(trace)));
    expect(kernel.info.cache!.nr).toBeGreaterThan(0);
    kernel.runToUser();
    expect(kernel.info.cache!.nr).toBe(0);
  });

  test('holds 511 entries, and so does a trace', () => {
    boot('deep');
    kernel.runToSyscall(GETPID, 1n);
    const tracer = newTracer(kernel);
    tracer.request();
    kernel.runToUser();
    expect(tracer.callbacks[0]!.entries).toHaveLength(511);
    expect(kernel.constant('UNWIND_MAX_ENTRIES')).toBe(511);
  });
});

describe('the life of a task', () => {
  test('a new task has nothing of its parent: no cookie, no cache, nothing pending, no works', () => {
    boot('contention');
    kernel.runToSyscall(CLONE);
    const tracer = newTracer(kernel);
    tracer.request();
    kernel.runToUser();
    kernel.runToSyscall(CLONE);
    tracer.request();
    kernel.runTo('unwind_task_init');
    const child = kernel.register('rdi');
    kernel.runTo('sched_start');
    expect(kernel.register('rdi')).toBe(child);
    expect(kernel.info).toMatchObject({ pending: true, cache: { nr: 0 } });
    const fresh = kernel.guest.unwindInfo(child as typeof kernel.task.address);
    expect(fresh).toEqual({ pending: false, cookie: 0n, id: { cpu: 0, cnt: 0 } });
    expect(kernel.guest.task(child as typeof kernel.task.address).taskWorks).toBe(0n);
  });

  test('a task that is freed gives back its cache first and cancels its work then', () => {
    boot('processes');
    const tracer = newTracer(kernel);
    const steps: string[] = [];
    let task: bigint | undefined;
    kernel.runTo('trace_syscall_leave', () => kernel.regs.ax === 0n && kernel.task.pid !== 1);
    const child = kernel.task;
    tracer.request();
    kernel.runToUser();
    const cache = kernel.info.cache!.address;
    kernel.watch('unwind_task_free', () => {
      task = kernel.register('rdi');
      return false;
    });
    kernel.watch('kfree', () => {
      if (task !== undefined && kernel.register('rdi') === cache) steps.push('kfree');
      return false;
    });
    kernel.watch('task_work_cancel.begin', () => {
      if (
        kernel.register('rsi') ===
        child.address + BigInt(kernel.constant('TASK_unwind_info') + kernel.constant('UNWIND_INFO_work'))
      )
        steps.push('task_work_cancel');
      return false;
    });
    expect(kernel.runToEnd()).toBe(0);
    expect(task).toBe(child.address);
    expect(steps).toEqual(['kfree', 'task_work_cancel']);
  });
});
