/** Whole sweeps of the guest kernel with its invariants, in one process. */

import { guestSpecOf } from '../../src/lab/guest-spec.js';
import { openImage } from '../../src/lab/open.js';
import { doUnits, openSweep } from '../../src/lab/sweep.js';
import type { PatchText } from '../../src/schedule/schedule.js';
import type { Question } from '../../src/sweep/question.js';
import { addTally, type Breach, emptyTally } from '../../src/sweep/tally.js';

/** More instructions than any run here needs. */
const BUDGET = 2_000_000_000;
/** Enough to leave the kernel, or the guest, from anywhere. */
const BOUND = 200_000;

export interface SweptGuest {
  readonly version: string;
  /** `PROGRAM` or `PROGRAM,ARGS`. */
  readonly program: string;
  readonly commandLine: string;
  readonly cpus?: number;
  readonly patches?: readonly PatchText[];
}

export interface Swept {
  readonly runs: number;
  /** Runs that broke something, by the ids that they broke. */
  readonly breaches: readonly Breach[];
  /** Where the injection of a breach's simplest run comes: a symbol of the kernel, or `user code`; undefined where there is none. */
  readonly struckIn: (breach: Breach) => string | undefined;
}

/** An NMI at every boundary of a window, unless `question` says otherwise. */
export async function sweep(
  { version, program, commandLine, cpus = 1, patches = [] }: SweptGuest,
  question: Pick<Question, 'from' | 'to' | 'occurrence'> & Partial<Question>,
): Promise<Swept> {
  const [name, ...args] = program.split(',');
  const modules = [[`build/user/${name}.elf`, ...args].join(',')];
  const files = { image: `build/kernel-${version}.elf`, modules, commandLine };
  const open = await openSweep({
    guest: guestSpecOf(files, { cpus }, patches),
    monitor: 'unwind',
    budget: BUDGET,
    question: { cpu: 0, injection: { kind: 'nmi' }, depth: 1, bound: BOUND, prune: true, ...question },
  });
  try {
    const tally = emptyTally(question.depth ?? 1);
    const units = Array.from({ length: open.sweep.units }, (_, unit) => unit);
    for await (const work of doUnits(open.sweep, units, { keepGoing: true, budget: BUDGET }))
      addTally(tally, work.tally);
    const { symbols } = openImage(files.image);
    const struckIn = ({ simplest }: Breach): string | undefined => {
      const at = simplest.strikes.at(-1)?.at;
      const boundary = open.sweep.boundaries.find((each) => each.at === at);
      return boundary && (symbols.resolve(boundary.rip)?.name ?? 'user code');
    };
    return { runs: tally.runs, breaches: Object.values(tally.breaches), struckIn };
  } finally {
    open.close();
  }
}
