/** The machine against a model that is written another way: the same states, each by the same number of runs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { litmus } from '../../src/litmus/litmus.js';
import { allRuns, initialRegisters, type Op, REGISTERS, textOf, VARIABLES } from './model.js';

const variable = fc.constantFrom(...VARIABLES);
const register = fc.constantFrom(...REGISTERS);
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ op: fc.constant('store' as const), to: variable, value: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ op: fc.constant('load' as const), from: variable, into: register }),
  fc.record({ op: fc.constant('put' as const), from: register, to: variable }),
  fc.record({
    op: fc.constantFrom('add' as const, 'xadd' as const, 'cmpxchg' as const, 'xchg' as const),
    register,
    with: variable,
    lock: fc.boolean(),
  }),
);
const column = fc.array(op, { minLength: 1, maxLength: 3 });

async function machineRuns(
  columns: readonly (readonly Op[])[],
  nmi: readonly Op[] | undefined,
  join: boolean,
): Promise<Map<string, bigint>> {
  const registers = columns.flatMap((_, cpu) =>
    Object.entries(initialRegisters(cpu)).map(([name, value]) => `${cpu}:${name}=${value}`),
  );
  const shown = columns.flatMap((_, cpu) => REGISTERS.map((name) => `${cpu}:${name}`));
  const { states } = await litmus({
    init: ['x=1', 'y=2', ...registers].join('; '),
    columns: {
      ...Object.fromEntries(columns.map((ops, cpu) => [`P${cpu}`, ops.map(textOf).join('; ')])),
      ...(nmi && { 'P0.NMI': nmi.map(textOf).join('; ') }),
    },
    condition: 'forall (true)',
    locations: [...shown, ...VARIABLES].join(' '),
    join,
  });
  return new Map(
    states.map(({ values, runs }) => [
      [...values].map(([name, value]) => `${name}=${value}`).join(' '),
      runs,
    ]),
  );
}

const sorted = (runs: Map<string, bigint>): [string, bigint][] =>
  [...runs].sort(([a], [b]) => (a < b ? -1 : 1));

describe('random programs', () => {
  it('two CPUs', async () => {
    await fc.assert(
      fc.asyncProperty(column, column, fc.boolean(), async (a, b, join) => {
        expect(sorted(await machineRuns([a, b], undefined, join))).toEqual(
          sorted(allRuns({ columns: [a, b] })),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('a CPU and its NMI', async () => {
    await fc.assert(
      fc.asyncProperty(column, column, fc.boolean(), async (a, nmi, join) => {
        expect(sorted(await machineRuns([a], nmi, join))).toEqual(sorted(allRuns({ columns: [a], nmi })));
      }),
      { numRuns: 60 },
    );
  });

  it('two CPUs, one with an NMI', async () => {
    const short = fc.array(op, { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(short, short, short, fc.boolean(), async (a, b, nmi, join) => {
        expect(sorted(await machineRuns([a, b], nmi, join))).toEqual(
          sorted(allRuns({ columns: [a, b], nmi })),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('three CPUs', async () => {
    const short = fc.array(op, { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(short, short, short, async (a, b, c) => {
        expect(sorted(await machineRuns([a, b, c], undefined, true))).toEqual(
          sorted(allRuns({ columns: [a, b, c] })),
        );
      }),
      { numRuns: 30 },
    );
  });
});
