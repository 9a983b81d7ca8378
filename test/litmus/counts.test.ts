/** The number of runs is a matter of arithmetic. */
import { describe, expect, it } from 'vitest';
import { type LitmusQuestion, litmus } from '../../src/litmus/litmus.js';

const nops = (count: number): string => Array(count).fill('nop').join('; ');
const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));
const multinomial = (...lengths: number[]): number =>
  lengths.reduce((result, length) => result / factorial(length), factorial(lengths.reduce((a, b) => a + b)));

const runs = async (question: Omit<LitmusQuestion, 'condition'>): Promise<number> => {
  const { positive, negative } = await litmus({ condition: 'forall (true)', ...question });
  expect(negative).toBe(0n);
  return Number(positive);
};

describe.each([{ join: true }, { join: false }])('number of runs, %o', (options) => {
  it('two CPUs of five instructions: 252', async () => {
    expect(await runs({ columns: { P0: nops(5), P1: nops(5) }, ...options })).toBe(252);
  });

  it.each([[[3, 4]], [[1, 1, 1]], [[2, 3, 1]], [[2, 2, 2]], [[1, 2, 1, 2]], [[1, 1, 1, 1, 1]]])(
    'columns of %j: the multinomial coefficient',
    async (lengths) => {
      const columns = Object.fromEntries(lengths.map((length, cpu) => [`P${cpu}`, nops(length)]));
      expect(await runs({ columns, ...options })).toBe(multinomial(...lengths));
    },
  );

  it.each([1, 2, 5])('an NMI has n + 1 boundaries among %i instructions', async (length) => {
    const columns = { P0: nops(length), 'P0.NMI': nops(3) };
    expect(await runs({ columns, ...options })).toBe(length + 1);
    expect(await runs({ columns, strikes: ['P0.NMI 0..1'], ...options })).toBe(length + 2);
  });

  it('a window has as many boundaries as it says, both ends included', async () => {
    const columns = { P0: 'nop; from: nop; nop; to: nop; nop', 'P0.NMI': 'nop' };
    expect(await runs({ columns, strikes: ['P0.NMI 1 in from..to'], ...options })).toBe(3);
    expect(await runs({ columns, strikes: ['P0.NMI 1 in to'], ...options })).toBe(1);
    expect(await runs({ columns, strikes: ['P0.NMI 0..1 in from..to'], ...options })).toBe(4);
  });

  it('a run that never comes to the window counts without a strike', async () => {
    const columns = { P0: 'jmp out; here: nop; out: nop', 'P0.NMI': 'nop' };
    expect(await runs({ columns, strikes: ['P0.NMI 1 in here'], ...options })).toBe(1);
  });

  it('two NMIs: the second also at each boundary inside the handler', async () => {
    // the first one at one of n + 1 boundaries; the second at m of the handler (m instructions and IRET) or behind
    const [n, m] = [3, 4];
    const behind = ((n + 1) * (n + 2)) / 2;
    const columns = { P0: nops(n), 'P0.NMI': nops(m) };
    expect(await runs({ columns, strikes: ['P0.NMI 2'], ...options })).toBe((n + 1) * m + behind);
  });

  it('a handler interleaves with other CPUs', async () => {
    // for each of the two boundaries of P0: its 1 + 2 + IRET steps among P1's three
    const columns = { P0: 'nop', 'P0.NMI': nops(2), P1: nops(3) };
    expect(await runs({ columns, ...options })).toBe(2 * multinomial(4, 3));
  });

  it('a read-modify-write without LOCK is two steps on two CPUs, one on a single one, and never open to the NMI', async () => {
    const [plain, locked] = ['incq x', 'lock incq x'];
    const two = { init: 'x=0', ...options };
    expect(await runs({ ...two, columns: { P0: plain, P1: plain } })).toBe(6);
    expect(await runs({ ...two, columns: { P0: locked, P1: locked } })).toBe(2);
    expect(await runs({ ...two, columns: { P0: plain, P1: locked } })).toBe(3);
    expect(await runs({ ...two, columns: { P0: plain, 'P0.NMI': 'nop' } })).toBe(2);
    // two boundaries; the steps of P0 are load, store, nop and IRET, those of P1 one
    expect(await runs({ ...two, columns: { P0: plain, 'P0.NMI': 'nop', P1: 'nop' } })).toBe(2 * 5);
  });
});
