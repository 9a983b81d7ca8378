/** What a benchmark is, and how its samples become a median and a spread: by tinybench, on durations that it is given. */
import { Bench } from 'tinybench';

/** One sample: seconds for one operation. Its own set-up is not part of what it returns. */
export type Sample = () => number;

/** How seconds per operation are shown; `k/s` and `M/s` are thousands and millions of operations per second. */
export type Unit = 'ms' | 'µs' | 'k/s' | 'M/s';

/** How long a benchmark may take: `brief` does the least work that runs everything once. */
export interface Effort {
  readonly repetitions: number;
  /** Factor on the work of a sample, above 0 and at most 1. */
  readonly scale: number;
  /** The work may be too short for a number that means anything. */
  readonly brief: boolean;
}
export const FULL: Effort = { repetitions: 9, scale: 1, brief: false };
export const BRIEF: Effort = { repetitions: 1, scale: 0.002, brief: true };

/** The files that benchmarks run, by their paths. */
export interface Images {
  readonly kernel: string;
  /** The kernel with the newest version of the mechanism. */
  readonly newest: string;
  readonly programs: string;
  /** The compiled command line. */
  readonly cli: string;
}
export const IMAGES: Images = {
  kernel: 'build/kernel.elf',
  newest: 'build/kernel-v6.19.elf',
  programs: 'build/user',
  cli: 'dist/src/cli/main.js',
};

export interface Bed {
  readonly images: Images;
  readonly effort: Effort;
  /** Whether QEMU is there to compare with. */
  readonly qemu: boolean;
}

/** The two sides of a benchmark, made ready. */
export interface Sides {
  readonly here: Sample;
  readonly qemu?: Sample;
  close?(): void;
}

export interface Benchmark {
  readonly name: string;
  readonly unit: Unit;
  /** What is asked for, in `unit`. */
  readonly target?: number;
  /** How many times QEMU's time it may take. */
  readonly targetRatio?: number;
  prepare(bed: Bed): Sides | Promise<Sides>;
}

/** In the benchmark's unit. */
export interface Measured {
  readonly median: number;
  /** Of all samples: on a machine that others use too, nearest to what the work itself costs. */
  readonly best: number;
  /** Median absolute deviation. */
  readonly spread: number;
  readonly samples: number;
}

export interface Row {
  readonly name: string;
  readonly unit: Unit;
  readonly unwindlab: Measured;
  readonly qemu?: Measured;
  /** How many times as long it takes here as in QEMU; below 1 it is faster here. */
  readonly ratio?: number;
  readonly target?: number;
  readonly targetRatio?: number;
  readonly met?: boolean;
}

const PER_SECOND: Readonly<Record<Unit, number>> = { ms: 1e3, µs: 1e6, 'k/s': 1e-3, 'M/s': 1e-6 };
const isRate = (unit: Unit): boolean => unit.endsWith('/s');

export async function measure(benchmark: Benchmark, bed: Bed): Promise<Row> {
  const { name, unit, target, targetRatio } = benchmark;
  const sides = await benchmark.prepare(bed);
  try {
    const [here, qemu] = repeat([sides.here, ...(sides.qemu ? [sides.qemu] : [])], unit, bed.effort);
    const ratio = qemu && (isRate(unit) ? qemu.median / here!.median : here!.median / qemu.median);
    return {
      name,
      unit,
      unwindlab: here!,
      ...(ratio !== undefined && { qemu: qemu!, ratio }),
      ...(ratio !== undefined && targetRatio !== undefined && { targetRatio, met: ratio <= targetRatio }),
      ...(target !== undefined && {
        target,
        met: isRate(unit) ? here!.median >= target : here!.median <= target,
      }),
    };
  } finally {
    sides.close?.();
  }
}

function repeat(sides: readonly Sample[], unit: Unit, { repetitions, brief }: Effort): Measured[] {
  const bench = new Bench({
    time: 0,
    iterations: repetitions,
    warmup: repetitions > 1,
    warmupTime: 0,
    warmupIterations: 1,
    throws: true,
  });
  for (const [index, side] of sides.entries()) {
    bench.add(String(index), () => ({ overriddenDuration: duration(side, brief) * 1e3 }));
  }
  return bench.runSync().map(({ result }) => {
    if (result.state !== 'completed') throw new Error(`internal: a benchmark ended as ${result.state}`);
    const { p50, min, mad, samplesCount } = result.latency;
    const shown = (ms: number): number =>
      isRate(unit) ? (1e3 * PER_SECOND[unit]) / ms : (ms / 1e3) * PER_SECOND[unit];
    const median = shown(p50);
    return { median, best: shown(min), spread: (median * mad) / p50, samples: samplesCount };
  });
}

/** Stands for a difference that noise has made negative, where that does not matter. */
const LEAST = 1e-9;

/** tinybench would put its own clock in the place of a duration that is no positive number. */
function duration(sample: Sample, brief: boolean): number {
  const seconds = sample();
  if (seconds > 0) return seconds;
  if (brief) return LEAST;
  throw new Error(
    `expected a sample of more than 0 s, found ${seconds}: the work is too short to be measured`,
  );
}

/** Seconds that `body` takes. */
export function seconds(body: () => void): number {
  const start = performance.now();
  body();
  return (performance.now() - start) / 1e3;
}

/** Seconds per operation, from two runs that differ only in their number of operations: what both have in common goes out. */
export function perOperation(few: number, many: number, run: (operations: number) => number): number {
  const short = run(few);
  return (run(many) - short) / (many - few);
}
