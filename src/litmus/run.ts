/** Runs a litmus test: every interleaving and every strike, and what came of them. */
import { type Exploration, ExploreLimit, explore } from '../explore/explore.js';
import { holds, isMet, locationName, locationsOf, observationOf } from './condition.js';
import type { Program } from './program.js';
import { LitmusLimit, type LitmusTest, type Location, type Observation } from './test.js';
import { type FinalState, LitmusWorld, type Step } from './world.js';

export interface RunOptions {
  /** False: every run is executed by itself, also from a state that is known already. The report is the same. Default true. */
  readonly join?: boolean;
  /** Steps after which a test is given up; default 2 million, a few minutes. */
  readonly limit?: number;
}

/** One instruction of a run, or an event that has struck. */
export interface WitnessStep {
  /** The column whose instruction it is. */
  readonly column: string;
  /** The author's text; of a read-modify-write in two steps, with the half named. */
  readonly text: string;
  /** The events that were taken right before. */
  readonly strike?: string;
}

/** One final state. */
export interface StateReport {
  /** By name of the location: registers first, then memory, both in the order of the test. */
  readonly values: ReadonlyMap<string, bigint>;
  /** CPUs that have met an exception, and those that have not come to their end. */
  readonly faults: readonly number[];
  readonly hangs: readonly number[];
  readonly runs: bigint;
  /** Whether the proposition of the condition is true of it. */
  readonly positive: boolean;
  /** A run that ends in it, one entry a step. */
  readonly witness: readonly WitnessStep[];
}

export interface LitmusReport {
  readonly name: string;
  readonly test: LitmusTest;
  readonly states: readonly StateReport[];
  /** Runs whose final state makes the proposition true, and the others. */
  readonly positive: bigint;
  readonly negative: bigint;
  readonly observation: Observation;
  /** The condition as a whole is met. */
  readonly ok: boolean;
  /** The observation is what the test's `Result:` says; true when it says nothing. */
  readonly agrees: boolean;
  /** Several CPUs: stores are not delayed here, so a real x86 may show more states. */
  readonly sequential: boolean;
  /** Names of the variables by address, for values that are addresses. */
  readonly addresses: ReadonlyMap<bigint, string>;
  /** Instructions executed to find this out. */
  readonly steps: number;
}

export const DEFAULT_LIMIT = 2_000_000;
const ORDER: Readonly<Record<Location['kind'], number>> = { register: 0, memory: 1, fault: 2, hang: 3 };

/** @throws {LitmusLimit} when the limit is reached. */
export function runLitmus(program: Program, options: RunOptions = {}): LitmusReport {
  const { test } = program;
  const locations = shownLocations(test);
  const world = new LitmusWorld(program, locations);
  try {
    const start = world.snapshot();
    const found = search(world, test, options);
    const states = [...found.outcomes].map(([outcome, { runs, schedule }]): StateReport => {
      const state = world.states.get(outcome)!;
      world.restore(start);
      return {
        values: valuesOf(state, locations),
        faults: cpusWith('fault', state, program.cpus),
        hangs: cpusWith('hang', state, program.cpus),
        runs,
        positive: holds(test.proposition, state),
        witness: replay(world, program, schedule),
      };
    });
    return report(program, states, found.steps);
  } finally {
    world.close();
  }
}

function search(world: LitmusWorld, test: LitmusTest, options: RunOptions): Exploration<Step> {
  const { join = true, limit = DEFAULT_LIMIT } = options;
  try {
    return explore(world, { join, limit });
  } catch (error) {
    if (!(error instanceof ExploreLimit)) throw error;
    throw new LitmusLimit(
      `${test.name}: expected at most ${limit} steps, found more: take fewer instructions, a lower bound, or a higher --budget`,
    );
  }
}

function shownLocations(test: LitmusTest): Location[] {
  const all = [...locationsOf(test.proposition), ...test.locations].filter(
    ({ kind }) => kind === 'register' || kind === 'memory',
  );
  const distinct = new Map(all.map((location) => [locationName(location), location]));
  return [...distinct.values()].sort((a, b) => ORDER[a.kind] - ORDER[b.kind]);
}

const valuesOf = (state: FinalState, locations: readonly Location[]): Map<string, bigint> =>
  new Map(locations.map((location) => [locationName(location), state.read(location)]));

const cpusWith = (kind: 'fault' | 'hang', state: FinalState, cpus: number): number[] =>
  Array.from({ length: cpus }, (_, cpu) => cpu).filter((cpu) => state.read({ kind, cpu }) === 1n);

/** Makes the run once more to see which instruction each step executed. */
function replay(world: LitmusWorld, program: Program, schedule: readonly Step[]): WitnessStep[] {
  const steps: WitnessStep[] = [];
  for (const step of schedule) {
    const executed = world.observe(step);
    const strike = step.strike === undefined ? {} : { strike: program.handlers[step.strike]!.column.name };
    const at = executed && statementAt(program, executed.address);
    if (at !== undefined) {
      const half = executed?.half === undefined ? '' : `  (${executed.half})`;
      steps.push({ column: at.column, text: at.text + half, ...strike });
    } else if (step.strike !== undefined)
      steps.push({ column: `P${step.cpu}`, text: 'waits at its end', ...strike });
  }
  return steps;
}

function statementAt(program: Program, address: number): { column: string; text: string } | undefined {
  const column = program.columns.find(({ address: from, end }) => address >= from && address <= end);
  const text = column?.statements.get(address);
  return column && text !== undefined ? { column: column.name, text } : undefined;
}

function report(program: Program, states: StateReport[], steps: number): LitmusReport {
  const { test } = program;
  states.sort((a, b) => compareStates(a, b));
  const total = (wanted: boolean): bigint =>
    states.filter(({ positive }) => positive === wanted).reduce((sum, { runs }) => sum + runs, 0n);
  const positive = total(true);
  const negative = total(false);
  const observation = observationOf(positive, negative);
  return {
    name: test.name,
    test,
    states,
    positive,
    negative,
    observation,
    ok: isMet(test.quantifier, positive, negative),
    agrees: test.expected === undefined || test.expected === observation,
    sequential: program.cpus > 1,
    addresses: new Map(Array.from(program.variables, ([name, { address }]) => [BigInt(address), name])),
    steps,
  };
}

/** By value, location by location, so that the order does not depend on the search. */
function compareStates(a: StateReport, b: StateReport): number {
  for (const [name, value] of a.values) {
    const other = b.values.get(name)!;
    if (value !== other) return value < other ? -1 : 1;
  }
  return a.faults.length - b.faults.length || a.hangs.length - b.hangs.length;
}
