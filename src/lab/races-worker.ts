/** One of the processes of the races: makes whole sweeps, one after the other, as its parent orders them. */
import { sweepHere } from './races.js';
import type { SweepJob } from './sweep.js';

// Ctrl-C goes to the whole process group; the parent decides what becomes of it.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit());
process.on('message', async (job: SweepJob) => process.send!(await sweepHere(job)));
