/** Each mutant is caught by the invariants that it is to break and by no other; the kernel that it was made from breaks none there. */
import { describe, expect, it, test } from 'vitest';
import { disassembler } from '../../src/asm/capstone.js';
import { codeFrom } from '../../src/asm/code.js';
import { MUTANTS, MUTATED_VERSION, type Mutant } from '../../src/invariants/mutants.js';
import { INVARIANTS } from '../../src/invariants/rules/table.js';
import { openImage } from '../../src/lab/open.js';
import { type Swept, sweep } from './sweeps.js';

const IMAGE = openImage(`build/kernel-${MUTATED_VERSION}.elf`);

/** The mnemonics of what lies at a place, as `MutantPatch.was` has them. */
async function mnemonicsAt(place: string, bytes: number): Promise<string> {
  const [symbol, offset] = place.split('+');
  const address = IMAGE.symbols.require(symbol!) + BigInt(offset ?? 0);
  const code = codeFrom(IMAGE, address, BigInt(bytes))!;
  const decoder = await disassembler();
  return [...decoder.decode(code.bytes, address)].map(({ mnemonic }) => mnemonic).join('; ');
}

test.each(MUTANTS.flatMap(({ name, patches }) => patches.map((patch) => [name, patch] as const)))(
  '%s patches what it was made for',
  async (_name, { at, bytes, was }) => {
    expect(await mnemonicsAt(at, bytes!)).toBe(was);
  },
);

test('every invariant has a mutant that breaks it alone', () => {
  const alone = new Set(MUTANTS.filter(({ breaks }) => breaks.length === 1).map(({ breaks: [id] }) => id));
  expect(alone).toEqual(new Set([...INVARIANTS.map(({ id }) => id), 'exit-reached']));
});

/** The mutant's sweep, of it or of the kernel that it was made from. */
const sweepOf = (
  { patches, sweep: { from, to, occurrence, ...guest } }: Mutant,
  healthy: boolean,
): Promise<Swept> =>
  sweep(
    {
      ...guest,
      version: MUTATED_VERSION,
      patches: healthy ? [] : patches.map(({ was: _, ...patch }) => patch),
    },
    { from, to, occurrence },
  );

describe.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))('%s', (_name, mutant) => {
  it(`breaks ${mutant.breaks.join(' and ')} and nothing else`, async () => {
    const { breaches, struckIn } = await sweepOf(mutant, false);
    expect(breaches.map(({ ids }) => ids)).toEqual([mutant.breaks]);
    expect(struckIn(breaches[0]!)).toBe(mutant.shownIn);
  });

  it('the kernel that it was made from breaks nothing there', async () => {
    const { breaches, runs } = await sweepOf(mutant, true);
    expect(breaches).toEqual([]);
    expect(runs).toBeGreaterThan(2);
  });
});
