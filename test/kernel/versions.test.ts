/** The rules by which the versions of the mechanism differ, one test each. The races: races.test.ts; the programs: versions-boot.test.ts. */
import { afterEach, describe, expect, test } from 'vitest';
import { GPR } from '../../emu/engine/cpu-state.js';
import { type BootOptions, bannerOf, int, Kernel, newTracer, returned, Tracer } from './harness.js';
import { before, from, since, VERSIONS, type Version } from './versions.js';

const EBUSY = -16;
const REFUSED = { result: -22, cookie: 0n };
const FIRST_COOKIE = 0x3_0000_0001n;
const GETPID = 39;
const WAIT4 = 61;
/** Instructions: many ticks. */
const A_WHILE = 1_000_000;

let kernel: Kernel;
function boot(version: Version, command = 'roundtrip 20', options?: BootOptions): Kernel {
  kernel = new Kernel(command, { ...options, version });
  return kernel;
}
afterEach(() => kernel.close());

/** Runs the task work; the kernel is left in the exit loop of the same entry. */
function runWork(): void {
  kernel.runTo('task_work_run.begin');
  const done = returned(kernel);
  while (!done(kernel.cpu)) kernel.step();
}

const bitOf = (tracer: Tracer): number =>
  Number(BigInt.asIntN(32, kernel.read64(tracer.work + BigInt(kernel.constant('WORK_bit')))));
const maskOf = (...tracers: readonly Tracer[]): bigint =>
  tracers.reduce((mask, tracer) => mask | (1n << BigInt(bitOf(tracer))), 0n);
const pendingBit = (): bigint => 1n << BigInt(kernel.constant('UNWIND_PENDING_BIT'));

test.each([...VERSIONS])('%s says which it is', (version) => {
  boot(version);
  expect([kernel.guest.version, kernel.console]).toEqual([version, bannerOf(version)]);
});

describe('what a request returns: the first in an entry, while the work waits, after the callback', () => {
  test.each([
    ['v13-06', [0, 1, 0]],
    ['v13-06-nmi', [0, 1, 0]],
    ['v13-07', [0, 1, 0]],
    ['v13-08', [0, 1, 0]],
    ['v13-10', [0, 1, 2]],
    ['v6.17', [0, 1, 1]],
    ['v6.19', [0, 1, 1]],
  ] as const)('%s', (version, results) => {
    const tracer = newTracer(boot(version));
    const asked = [tracer.request(), tracer.request()];
    runWork();
    asked.push(tracer.request());
    expect(asked).toEqual(results.map((result) => ({ result, cookie: FIRST_COOKIE })));
  });

  test.each([
    ...before('v13-08').map((version) => [version, 1] as const),
    ...since('v13-08').map((version) => [version, 0] as const),
  ])('%s, to a second tracer while the work waits: %i', (version, result) => {
    const [first, second] = [newTracer(boot(version)), newTracer(kernel)];
    first.request();
    expect(second.request()).toEqual({ result, cookie: FIRST_COOKIE });
    kernel.runToUser();
    for (const tracer of [first, second]) expect(tracer.callbacks).toMatchObject([{ cookie: FIRST_COOKIE }]);
  });
});

describe('bits', () => {
  test.each(before('v13-08'))('%s has none, and no limit', (version) => {
    boot(version);
    for (let i = 0; i < 70; i++) expect(new Tracer(kernel).init()).toBe(0);
  });

  test.each([
    ['v13-08', 0, 64],
    ['v13-10', 0, 63],
    ['v6.17', 2, 62],
    ['v6.19', 2, 62],
  ] as const)(
    '%s gives bits from %i on to %i tracers; one more is refused until one cancels',
    (version, lowest, limit) => {
      boot(version);
      const tracers = Array.from({ length: limit }, () => new Tracer(kernel));
      expect(tracers.map((tracer) => tracer.init())).toEqual(tracers.map(() => 0));
      expect(tracers.map(bitOf)).toEqual(tracers.map((_, i) => lowest + i));
      expect(kernel.constant('UNWIND_MAX_TRACERS')).toBe(limit);
      const late = new Tracer(kernel);
      expect(late.init()).toBe(EBUSY);
      tracers[30]!.cancel();
      expect(late.init()).toBe(0);
      expect(bitOf(late)).toBe(lowest + 30);
    },
  );

  test.each(since('v13-08'))('%s: a request sets the bit, and the exit clears it', (version) => {
    const [first, second] = [newTracer(boot(version)), newTracer(kernel)];
    const pending = version === 'v13-08' ? 0n : pendingBit();
    first.request();
    expect(kernel.info).toMatchObject({ pending: true, mask: pending | maskOf(first) });
    second.request();
    expect(kernel.info.mask).toBe(pending | maskOf(first, second));
    kernel.runToUser();
    expect(kernel.info).toMatchObject({ pending: false, mask: 0n, cookie: 0n });
  });

  test.each(since('v13-08'))(
    '%s: a cancel clears the bit in all tasks: who gets it next is not called',
    (version) => {
      boot(version, 'processes');
      kernel.runToSyscall(WAIT4);
      const gone = newTracer(kernel);
      const bit = bitOf(gone);
      const asking = kernel.task;
      gone.request();
      kernel.runTo('trace_syscall_enter', () => kernel.task.pid !== asking.pid);
      gone.cancel();
      const next = newTracer(kernel);
      expect(bitOf(next)).toBe(bit);
      const { pending, mask } = kernel.guest.unwindInfo(asking.address);
      expect([pending, mask! & (1n << BigInt(bit))]).toEqual([true, 0n]);
      kernel.runToEnd();
      expect([gone.callbacks, next.callbacks]).toEqual([[], []]);
    },
  );
});

describe('a cancelled work that asks', () => {
  test.each(from('v13-08', 'v13-08'))('%s: has the bit of the next tracer, which is called', (version) => {
    const gone = newTracer(boot(version));
    gone.cancel();
    const next = newTracer(kernel);
    expect(gone.request().result).toBe(0);
    kernel.runToUser();
    expect([gone.callbacks.length, next.callbacks.length]).toEqual([0, 1]);
  });

  test.each(from('v13-10', 'v13-10'))('%s: is refused, with one warning', (version) => {
    const gone = newTracer(boot(version));
    gone.cancel();
    expect([bitOf(gone), gone.request(), gone.request()]).toEqual([-1, REFUSED, REFUSED]);
    expect(kernel.console.match(/WARNING.*/g)).toEqual([
      'WARNING: CPU: 0 PID: 1 at unwind_deferred_request (bit < 0)',
    ]);
  });

  test.each(since('v6.17'))('%s: is not refused, and claims bit 63', (version) => {
    const gone = newTracer(boot(version));
    gone.cancel();
    expect(gone.request()).toEqual({ result: 0, cookie: FIRST_COOKIE });
    expect(kernel.info.mask).toBe(pendingBit() | (1n << 63n));
    kernel.runToUser();
    expect([gone.callbacks, kernel.console]).toEqual([[], bannerOf(version)]);
  });
});

describe('the cache', () => {
  test.each([
    ...before('v6.17').map((version) => [version, 511] as const),
    ...since('v6.17').map((version) => [version, 510] as const),
  ])('%s holds %i entries', (version, entries) => {
    boot(version, 'deep');
    kernel.runToSyscall(GETPID, 1n);
    const tracer = newTracer(kernel);
    tracer.request();
    kernel.runToUser();
    expect(tracer.callbacks[0]!.entries).toHaveLength(entries);
  });

  test.each(since('v6.17'))('%s tells who has been called, until the exit', (version) => {
    const [first, second] = [newTracer(boot(version)), newTracer(kernel)];
    first.request();
    runWork();
    expect(kernel.info).toMatchObject({ cache: { completed: maskOf(first) } });
    second.request();
    runWork();
    expect(kernel.info).toMatchObject({ cache: { completed: maskOf(first, second) } });
    kernel.runToUser();
    expect(kernel.info).toMatchObject({ mask: 0n, cache: { completed: 0n, nr: 0 } });
  });

  test.each(since('v6.17'))(
    '%s: a walk without a request sets USED, so that the exit empties it',
    (version) => {
      boot(version);
      expect(kernel.call('unwind_user_faultable', kernel.alloc(16))).toBe(0n);
      expect(kernel.info.mask).toBe(BigInt(kernel.constant('UNWIND_USED')));
      expect(kernel.info.cache!.nr).toBeGreaterThan(0);
      kernel.runToUser();
      expect(kernel.info).toMatchObject({ mask: 0n, cache: { nr: 0 } });
    },
  );

  test.each(from('v13-10', 'v13-10'))('%s: the exit leaves it alone while work is pending', (version) => {
    const tracer = newTracer(boot(version));
    kernel.call('unwind_user_faultable', kernel.alloc(16));
    const { nr } = kernel.info.cache!;
    tracer.request();
    kernel.call('unwind_reset_info');
    expect(kernel.info).toMatchObject({ pending: true, cookie: FIRST_COOKIE, cache: { nr } });
  });
});

test.each([
  ...before('v6.17').map((version) => [version, 2] as const),
  ...since('v6.17').map((version) => [version, 3] as const),
])('%s: the counter of the CPU is %i after the cookie 0x300000001', (version, counter) => {
  const tracer = newTracer(boot(version));
  expect(tracer.request().cookie).toBe(FIRST_COOKIE);
  expect(kernel.perCpu('unwind_ctx_ctr')).toBe(counter);
});

describe('a callback that takes its time (race G)', () => {
  /** On CPU 0 a callback begins that lasts tens of thousands of instructions. @returns whether it is over */
  function longCallback(version: Version, tracer: () => Tracer): () => boolean {
    boot(version, 'processes', { cpus: 2, turn: 50 });
    const asking = tracer();
    kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 1);
    kernel.runTo('trace_syscall_enter', (cpu) => cpu.index === 0);
    asking.request();
    asking.stops = true;
    kernel.run();
    asking.stops = false;
    const { cpu } = kernel;
    const back = kernel.read64(kernel.register('rsp'));
    let over = false;
    kernel.watch(back, (at) => {
      over ||= at === cpu;
      return false;
    });
    // It clears the buffer of a CPU that is not there.
    for (const [register, value] of [
      [GPR.rdi, kernel.address('ftrace_buffers') + BigInt(7 * kernel.constant('BUFFER_SIZE'))],
      [GPR.rsi, 0n],
      [GPR.rdx, 65536n],
    ] as const)
      cpu.state.setReg(register, value);
    cpu.state.rip = kernel.address('memset');
    kernel.runTo('trace_syscall_enter', (at) => at.index === 1);
    return () => over;
  }

  test.each(before('v13-10'))('%s: every other task waits for it at its exit', (version) => {
    let slow: Tracer;
    const over = longCallback(version, () => (slow = newTracer(kernel)));
    slow!.request();
    kernel.runToUser();
    expect(over()).toBe(true);
  });

  test.each(since('v13-10'))('%s: other tasks leave the kernel meanwhile', (version) => {
    let slow: Tracer;
    const over = longCallback(version, () => (slow = newTracer(kernel)));
    slow!.request();
    kernel.runToUser();
    expect([over(), slow!.callbacks.length]).toEqual([false, 2]);
  });

  test.each([...VERSIONS])('%s: a cancel waits for it, and no callback comes after', (version) => {
    let slow: Tracer;
    const over = longCallback(version, () => (slow = newTracer(kernel)));
    expect(over()).toBe(false);
    slow!.cancel();
    expect(over()).toBe(true);
    kernel.runToEnd();
    expect(slow!.callbacks).toHaveLength(1);
  });
});

describe('a grace period (SRCU)', () => {
  const counter = (name: string, phase: number): bigint => kernel.guest.perCpu(name, 0) + BigInt(8 * phase);
  const add = (name: string, phase: number): void =>
    kernel.write64(counter(name, phase), kernel.read64(counter(name, phase)) + 1n);

  test.each(since('v13-10'))('%s: does not wait where nobody reads, and changes the phase', (version) => {
    boot(version);
    const phases = [1, 2, 3].map(() => {
      const phase = int(kernel.call('srcu_read_lock'));
      kernel.call('srcu_read_unlock', BigInt(phase));
      kernel.call('synchronize_srcu');
      return phase;
    });
    expect(phases).toEqual([0, 1, 0]);
  });

  test.each(since('v13-10').flatMap((version) => [[version, 0] as const, [version, 1] as const]))(
    '%s: waits for a reader that counted itself in phase %i, which may be the one before',
    (version, phase) => {
      boot(version);
      add('srcu_begun', phase);
      const finish = kernel.enter('synchronize_srcu');
      const back = kernel.watch(kernel.callback + 1n, () => true);
      expect(kernel.run(A_WHILE)).toEqual({ kind: 'budget' });
      back();
      add('srcu_ended', phase);
      finish();
    },
  );

  test.each(since('v13-10'))('%s: does not wait for who begins meanwhile, in the other phase', (version) => {
    boot(version);
    add('srcu_begun', 0);
    const finish = kernel.enter('synchronize_srcu');
    kernel.runTo('sleep_until');
    add('srcu_begun', 1);
    add('srcu_ended', 0);
    finish();
  });
});
