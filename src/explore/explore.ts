/**
 * The search over everything that can happen: depth first, every choice at every branch, each complete run counted once.
 * It knows no machine. A World says what can happen next, does it, and can go back.
 */

/** What is explored. `Choice` is one thing that can happen; `Snapshot` is whatever the world needs to come back. */
export interface World<Choice, Snapshot> {
  /** What can happen now; nothing: the run is complete. The same state gives the same choices in the same order. */
  choices(): readonly Choice[];
  take(choice: Choice): void;
  snapshot(): Snapshot;
  /** Goes back to a snapshot, which may be restored again. */
  restore(snapshot: Snapshot): void;
  /** What a complete run has come to; undefined: the run does not count. */
  outcome(): string | undefined;
  /**
   * Names the present state: states with equal names have the same choices, futures and outcomes. With it, a state
   * reached by several ways is explored once, and its runs are counted for each way.
   */
  identity?(): string;
}

export interface ExploreOptions {
  /** False: every run is made by itself, even from a state that was there before. Default true. */
  readonly join?: boolean;
  /** Choices that may be taken before the search is given up; no limit by default. */
  readonly limit?: number;
}

/** All runs that have come to one outcome. */
export interface Reached<Choice> {
  readonly runs: bigint;
  /** The first of them: the choices from the start. */
  readonly schedule: readonly Choice[];
}

export interface Exploration<Choice> {
  /** In the order in which the search has met them. */
  readonly outcomes: ReadonlyMap<string, Reached<Choice>>;
  /** Complete runs that count; the sum over the outcomes. */
  readonly runs: bigint;
  /** Complete runs that do not count. */
  readonly discarded: bigint;
  /** Choices that the world has taken. */
  readonly steps: number;
  /** Times that the search has met a state again and not explored it again. */
  readonly joined: number;
}

/** The search has taken more steps than it was allowed; nothing is known about the rest. */
export class ExploreLimit extends Error {
  override readonly name = 'ExploreLimit';
  readonly limit: number;
  constructor(limit: number) {
    super(`expected at most ${limit} steps, found that more are needed`);
    this.limit = limit;
  }
}

/**
 * Makes every run that is possible from the world's present state.
 * @throws {ExploreLimit} when `limit` steps were not enough.
 */
export function explore<Choice, Snapshot>(
  world: World<Choice, Snapshot>,
  options: ExploreOptions = {},
): Exploration<Choice> {
  const search = new Search(world, options);
  const futures = search.futures();
  const outcomes = new Map<string, Reached<Choice>>();
  let runs = 0n;
  for (const [outcome, { runs: count, path }] of futures) {
    if (outcome === undefined) continue;
    outcomes.set(outcome, { runs: count, schedule: [...along(path)] });
    runs += count;
  }
  const discarded = futures.get(undefined)?.runs ?? 0n;
  return { outcomes, runs, discarded, steps: search.steps, joined: search.joined };
}

/** The choices of a run from some state on; runs share their ends. */
type Path<Choice> = { readonly choice: Choice; readonly next: Path<Choice> } | undefined;

function* along<Choice>(path: Path<Choice>): Generator<Choice> {
  for (let link = path; link !== undefined; link = link.next) yield link.choice;
}

/** What can become of a state: for each outcome the number of runs and the first one. Undefined: they do not count. */
type Futures<Choice> = ReadonlyMap<
  string | undefined,
  { readonly runs: bigint; readonly path: Path<Choice> }
>;

class Search<Choice, Snapshot> {
  steps = 0;
  joined = 0;
  readonly #world: World<Choice, Snapshot>;
  readonly #limit: number;
  readonly #known: Map<string, Futures<Choice>> | undefined;

  constructor(
    world: World<Choice, Snapshot>,
    { join = true, limit = Number.POSITIVE_INFINITY }: ExploreOptions,
  ) {
    this.#world = world;
    this.#limit = limit;
    this.#known = join && world.identity !== undefined ? new Map() : undefined;
  }

  /** All futures of the world's present state; leaves the world in some later one. */
  futures(): Futures<Choice> {
    const forced: Choice[] = [];
    let choices = this.#world.choices();
    while (choices.length === 1) {
      forced.push(choices[0]!);
      this.#take(choices[0]!);
      choices = this.#world.choices();
    }
    const futures =
      choices.length === 0
        ? new Map([[this.#world.outcome(), { runs: 1n, path: undefined }]])
        : this.#branch(choices);
    if (forced.length === 0) return futures;
    return new Map(
      Array.from(futures, ([outcome, { runs, path }]) => [
        outcome,
        { runs, path: forced.reduceRight<Path<Choice>>((next, choice) => ({ choice, next }), path) },
      ]),
    );
  }

  #branch(choices: readonly Choice[]): Futures<Choice> {
    const world = this.#world;
    const identity = this.#known && world.identity?.();
    const known = identity === undefined ? undefined : this.#known?.get(identity);
    if (known !== undefined) {
      this.joined++;
      return known;
    }
    const snapshot = world.snapshot();
    const all = new Map<string | undefined, { runs: bigint; path: Path<Choice> }>();
    for (const [index, choice] of choices.entries()) {
      if (index > 0) world.restore(snapshot);
      this.#take(choice);
      for (const [outcome, { runs, path }] of this.futures()) {
        const before = all.get(outcome);
        if (before === undefined) all.set(outcome, { runs, path: { choice, next: path } });
        else before.runs += runs;
      }
    }
    if (identity !== undefined) this.#known?.set(identity, all);
    return all;
  }

  #take(choice: Choice): void {
    if (this.steps >= this.#limit) throw new ExploreLimit(this.#limit);
    this.steps++;
    this.#world.take(choice);
  }
}
