/**
 * One sweep by several processes. They share nothing: each leads a machine of its own to the window and does every N-th of the
 * units that are left. The others are started only when the first has worked for a while: most sweeps are over by then.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { addWork, emptyReport, expectSameSweep, isDone, type SweepReport } from '../sweep/report.js';
import { doUnits, type OpenSweep, openSweep, type SweepJob, type Work, type WorkLimits } from './sweep.js';
import type { WorkerAnswer, WorkerOrder } from './sweep-worker.js';

/** Milliseconds that the first process works alone: starting another takes about as long. */
const ALONE = 500;
/** How often those who wait for others look whether all is over, in milliseconds. */
const ASK = 100;
const WORKER = fileURLToPath(new URL('./sweep-worker.js', import.meta.url));

export interface SweepOptions {
  /** Processes, at least 1. */
  readonly jobs: number;
  /** Which units: those whose number leaves `index` when divided by `of`; default all. */
  readonly shard?: { readonly index: number; readonly of: number };
  /** Count all runs that break something; otherwise the sweep ends at the first. */
  readonly keepGoing: boolean;
  /** What has been done before. */
  readonly from?: SweepReport;
  /** Called whenever more is done. @param share units that this sweep is to have done in the end */
  readonly onProgress?: (report: SweepReport, share: number) => void;
  /** Asked often; true ends the sweep with what is done. */
  readonly interrupted?: () => boolean;
}

/** A whole sweep. @throws ReportError when `from` is of another one, and what `openSweep` throws. */
export async function runSweep(job: SweepJob, options: SweepOptions): Promise<SweepReport> {
  const open = await openSweep(job);
  try {
    return await sweepWindow(job, open, options);
  } finally {
    open.close();
  }
}

/** The same from the window on, to which `job` has been led; it stays open. @throws ReportError */
export const sweepWindow = async (
  job: SweepJob,
  open: OpenSweep,
  options: SweepOptions,
): Promise<SweepReport> => new Jobs(job, open, options).run();

class Jobs {
  readonly #job: SweepJob;
  readonly #open: OpenSweep;
  readonly #options: SweepOptions;
  #report: SweepReport;
  #isOver = false;

  constructor(job: SweepJob, open: OpenSweep, options: SweepOptions) {
    this.#job = job;
    this.#open = open;
    this.#options = options;
    this.#report = options.from ?? emptyReport(open.head);
    expectSameSweep(open.head, this.#report);
  }

  async run(): Promise<SweepReport> {
    const { jobs } = this.#options;
    const began = performance.now();
    const isAlone = (): boolean => jobs === 1 || performance.now() - began < ALONE;
    await this.#work(this.#left, { ...this.#limits(1), interrupted: () => this.#mustEnd || !isAlone() });
    const left = this.#left;
    if (left.length === 0 || this.#mustEnd) return this.#report;
    const shares = Array.from({ length: jobs }, (_, job) =>
      left.filter((_unit, index) => index % jobs === job),
    );
    const children = shares.slice(1).map((units) => this.#child(units));
    const own = this.#work(shares[0]!, { ...this.#limits(jobs), interrupted: () => this.#mustEnd });
    try {
      await Promise.all([own, ...children.map(({ ended }) => ended)]);
    } finally {
      this.#isOver = true;
      for (const { process } of children) process.kill();
      await own.catch(() => {}); // its machine is about to be closed
    }
    return this.#report;
  }

  /** What is still to do of this shard. */
  get #left(): number[] {
    const { shard } = this.#options;
    const units: number[] = [];
    for (let unit = 0; unit < this.#report.units; unit++)
      if ((shard === undefined || unit % shard.of === shard.index) && !isDone(this.#report.done, unit))
        units.push(unit);
    return units;
  }

  get #mustEnd(): boolean {
    this.#isOver ||= this.#options.interrupted?.() ?? false;
    return this.#isOver;
  }

  #limits(jobs: number): Omit<WorkLimits, 'interrupted'> {
    const left = this.#job.budget - this.#report.tally.instructions;
    return { keepGoing: this.#options.keepGoing, budget: Math.max(Math.floor(left / jobs), 0) };
  }

  async #work(units: readonly number[], limits: WorkLimits): Promise<void> {
    for await (const work of doUnits(this.#open.sweep, units, limits)) this.#add(work);
  }

  #add(work: Work): void {
    this.#report = addWork(this.#report, work);
    if (!this.#options.keepGoing && Object.keys(work.tally.breaches).length > 0) this.#isOver = true;
    const { shard } = this.#options;
    const { units } = this.#report;
    this.#options.onProgress?.(
      this.#report,
      shard === undefined ? units : Math.ceil((units - shard.index) / shard.of),
    );
  }

  #child(units: readonly number[]): { process: ChildProcess; ended: Promise<void> } {
    const process = fork(WORKER, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const order: WorkerOrder = { job: this.#job, units, limits: this.#limits(this.#options.jobs) };
    process.on('error', () => {}); // one that has ended already is told of by its exit
    process.send(order);
    const ended = new Promise<void>((resolve, reject) => {
      const isAsked = setInterval(() => {
        if (this.#mustEnd) resolve();
      }, ASK);
      process.on('message', (answer: WorkerAnswer) => {
        if (answer === 'over' || this.#isOver) resolve();
        else if ('failed' in answer) reject(new Error(`in a process of the sweep: ${answer.failed}`));
        else this.#add(answer);
      });
      process.on('exit', (code, signal) => {
        clearInterval(isAsked);
        if (signal === 'SIGINT')
          resolve(); // Ctrl-C came before it could listen
        else reject(new Error(`a process of the sweep ended (${signal ?? `status ${code}`})`));
      });
    });
    return { process, ended };
  }
}
