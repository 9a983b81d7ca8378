/** What a sweep has counted. Tallies of different parts of one sweep add up, in any order, to that of the whole. */
import type { Violation } from './monitor.js';
import type { Reason } from './window.js';

/** An injection of a run: where, as `Boundary` has it. */
export interface Strike {
  /** Instructions of all CPUs since the window's beginning. */
  readonly at: number;
  readonly delivered: boolean;
}

/** Counts of the boundaries at which the first, second or third injection of a run may fall. */
export interface LevelCounts {
  boundaries: number;
  injected: number;
  /** Of the injected: events that were blocked or masked there, and taken later. */
  held: number;
  skipped: Record<Reason, number>;
}

/** How one run has come out. */
export interface RunResult {
  readonly strikes: readonly Strike[];
  /** Names what the run has come to; runs of equal names are one end state. */
  readonly state: string;
  readonly violations: readonly Violation[];
  /** Instructions from the window's beginning to the end of the run. */
  readonly retired: number;
  /** The outcome's kind, `user` where a task was about to go on in user mode. */
  readonly end: string;
  /** The rolling hash over the machine's events at the end. */
  readonly hash: string;
}

/** Runs that have come to one end state. */
export interface StateCount {
  runs: number;
  /** The first of them in the order of the sweep. */
  first: readonly Strike[];
}

/** Runs that have broken the same invariants. */
export interface Breach {
  /** Ids of the invariants, sorted. */
  readonly ids: readonly string[];
  runs: number;
  /** The simplest of them: fewest injections, then the latest ones. */
  simplest: RunResult;
}

export interface Tally {
  readonly levels: LevelCounts[];
  runs: number;
  /** Executed by all runs together, the ways to their boundaries included. */
  instructions: number;
  /** By name. */
  readonly states: Record<string, StateCount>;
  /** By their ids. */
  readonly breaches: Record<string, Breach>;
  /** Some window or handler was longer than the bound: its rest was not swept. */
  cut: boolean;
}

export function emptyTally(depth: number): Tally {
  const level = (): LevelCounts => ({
    boundaries: 0,
    injected: 0,
    held: 0,
    skipped: { registers: 0, blocked: 0, same: 0, uncallable: 0 },
  });
  const levels = Array.from({ length: depth }, level);
  return { levels, runs: 0, instructions: 0, states: {}, breaches: {}, cut: false };
}

export function countRun(tally: Tally, result: RunResult): void {
  tally.runs++;
  addState(tally, result.state, { runs: 1, first: result.strikes });
  if (result.violations.length === 0) return;
  const ids = [...new Set(result.violations.map(({ id }) => id))].sort();
  addBreach(tally, { ids, runs: 1, simplest: result });
}

/** Adds `part` to `sum`. */
export function addTally(sum: Tally, part: Tally): void {
  for (const [index, from] of part.levels.entries()) {
    const to = sum.levels[index]!;
    to.boundaries += from.boundaries;
    to.injected += from.injected;
    to.held += from.held;
    for (const reason of Object.keys(from.skipped) as Reason[]) to.skipped[reason] += from.skipped[reason];
  }
  sum.runs += part.runs;
  sum.instructions += part.instructions;
  sum.cut ||= part.cut;
  for (const [name, count] of Object.entries(part.states)) addState(sum, name, count);
  for (const breach of Object.values(part.breaches)) addBreach(sum, breach);
}

function addState({ states }: Tally, name: string, { runs, first }: StateCount): void {
  const known = states[name];
  if (known === undefined) {
    states[name] = { runs, first };
    return;
  }
  known.runs += runs;
  if (comesBefore(first, known.first)) known.first = first;
}

function addBreach({ breaches }: Tally, breach: Breach): void {
  const key = breach.ids.join(',');
  const known = breaches[key];
  if (known === undefined) {
    breaches[key] = { ...breach };
    return;
  }
  known.runs += breach.runs;
  if (isSimpler(breach.simplest.strikes, known.simplest.strikes)) known.simplest = breach.simplest;
}

const order = (a: Strike, b: Strike): number => a.at - b.at || Number(a.delivered) - Number(b.delivered);

/** In the order in which a sweep makes its runs. */
export function comesBefore(a: readonly Strike[], b: readonly Strike[]): boolean {
  for (const [index, strike] of a.entries()) {
    const other = b[index];
    if (other === undefined) return false;
    const difference = order(strike, other);
    if (difference !== 0) return difference < 0;
  }
  return a.length < b.length;
}

/** Fewest injections, then the latest points. */
export const isSimpler = (a: readonly Strike[], b: readonly Strike[]): boolean =>
  a.length !== b.length ? a.length < b.length : comesBefore(b, a);
