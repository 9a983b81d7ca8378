/** What a sweep says in the end, as a value that is written to a file, goes on from there, and adds up with those of other shards. */
import { IN_MID_INSTRUCTION } from '../schedule/recorder.js';
import type { Choice, GuestSpec, Schedule } from '../schedule/schedule.js';
import { choiceOf, type Question } from './question.js';
import { addTally, type Breach, emptyTally, type RunResult, type Strike, type Tally } from './tally.js';

/** FAIL: a run breaks an invariant. UNKNOWN: none does so far, and something was left out, or nothing was there to strike. */
export type Verdict = 'PASS' | 'FAIL' | 'UNKNOWN';

/** Where the window begins, in the way that schedules say it. */
export interface WindowStart {
  /** Instructions of all CPUs since the machine was made. */
  readonly retired: number;
  /** An event was delivered at that boundary already. */
  readonly delivered: boolean;
}

/** Units `first` to `last` of a sweep. */
export type UnitRange = readonly [first: number, last: number];

export interface SweepReport {
  readonly format: typeof FORMAT;
  readonly guest: GuestSpec;
  readonly question: Question;
  /** The set of invariants; null: only what every image must keep. */
  readonly monitor: string | null;
  readonly start: WindowStart;
  /** All units of the sweep; see `Sweep`. */
  readonly units: number;
  /** Those that are done, ascending, with gaps between them. */
  readonly done: readonly UnitRange[];
  readonly tally: Tally;
  /** Of all CPUs that have worked at it, in seconds. */
  readonly seconds: number;
}

export const FORMAT = 'unwindlab-sweep/1';

/** A file that is no report of a sweep, or one that does not fit the others. The message says what was expected and found. */
export class ReportError extends Error {
  override readonly name = 'ReportError';
}

export type ReportHead = Pick<SweepReport, 'guest' | 'question' | 'monitor' | 'start' | 'units'>;

/** The report of a sweep of which nothing is done yet. */
export const emptyReport = (head: ReportHead): SweepReport => ({
  format: FORMAT,
  ...head,
  done: [],
  tally: emptyTally(head.question.depth),
  seconds: 0,
});

export function verdictOf({ tally, done, units }: SweepReport): Verdict {
  if (Object.keys(tally.breaches).length > 0) return 'FAIL';
  return tally.cut || unitsIn(done) < units || isVain(tally) ? 'UNKNOWN' : 'PASS';
}

/** Whether nothing has been injected anywhere: all places were left out, or there were none. */
export const isVain = ({ levels }: Tally): boolean => levels[0]?.injected === 0;

export const unitsIn = (ranges: readonly UnitRange[]): number =>
  ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);

export const isDone = (ranges: readonly UnitRange[], unit: number): boolean =>
  ranges.some(([first, last]) => first <= unit && unit <= last);

/** Adds units to those that are done. @returns undefined where one of them is done already */
export function addRanges(a: readonly UnitRange[], b: readonly UnitRange[]): UnitRange[] | undefined {
  const sum: [number, number][] = [];
  for (const [first, last] of [...a, ...b].sort((x, y) => x[0] - y[0])) {
    const before = sum.at(-1);
    if (before !== undefined && first <= before[1]) return undefined;
    if (before !== undefined && first === before[1] + 1) before[1] = last;
    else sum.push([first, last]);
  }
  return sum;
}

/** Adds what has been done since. @throws ReportError where some of it was done before. */
export function addWork(
  report: SweepReport,
  { done, tally, seconds }: Pick<SweepReport, 'done' | 'tally' | 'seconds'>,
): SweepReport {
  const all = addRanges(report.done, done);
  if (all === undefined)
    throw new ReportError('expected shards that share no boundary, found one that two have done');
  const sum = structuredClone(report.tally);
  addTally(sum, tally);
  return { ...report, done: all, tally: sum, seconds: report.seconds + seconds };
}

/** The report of several shards of one sweep. @throws ReportError when they are of different sweeps or overlap. */
export function mergeReports([first, ...rest]: readonly SweepReport[]): SweepReport {
  if (first === undefined) throw new ReportError('expected a report to merge, found none');
  let sum = first;
  for (const next of rest) {
    expectSameSweep(sum, next);
    sum = addWork(sum, next);
  }
  return sum;
}

/** @throws ReportError naming what differs. */
export function expectSameSweep(a: ReportHead, b: ReportHead): void {
  for (const part of ['guest', 'question', 'monitor', 'start', 'units'] as const)
    if (JSON.stringify(a[part]) !== JSON.stringify(b[part]))
      throw new ReportError(`expected reports of one sweep, found another ${part}`);
}

/** A run of the sweep as a schedule that does it again. */
export function scheduleOf(
  { guest, question, start }: Pick<SweepReport, 'guest' | 'question' | 'start'>,
  { strikes, retired, end, hash, violations }: RunResult,
): Schedule {
  const breaks = [...new Set(violations.map(({ id }) => id))].sort();
  const begun = retired + (IN_MID_INSTRUCTION.has(end) ? 1 : 0);
  const choices = [...choicesOf(start, question, strikes, begun)];
  return { guest, choices, end: { kind: end, retired: start.retired + retired, hash }, breaks };
}

/** `retired` instructions from the window's beginning on, with the injections. */
function* choicesOf(
  start: WindowStart,
  { injection, cpu }: Question,
  strikes: readonly Strike[],
  retired: number,
): Generator<Choice> {
  let done = 0;
  let ahead = start.retired;
  const goTo = function* (at: number): Generator<Choice> {
    ahead += at - done;
    done = at;
    if (ahead > 0) yield { kind: 'run', count: ahead };
    ahead = 0;
  };
  if (start.delivered) {
    yield* goTo(0);
    yield { kind: 'deliver', cpu };
  }
  for (const { at, delivered } of strikes) {
    yield* goTo(at);
    if (delivered) yield { kind: 'deliver', cpu };
    yield choiceOf(injection, cpu);
  }
  yield* goTo(retired);
}

/** The breaches, simplest first. */
export const breachesOf = ({ tally }: Pick<SweepReport, 'tally'>): Breach[] =>
  Object.values(tally.breaches).sort(
    (a, b) => a.simplest.strikes.length - b.simplest.strikes.length || b.runs - a.runs,
  );
