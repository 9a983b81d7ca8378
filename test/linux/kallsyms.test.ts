/** kallsyms tables of every form are found and decoded, wherever they lie. Their encoder follows scripts/kallsyms.c. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { type KernelSymbol, readKallsyms } from '../../src/linux/kallsyms.js';
import type { Memory } from '../../src/linux/kernel-memory.js';
import { LinuxError } from '../../src/linux/linux-error.js';
import { damaged, damages } from '../boot/damage.js';
import { isPerCpu, kallsymsOf, type NamedAddress, RELEASES } from './kallsyms-encoder.js';

const TEXT = 0xffff_ffff_8100_0000n;
/** Every digit is in a kernel's names. */
const DIGITS: NamedAddress = { name: 'crc10_23456789', type: 'T', address: TEXT };
const RUNS = 60;
const SEED = 712;
const ROWS = Object.entries(RELEASES);

const found = (...memory: Memory[]): NamedAddress[] =>
  readKallsyms(memory).map(({ name, type, address }: KernelSymbol) => ({ name, type, address }));

/** Whether a table of the form can tell per-CPU variables that begin at address 0. */
const hasPerCpu = (release: string): boolean => RELEASES[release]!.form === 'relative, per-CPU absolute';

const name = fc.oneof(
  { weight: 30, arbitrary: fc.stringMatching(/^[A-Za-z_.$][A-Za-z0-9_.$]{0,40}$/) },
  { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z0-9_]{130,500}$/) },
);
const step = fc.record({
  name,
  type: fc.constantFrom(...'ABDRTVWabdrtvw'),
  distance: fc.oneof(fc.constant(0), fc.nat(0x1_0000)),
});

/** Names from an address on. */
const from = (start: bigint, steps: readonly { name: string; type: string; distance: number }[]) => {
  let address = start;
  return steps.map(({ distance, ...symbol }) => {
    address += BigInt(distance);
    return { ...symbol, address };
  });
};

const kernel = (release: string): fc.Arbitrary<NamedAddress[]> =>
  fc
    .record({
      perCpu: fc.array(step, { maxLength: hasPerCpu(release) ? 20 : 0 }),
      steps: fc.array(step, { minLength: 20, maxLength: 600, size: 'max' }),
    })
    .map(({ perCpu, steps }) => [...from(0n, perCpu), DIGITS, ...from(TEXT, steps)]);

describe.each(ROWS)('the tables of %s', (release, form) => {
  it('give back every name, type and address, wherever they lie', () => {
    fc.assert(
      fc.property(
        kernel(release),
        fc.array(fc.stringMatching(/^[a-z_]{2,8}$/), { maxLength: 120 }),
        fc.uint8Array({ maxLength: 64 }),
        fc.uint8Array({ maxLength: 64 }),
        (symbols, strings, before, behind) => {
          const { address, bytes } = kallsymsOf({ release: form, symbols, strings });
          const memory = {
            address: address - BigInt(before.length),
            bytes: Buffer.concat([before, bytes, behind]),
          };
          expect(found({ address: TEXT, bytes: before }, memory)).toEqual(symbols);
        },
      ),
      { numRuns: RUNS, seed: SEED },
    );
  });

  test('a thousand damaged ones are refused in one sentence or read', { timeout: 120_000 }, () => {
    const [symbols] = fc.sample(kernel(release), { numRuns: 1, seed: SEED });
    const { address, bytes } = kallsymsOf({ release: form, symbols: symbols!, strings: ['ab', 'cde', '_f'] });
    let refused = 0;
    fc.assert(
      fc.property(damages(bytes), (damage) => {
        try {
          for (const symbol of found({ address, bytes: damaged(bytes, damage) }))
            expect(symbol.name).toMatch(/^[!-~]+$/);
        } catch (error) {
          if (!(error instanceof LinuxError)) throw error;
          expect(error.message).toMatch(/^expected [^\n]*$/);
          refused++;
        }
      }),
      { numRuns: 1000, seed: SEED },
    );
    expect(refused).toBeGreaterThan(200);
    expect(refused).toBeLessThan(1000);
  });
});

/** As many names as a marker group has, and one more or less. */
const many = (count: number): NamedAddress[] => [
  DIGITS,
  ...Array.from({ length: count - 1 }, (_, index) => ({
    name: `routine_${index}`,
    type: 't',
    address: TEXT + BigInt(16 * index),
  })),
];

test.each([255, 256, 257, 512, 5000])('%i names', (count) => {
  const symbols = many(count);
  for (const release of Object.values(RELEASES))
    expect(found(kallsymsOf({ release, symbols, strings: ['routine_', '00'] }))).toEqual(symbols);
});

test('absolute addresses may be per-CPU variables too, at address 0', () => {
  const perCpu = [0n, 0n, 0x1000n, 0x6000n].map((address) => ({
    name: `pcpu_${address}`,
    type: 'A',
    address,
  }));
  const symbols = [...perCpu, ...many(100)];
  expect(symbols.filter(isPerCpu)).toHaveLength(4);
  for (const release of [RELEASES['4.4']!, RELEASES['6.4 without a base']!])
    expect(found(kallsymsOf({ release, symbols }))).toEqual(symbols);
});

test('memory of a kernel that was moved has the addresses that it was moved to', () => {
  const release = RELEASES['7.0']!;
  const { address, bytes } = kallsymsOf({ release, symbols: many(40) });
  const slide = 0x1a00_0000n;
  expect(found({ address: address + slide, bytes })).toEqual(
    many(40).map((symbol) => ({ ...symbol, address: symbol.address + slide })),
  );
});

test.each<[string, Memory[]]>([
  ['nothing', []],
  ['an empty stretch', [{ address: TEXT, bytes: new Uint8Array() }]],
  ['digits alone', [{ address: TEXT, bytes: Buffer.from([...'0123456789'].join('\0')) }]],
  [
    'digits that end',
    [{ address: TEXT, bytes: Buffer.from(`${[...'0123456789'].join('\0')}\0`.repeat(20)) }],
  ],
  ['tables of a few names', [kallsymsOf({ release: RELEASES['7.0']!, symbols: many(15) })]],
])('in %s there are no names', (_, memory) => {
  expect(() => readKallsyms(memory)).toThrow(LinuxError);
  expect(() => readKallsyms(memory)).toThrow(
    /^expected the names of a Linux kernel \(kallsyms\) in its memory, found none/,
  );
});
