/** Tracers that are turned off and on while other tasks are traced. */
import { afterEach, describe, expect, test } from 'vitest';
import { applyChoice } from '../../src/schedule/apply.js';
import { BANNER, bannerOf, int, Kernel } from './harness.js';
import { VERSIONS } from './versions.js';

const [PERF, FTRACE] = [0n, 1n];
const [ENODEV, EINVAL] = [19, 22];
const OUTPUT = 'calls 60 turns 40\n';
/** Instructions; many times what a turn of a tracer takes. */
const LONG = 100_000;

let kernel: Kernel;
afterEach(() => kernel.close());

const control = (): bigint => BigInt(kernel.constant('SYS_TRACER_CONTROL'));
const stay = (see: () => void) => (): boolean => {
  see();
  return false;
};

/** The program to its end. @returns what each turn came to, and how often ftrace was called */
function run(): { results: bigint[]; callbacks: number; refusedTo: number } {
  const work = kernel.address('ftrace_work');
  const results: bigint[] = [];
  let [on, asks, callbacks, refusedTo] = [true, true, 0, 0];
  kernel.watch(
    'trace_syscall_enter',
    stay(() => {
      if (kernel.regs.orig_ax === control() && kernel.regs.si === 1n) on = true;
    }),
  );
  kernel.watch(
    'trace_syscall_leave',
    stay(() => {
      if (kernel.regs.orig_ax !== control()) return;
      results.push(kernel.regs.ax);
      on = kernel.regs.si === 1n;
    }),
  );
  kernel.watch(
    'unwind_deferred_cancel',
    stay(() => {
      expect(kernel.argument).toBe(work);
      asks = false;
    }),
  );
  kernel.watch(
    'unwind_deferred_init',
    stay(() => {
      asks = true;
    }),
  );
  kernel.watch(
    'unwind_deferred_request',
    stay(() => {
      if (!asks && kernel.argument === work) refusedTo++;
    }),
  );
  kernel.watch(
    'ftrace_unwound',
    stay(() => {
      expect(on, 'called after the cancel has returned').toBe(true);
      callbacks++;
    }),
  );
  expect(kernel.runToEnd()).toBe(0);
  return { results, callbacks, refusedTo };
}

describe('ftrace goes off and on twenty times while another thread is traced', () => {
  describe.each(VERSIONS)('%s', (version) => {
    test.each([
      [1, 1000],
      [2, 1000],
      [2, 37],
      [4, 150],
    ])('%i CPUs in turns of %i', (cpus, turn) => {
      kernel = new Kernel('tracers', { version, cpus, turn, commandLine: 'trace=perf,ftrace' });
      const { results, callbacks, refusedTo } = run();
      expect(results).toEqual(Array.from({ length: 40 }, () => 0n));
      expect(kernel.console).toBe(bannerOf(version) + OUTPUT);
      expect(refusedTo, 'requests by a work that is being or has been cancelled').toBe(0);
      const calls = kernel.samples.ftrace.filter(({ type }) => type === 'sys_enter');
      expect(calls.length).toBeGreaterThan(20);
      expect(calls.length).toBeLessThan(200);
      expect(callbacks).toBeGreaterThan(20);
    });
  });
});

test('a tracer is cancelled only after the request that is under way on another CPU is over', () => {
  kernel = new Kernel('tracers', { cpus: 2, turn: 50, commandLine: 'trace=ftrace' });
  const traced = kernel.runTo('ftrace_sys_enter', () => kernel.task.pid === 2);
  const other = kernel.machine.cpus[1 - traced.index]!;
  let stopped = false;
  let cancels = 0;
  kernel.watch(
    'set_affinity',
    stay(() => {
      stopped = true;
    }),
  );
  kernel.watch(
    'unwind_deferred_cancel',
    stay(() => {
      cancels++;
    }),
  );
  // Only the other CPU runs: it turns ftrace off and can go no further.
  expect(applyChoice(kernel.machine, { kind: 'cpu', cpu: other.index, count: LONG })).toBeUndefined();
  expect({ stopped, cancels }).toEqual({ stopped: true, cancels: 0 });
  expect(kernel.runToEnd()).toBe(0);
  expect(cancels).toBe(20);
  expect(kernel.console).toBe(BANNER + OUTPUT);
});

test('off is off, on is on, and twice is once', () => {
  kernel = new Kernel('roundtrip 20', { commandLine: 'trace=ftrace' });
  const { ftrace } = kernel.samples;
  const turn = (tracer: bigint, on: 0n | 1n): number => int(kernel.call('sys_tracer_control', tracer, on));
  const records = (): number => {
    ftrace.length = 0;
    kernel.nextEntry();
    return ftrace.length;
  };
  expect(records()).toBeGreaterThan(0);
  expect([turn(FTRACE, 0n), turn(FTRACE, 0n), records()]).toEqual([0, 0, 0]);
  expect([turn(FTRACE, 1n), turn(FTRACE, 1n)]).toEqual([0, 0]);
  records();
  expect(ftrace.map(({ type }) => type)).toEqual(['sys_enter', 'sys_exit', 'user_unwind_stack']);
  expect([turn(PERF, 1n), turn(2n, 1n)]).toEqual([-ENODEV, -EINVAL]);
  expect(kernel.runToEnd()).toBe(0);
});
