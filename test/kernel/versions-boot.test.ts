/** Every program on every version of the mechanism: what it prints, how it ends, and that the halves of its stacks find each other. */
import { afterEach, describe, expect, test } from 'vitest';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import { type StatedRun, statedRuns } from '../guest-user/stated.js';
import { bannerOf, FAULT_REPORT, Kernel } from './harness.js';
import { from, since, VERSIONS, type Version } from './versions.js';

/** One run of each program; of `roundtrip` the one of 500 calls. */
const RUNS = statedRuns().filter(
  (run, index, runs) =>
    runs.findIndex(({ image }) => image === run.image) === index - Number(run.image === 'roundtrip'),
);

/** Turns ftrace off, so that requests of it stay without their stack. */
const CANCELS = 'tracers';

const NEWEST = VERSIONS.at(-1);

let kernel: Kernel;
afterEach(() => kernel.close());

function runToEnd(version: Version, run: StatedRun, cpus: number, commandLine: string): void {
  kernel = new Kernel([run.image, ...run.arguments].join(' '), {
    version,
    cpus,
    commandLine,
    input: run.input,
    start: 'syscall_exit',
  });
  expect(kernel.runToEnd()).toBe(run.exit);
  expect(kernel.console.replace(FAULT_REPORT, '')).toBe(bannerOf(version) + run.output);
}

/** Of one tracer: how many stacks came with the cookie of each task, and with which cookies they were asked for. */
interface Halves {
  readonly asked: ReadonlySet<string>;
  readonly delivered: readonly string[];
  readonly empty: readonly string[];
}

const key = ({ tid }: { tid: number }, cookie: bigint): string => `${tid} ${cookie.toString(16)}`;

function perfHalves(): Halves {
  const { perf } = kernel.samples;
  const asked = perf.flatMap((record) => {
    if (record.type !== 'sample') return [];
    const at = record.callchain.indexOf(CONTEXT.USER_DEFERRED);
    return at < 0 ? [] : [key(record, record.callchain[at + 1]!)];
  });
  const stacks = perf.filter((record) => record.type === 'deferred');
  return halves(asked, stacks);
}

function ftraceHalves(): Halves {
  const { ftrace } = kernel.samples;
  const asked = ftrace
    .filter(({ type, cookie }) => type !== 'user_unwind_stack' && cookie !== 0n)
    .map((record) => key(record, record.cookie));
  const stacks = ftrace.filter((record) => record.type === 'user_unwind_stack');
  return halves(asked, stacks);
}

function halves(
  asked: readonly string[],
  stacks: readonly { tid: number; cookie: bigint; ips: readonly bigint[] }[],
): Halves {
  const delivered = stacks.map((stack) => key(stack, stack.cookie));
  const empty = stacks.filter(({ ips }) => ips.length === 0).map((stack) => key(stack, stack.cookie));
  return { asked: new Set(asked), delivered, empty };
}

/** Of v13-06 `programs.test.ts` asks all this and more; two CPUs do all that one does but have a task alone. */
describe.each([...VERSIONS.slice(1)])('%s', (version) => {
  describe.each(version === NEWEST ? [1, 2] : [2])('on %i CPUs', (cpus) => {
    test.each(RUNS.map((run) => [[run.image, ...run.arguments].join(' '), run] as const))(
      '%s',
      (_command, run) => {
        runToEnd(version, run, cpus, 'trace=perf,ftrace perf.period=50000');
        for (const [tracer, { asked, delivered, empty }] of [
          ['perf', perfHalves()],
          ['ftrace', ftraceHalves()],
        ] as const) {
          const served = new Set(delivered);
          const lost = [...asked].filter((cookie) => !served.has(cookie));
          if (tracer === 'perf' || run.image !== CANCELS) expect(lost, 'each request is served').toEqual([]);
          const unasked = delivered.filter((cookie) => !asked.has(cookie));
          if (since('v13-08').includes(version))
            expect(unasked, 'nobody is called who did not ask').toEqual([]);
          if (!since('v6.17').includes(version)) continue;
          expect(served.size, 'one stack for each cookie').toBe(delivered.length);
          expect(empty, 'an exiting task has its stack').toEqual([]);
        }
      },
    );
  });
});

describe('samples by NMI', () => {
  test.each([...since('v6.19')])('%s: each gets its stack, once', (version) => {
    const run = RUNS.find(({ image }) => image === 'processes')!;
    runToEnd(version, run, 2, 'trace=perf perf.source=nmi perf.period=1009');
    const { asked, delivered } = perfHalves();
    expect(asked.size).toBeGreaterThan(50);
    expect([...delivered].sort()).toEqual([...asked].sort());
  });

  test.each(from('v13-10', 'v6.17'))('%s: they are granted', (version) => {
    const run = RUNS.find(({ image }) => image === 'processes')!;
    runToEnd(version, run, 2, 'trace=perf perf.source=nmi perf.period=1009');
    expect(perfHalves().asked.size).toBeGreaterThan(50);
  });
});
