/**
 * All scenarios in all versions: each pair is a sweep of its own, so they are handed one by one to processes that share
 * nothing.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SweepReport } from '../sweep/report.js';
import { jobOf, type Scenario, type Version } from './scenarios.js';
import type { SweepJob } from './sweep.js';
import { runSweep } from './sweep-jobs.js';

const WORKER = fileURLToPath(new URL('./races-worker.js', import.meta.url));

/** One scenario in one version. */
export interface Cell {
  readonly version: Version;
  readonly scenario: Scenario;
}

export interface CellResult extends Cell {
  readonly report: SweepReport;
}

export interface RacesOptions {
  /** Processes, at least 1. */
  readonly jobs: number;
  /** Called whenever a sweep is done. */
  readonly onResult?: (result: CellResult, done: number, of: number) => void;
  /** Asked now and then; true ends the work with what is done. */
  readonly interrupted?: () => boolean;
}

/**
 * Sweeps each scenario in each version, to its end.
 * @returns in the order of versions, and of scenarios in each; only those that are done, where it was interrupted
 * @throws what `openSweep` throws
 */
export async function runRaces(
  versions: readonly Version[],
  scenarios: readonly Scenario[],
  { jobs, onResult, interrupted }: RacesOptions,
): Promise<CellResult[]> {
  const cells = versions.flatMap((version) => scenarios.map((scenario): Cell => ({ version, scenario })));
  const results: (CellResult | undefined)[] = cells.map(() => undefined);
  let next = 0;
  let done = 0;
  const work = async (sweep: SweepOne, upTo: number): Promise<void> => {
    while (next < upTo && !interrupted?.()) {
      const index = next++;
      const { version, scenario } = cells[index]!;
      const result = { version, scenario, report: await sweep(jobOf(version, scenario)) };
      results[index] = result;
      onResult?.(result, ++done, cells.length);
    }
  };
  const children = jobs === 1 ? [] : Array.from({ length: Math.min(jobs, cells.length - 1) }, newChild);
  try {
    await work(sweepHere, 1); // an engine or an image that is missing is told here
    const sweeps = jobs === 1 ? [sweepHere] : children.map(sweepIn);
    await Promise.all(sweeps.map((sweep) => work(sweep, cells.length)));
  } finally {
    for (const child of children) child.kill();
  }
  return results.filter((result) => result !== undefined);
}

type SweepOne = (job: SweepJob) => Promise<SweepReport>;

/** Every run that breaks something is counted. */
export const sweepHere: SweepOne = (job) => runSweep(job, { jobs: 1, keepGoing: true });

const newChild = (): ChildProcess => fork(WORKER, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });

const sweepIn =
  (child: ChildProcess): SweepOne =>
  (job) =>
    new Promise((resolve, reject) => {
      const onExit = (code: number | null, signal: string | null): void =>
        reject(new Error(`internal: a process of the races ended (${signal ?? code})`));
      child.once('exit', onExit);
      child.once('message', (report: SweepReport) => {
        child.off('exit', onExit);
        resolve(report);
      });
      child.send(job);
    });
