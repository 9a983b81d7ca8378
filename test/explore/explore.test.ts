import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExploreLimit, explore, type World } from '../../src/explore/explore.js';

/** Columns of steps; the outcome is made from the order in which the steps were taken. */
class Columns implements World<number, readonly number[]> {
  taken: number[] = [];
  restored = 0;
  readonly #lengths: readonly number[];
  readonly #outcome: (taken: readonly number[]) => string | undefined;
  readonly identity?: () => string;

  constructor(
    lengths: readonly number[],
    outcome: (taken: readonly number[]) => string | undefined,
    identity?: (taken: readonly number[]) => string,
  ) {
    this.#lengths = lengths;
    this.#outcome = outcome;
    if (identity !== undefined) this.identity = () => identity(this.taken);
  }
  choices(): number[] {
    return this.#lengths.flatMap((length, column) =>
      this.taken.filter((taken) => taken === column).length < length ? [column] : [],
    );
  }
  take(column: number): void {
    this.taken.push(column);
  }
  snapshot(): readonly number[] {
    return [...this.taken];
  }
  restore(snapshot: readonly number[]): void {
    this.restored++;
    this.taken = [...snapshot];
  }
  outcome(): string | undefined {
    return this.#outcome(this.taken);
  }
}

const factorial = (n: number): bigint => (n < 2 ? 1n : BigInt(n) * factorial(n - 1));
const multinomial = (lengths: readonly number[]): bigint =>
  lengths.reduce(
    (result, length) => result / factorial(length),
    factorial(lengths.reduce((a, b) => a + b, 0)),
  );

/** The second implementation: all words with so many of each letter, made by inserting one column into the words of the others. */
function words(lengths: readonly number[]): string[] {
  let found = [''];
  for (const [column, length] of lengths.entries()) {
    for (let step = 0; step < length; step++) {
      // each new letter goes behind the last one of its kind, so that no word is made twice
      found = found.flatMap((word) => {
        const from = word.lastIndexOf(`${column}`) + 1;
        return Array.from(
          { length: word.length - from + 1 },
          (_, at) => `${word.slice(0, from + at)}${column}${word.slice(from + at)}`,
        );
      });
    }
  }
  return found;
}

const smallColumns = fc
  .array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 })
  .filter((lengths) => multinomial(lengths) <= 3000n);

describe('explore', () => {
  it('makes 252 runs of two columns of five steps', () => {
    const world = new Columns([5, 5], (taken) => taken.join(''));
    const { runs, outcomes, discarded, joined, steps } = explore(world);
    expect(runs).toBe(252n);
    expect(outcomes.size).toBe(252);
    expect([discarded, joined]).toEqual([0n, 0]);
    // one step for each proper beginning of a run: the sum of C(i+j, i) for i, j up to 5, without the empty one
    expect(steps).toBe(922);
  });

  it('makes each interleaving once, as many as the multinomial coefficient says', () => {
    fc.assert(
      fc.property(smallColumns, (lengths) => {
        const { runs, outcomes } = explore(new Columns(lengths, (taken) => taken.join('')));
        expect(runs).toBe(multinomial(lengths));
        expect([...outcomes.keys()].sort()).toEqual(words(lengths).sort());
      }),
    );
  });

  it('counts the same runs when it joins equal states', () => {
    const last = (taken: readonly number[]): string => `${taken.at(-1)}`;
    const counts = (taken: readonly number[], columns: number): number[] =>
      Array.from({ length: columns }, (_, column) => taken.filter((step) => step === column).length);
    fc.assert(
      fc.property(smallColumns, (lengths) => {
        const apart = explore(new Columns(lengths, last));
        const world = new Columns(
          lengths,
          last,
          (taken) => `${counts(taken, lengths.length)} ${last(taken)}`,
        );
        const joined = explore(world);
        expect(new Map([...joined.outcomes].map(([outcome, { runs }]) => [outcome, runs]))).toEqual(
          new Map([...apart.outcomes].map(([outcome, { runs }]) => [outcome, runs])),
        );
        expect(joined.steps).toBeLessThanOrEqual(apart.steps);
      }),
    );
  });

  it('counts more runs than could ever be made, where states join', () => {
    const world = new Columns(
      [30, 30, 30],
      () => 'end',
      (taken) => [0, 1, 2].map((column) => taken.filter((step) => step === column).length).join(),
    );
    const { runs, steps } = explore(world);
    expect(runs).toBe(multinomial([30, 30, 30]));
    expect(steps).toBeLessThan(100_000);
    expect(explore(new Columns([4, 4], () => 'end', String), { join: false }).joined).toBe(0);
  });

  it('goes back only where there is a choice', () => {
    const world = new Columns([7], () => 'end');
    expect(explore(world).steps).toBe(7);
    expect(world.restored).toBe(0);
  });

  it('gives a schedule that leads to each outcome', () => {
    const lengths = [2, 3];
    const { outcomes } = explore(
      new Columns(
        lengths,
        (taken) => `${taken.indexOf(1)}`,
        (taken) => `${taken}`,
      ),
    );
    expect(outcomes.size).toBe(3);
    for (const [outcome, { schedule }] of outcomes) {
      expect(schedule).toHaveLength(5);
      expect(`${schedule.indexOf(1)}`).toBe(outcome);
    }
  });

  it('keeps runs that do not count apart', () => {
    const world = new Columns([2, 2], (taken) => (taken[0] === 0 ? undefined : 'begun by 1'));
    const { runs, discarded, outcomes } = explore(world);
    expect([runs, discarded]).toEqual([3n, 3n]);
    expect([...outcomes.keys()]).toEqual(['begun by 1']);
  });

  it('gives up at the limit and says so', () => {
    const world = (): Columns => new Columns([5, 5], () => 'end');
    expect(() => explore(world(), { limit: 921 })).toThrow(ExploreLimit);
    expect(() => explore(world(), { limit: 921 })).toThrow('expected at most 921 steps');
    expect(explore(world(), { limit: 922 }).runs).toBe(252n);
  });
});
