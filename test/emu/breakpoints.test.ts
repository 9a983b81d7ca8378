/** Breakpoints at the beginning of blocks and in the middle of them, whatever the slices of a run: the oracle is one instruction at a time. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AT, Bare } from './bare.js';

const INSTRUCTIONS = [
  'mov $3, %ecx',
  'xor %eax, %eax',
  'inc %eax',
  'push %rax',
  'call i14',
  'pop %rdx',
  'nop',
  'cmp $2, %eax',
  'jb i11',
  'nop',
  'dec %edx',
  'dec %ecx',
  'jnz i2',
  'hlt',
  'inc %ebx',
  'test $1, %bl',
  'jz i18',
  'inc %ebx',
  'ret',
];

interface Pass {
  readonly rip: bigint;
  readonly now: number;
}

async function laidOut(): Promise<{ bare: Bare; places: readonly bigint[] }> {
  const bare = new Bare();
  const labels = await bare.code(INSTRUCTIONS.map((text, index) => `i${index}: ${text}`).join('\n'));
  return { bare, places: INSTRUCTIONS.map((_text, index) => labels.get(`i${index}`)!) };
}

test('each pass is seen once, at its time, and a run that is stopped there goes on from it', async () => {
  const { bare, places } = await laidOut();
  const start = bare.machine.snapshot();
  const all: Pass[] = [];
  for (; bare.cpu.activity === 'running'; bare.machine.step())
    all.push({ rip: bare.cpu.state.rip, now: bare.cpu.now });
  const end = bare.machine.events.hash.digest;

  const choice = fc.record({
    at: fc.uniqueArray(fc.nat(INSTRUCTIONS.length - 1), { maxLength: 6 }),
    slices: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
    stops: fc.boolean(),
  });
  fc.assert(
    fc.property(choice, ({ at, slices, stops }) => {
      bare.machine.restore(start);
      const seen: Pass[] = [];
      const wanted = new Set(at.map((index) => places[index]!));
      const removers = [...wanted].map((place) =>
        bare.machine.breakpoint(place, (cpu) => {
          seen.push({ rip: cpu.state.rip, now: cpu.now });
          return stops;
        }),
      );
      for (let slice = 0; bare.cpu.activity === 'running'; slice++)
        bare.machine.run({ budget: slices[slice % slices.length]! });
      for (const remove of removers) remove();
      expect(seen).toEqual(all.filter(({ rip }) => wanted.has(rip)));
      expect(bare.machine.events.hash.digest).toBe(end);
    }),
    { numRuns: 150 },
  );
  expect(all.length).toBeGreaterThan(40);
  expect(places[0]).toBe(BigInt(AT.code));
  bare.close();
});
