/** One of the processes of a sweep: takes an order from its parent, and tells it of each slice of work. */
import { doUnits, openSweep, type SweepJob, type Work, type WorkLimits } from './sweep.js';

export interface WorkerOrder {
  readonly job: SweepJob;
  readonly units: readonly number[];
  readonly limits: Omit<WorkLimits, 'interrupted'>;
}

/** `over`: the units are done, or the budget is spent. */
export type WorkerAnswer = Work | 'over';

// Ctrl-C goes to the whole process group; the parent decides what becomes of it.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit());
process.once('message', async ({ job, units, limits }: WorkerOrder) => {
  const { sweep } = await openSweep(job);
  for await (const work of doUnits(sweep, units, limits)) process.send!(work satisfies WorkerAnswer);
  process.send!('over' satisfies WorkerAnswer);
});
