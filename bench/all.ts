/** Every benchmark, in the order of the table. */
import { bootBenchmarks } from './boot.js';
import { linuxBenchmarks } from './linux.js';
import type { Benchmark } from './measure.js';
import { snapshotBenchmarks } from './snapshots.js';
import { speedBenchmarks } from './speed.js';
import { sweepBenchmarks } from './sweep.js';

export const ALL: readonly Benchmark[] = [
  ...bootBenchmarks,
  ...linuxBenchmarks,
  ...speedBenchmarks,
  ...snapshotBenchmarks,
  ...sweepBenchmarks,
];
