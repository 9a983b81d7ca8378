/** A sweep of a guest made from files: the machine at its window, with the invariants that fit the image. */
import { setImmediate } from 'node:timers/promises';
import { disassembler } from '../asm/capstone.js';
import { UNWIND } from '../invariants/unwind.js';
import type { GuestSpec } from '../schedule/schedule.js';
import type { MonitorPlugin } from '../sweep/monitor.js';
import type { Question } from '../sweep/question.js';
import type { ReportHead, SweepReport } from '../sweep/report.js';
import { Sweep } from '../sweep/sweep.js';
import { addTally, emptyTally, type Tally } from '../sweep/tally.js';
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
  /** Make each run twice and compare; a difference breaks `deterministic`. */
  readonly isChecked?: boolean;
}

/** Some units of a sweep, done. */
export type Work = Pick<SweepReport, 'done' | 'tally' | 'seconds'>;

export interface OpenSweep {
  readonly head: ReportHead;
  readonly sweep: Sweep;
  close(): void;
}

/** Leads the guest to the window. @throws WindowError when it does not come there, and what `openSchedule` throws. */
export async function openSweep(job: SweepJob): Promise<OpenSweep> {
  const { guest: spec, question, monitor, budget, isChecked = false } = job;
  const console: number[] = [];
  const { machine } = await openSchedule(spec, { console: (byte) => console.push(byte) });
  try {
    const plugin = MONITORS.find((each) =>
      monitor === undefined ? each.fits(machine) : each.name === monitor,
    );
    const watch = plugin && { watch: plugin.attach };
    const decoder = await disassembler();
    const sweep = new Sweep({ machine, question, decoder, budget, console, isChecked, ...watch });
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

/** How long units are done before others are told and heard, in milliseconds. */
const SLICE = 50;

export interface WorkLimits {
  readonly keepGoing: boolean;
  /** Instructions that these units may take together. */
  readonly budget: number;
  /** Asked now and then; true ends the work. */
  readonly interrupted?: () => boolean;
}

/**
 * Does the given units, ascending, in slices. Unless told to keep going it ends behind the first unit in which a run breaks something.
 * What has been done of a unit when the work is interrupted is not counted.
 */
export async function* doUnits(
  sweep: Sweep,
  units: readonly number[],
  { keepGoing, budget, interrupted }: WorkLimits,
): AsyncGenerator<Work> {
  const slice = new Slice(sweep.question.depth);
  let left = budget;
  for (const unit of units) {
    if (left <= 0) break;
    const runs = sweep.unit(unit);
    let run = runs.next();
    for (; !run.done; run = runs.next()) {
      if (!slice.isOver) continue;
      yield slice.take();
      await setImmediate();
      if (!interrupted?.()) continue;
      runs.return(emptyTally(0));
      return;
    }
    const { value: tally } = run;
    left -= tally.instructions;
    const isBroken = !keepGoing && Object.keys(tally.breaches).length > 0;
    if (isBroken)
      for (const breach of Object.values(tally.breaches)) breach.simplest = sweep.simplest(breach.simplest);
    slice.add(unit, tally);
    if (isBroken) break;
  }
  yield slice.take();
}

/** What has been done since others were told last. */
class Slice {
  readonly #depth: number;
  #done: [number, number][] = [];
  #tally: Tally;
  #began = performance.now();

  constructor(depth: number) {
    this.#depth = depth;
    this.#tally = emptyTally(depth);
  }

  get isOver(): boolean {
    return performance.now() - this.#began >= SLICE;
  }

  add(unit: number, tally: Tally): void {
    addUnit(this.#done, unit);
    addTally(this.#tally, tally);
  }

  take(): Work {
    const now = performance.now();
    const work = { done: this.#done, tally: this.#tally, seconds: (now - this.#began) / 1000 };
    this.#done = [];
    this.#tally = emptyTally(this.#depth);
    this.#began = now;
    return work;
  }
}

function addUnit(done: [number, number][], unit: number): void {
  const last = done.at(-1);
  if (last !== undefined && last[1] === unit - 1) last[1] = unit;
  else done.push([unit, unit]);
}
