/** A sweep of a guest made from files: the machine at its window, with the invariants that fit the image. */
import { setImmediate } from 'node:timers/promises';
import { disassembler } from '../asm/capstone.js';
import { UNWIND } from '../invariants/unwind.js';
import type { GuestSpec } from '../schedule/schedule.js';
import type { MonitorPlugin } from '../sweep/monitor.js';
import type { Question } from '../sweep/question.js';
import type { ReportHead, SweepReport } from '../sweep/report.js';
import { Sweep } from '../sweep/sweep.js';
import { addTally, emptyTally } from '../sweep/tally.js';
import { openSchedule } from './open-schedule.js';

/** All sets of invariants, in the order in which they are tried. */
export const MONITORS: readonly MonitorPlugin[] = [UNWIND];
/** The name that says: watch nothing but what every image must keep. */
export const NO_MONITOR = 'none';

export interface SweepJob {
  readonly guest: GuestSpec;
  readonly question: Question;
  /** A set of invariants by name, or `none`; undefined: the first one that fits the image. */
  readonly monitor: string | undefined;
  /** Instructions that the guest may take to the window, and that all runs may take together. */
  readonly budget: number;
}

/** Some units of a sweep, done. */
export type Work = Pick<SweepReport, 'done' | 'tally' | 'seconds'>;

export interface OpenSweep {
  readonly head: ReportHead;
  readonly sweep: Sweep;
  close(): void;
}

/** Leads the guest to the window. @throws WindowError when it does not come there, and what `openSchedule` throws. */
export async function openSweep({ guest: spec, question, monitor, budget }: SweepJob): Promise<OpenSweep> {
  const console: number[] = [];
  const { machine } = await openSchedule(spec, { console: (byte) => console.push(byte) });
  try {
    const plugin = MONITORS.find((each) =>
      monitor === undefined ? each.fits(machine) : each.name === monitor,
    );
    const watch = plugin && { watch: plugin.attach };
    const decoder = await disassembler();
    const sweep = new Sweep({ machine, question, decoder, budget, console, ...watch });
    const { start: retired, startsDelivered: delivered } = sweep.window;
    const head = {
      guest: spec,
      question,
      monitor: plugin?.name ?? null,
      start: { retired, delivered },
      units: sweep.units,
    };
    return { head, sweep, close: () => machine.close() };
  } catch (error) {
    machine.close();
    throw error;
  }
}

/** How long units are done before others are heard, in milliseconds. */
const SLICE = 50;

export interface WorkLimits {
  readonly keepGoing: boolean;
  /** Instructions that these units may take together. */
  readonly budget: number;
  /** Asked now and then; true ends the work. */
  readonly interrupted?: () => boolean;
}

/** Does the given units, ascending, in slices. It ends early at the first run that breaks something unless told to keep going. */
export async function* doUnits(
  sweep: Sweep,
  units: readonly number[],
  { keepGoing, budget, interrupted }: WorkLimits,
): AsyncGenerator<Work> {
  let spent = 0;
  for (let next = 0; next < units.length && spent < budget && !interrupted?.(); ) {
    const tally = emptyTally(sweep.question.depth);
    const done: [number, number][] = [];
    const began = performance.now();
    let isBroken = false;
    while (next < units.length && spent < budget && performance.now() - began < SLICE && !isBroken) {
      const unit = units[next]!;
      const part = sweep.unit(unit, keepGoing);
      isBroken = !keepGoing && Object.keys(part.breaches).length > 0;
      if (isBroken)
        for (const breach of Object.values(part.breaches)) breach.simplest = sweep.simplest(breach.simplest);
      addTally(tally, part);
      spent += part.instructions;
      addUnit(done, unit);
      next++;
    }
    yield { done, tally, seconds: (performance.now() - began) / 1000 };
    if (isBroken) return;
    await setImmediate();
  }
}

function addUnit(done: [number, number][], unit: number): void {
  const last = done.at(-1);
  if (last !== undefined && last[1] === unit - 1) last[1] = unit;
  else done.push([unit, unit]);
}
