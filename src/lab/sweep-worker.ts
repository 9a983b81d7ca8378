/** One of the processes of a sweep: takes an order from its parent, and tells it of each slice of work. */
import { doUnits, openSweep, type SweepJob, type Work, type WorkLimits } from './sweep.js';

export interface WorkerOrder {
  readonly job: SweepJob;
  readonly units: readonly number[];
  readonly limits: Omit<WorkLimits, 'interrupted'>;
}

/** `over`: the units are done, or the budget is spent. */
export type WorkerAnswer = Work | 'over' | { readonly failed: string };

// Ctrl-C goes to the whole process group; the parent decides what becomes of it.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit());
process.once('message', async ({ job, units, limits }: WorkerOrder) => {
  try {
    const { sweep } = await openSweep(job);
    for await (const work of doUnits(sweep, units, limits)) answer(work);
    answer('over');
  } catch (error) {
    answer({ failed: (error as Error).message });
  }
});

/** A parent that has gone away hears nothing more. */
function answer(what: WorkerAnswer): void {
  if (process.connected) process.send!(what, () => {});
}
