import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type EndReason,
  type ReadWord,
  UNWIND_MAX_ENTRIES,
  walkFramePointers,
} from '../../src/unwind/walk.js';
import { memory, user } from './stacks.js';

const IP = 0x401000n;
const SP = 0x7ffc_0000_1000n;
const at = (offset: number): bigint => SP + BigInt(offset);

interface Row {
  readonly name: string;
  readonly fp: bigint;
  /** Words by their distance from rsp. */
  readonly stack?: Readonly<Record<number, bigint>>;
  /** What is recorded after the ip itself. */
  readonly callers: readonly bigint[];
  readonly end: EndReason;
}

/**
 * One row per case of prog.c badfp() and its mode `deep`, with the number of entries that Linux 7.2 recorded
 * (test/data/linux-7.2/README.md), and some of our own.
 */
const rows: readonly Row[] = [
  { name: 'rbp = 0', fp: 0n, callers: [], end: 'fp-below-sp' },
  { name: 'rbp one word below rsp', fp: at(-8), callers: [], end: 'fp-below-sp' },
  { name: 'rbp one byte above rsp', fp: at(1), callers: [], end: 'misaligned' },
  { name: 'rbp half a word above rsp', fp: at(4), callers: [], end: 'misaligned' },
  {
    name: 'rbp equal to rsp goes on',
    fp: at(0),
    stack: { 0: at(16), 8: 0x11n, 16: at(32), 24: 0x22n, 32: 0n, 40: 0x33n },
    callers: [0x11n, 0x22n, 0x33n],
    end: 'fp-below-sp',
  },
  { name: 'rbp in no page', fp: 0x7fff_ffff_e000n, callers: [], end: 'return-address-unreadable' },
  { name: 'rbp not canonical', fp: 0x8000_0000_0000_0000n, callers: [], end: 'return-address-unreadable' },
  { name: 'rbp in the kernel', fp: 0xffff_ffff_8100_0000n, callers: [], end: 'return-address-unreadable' },
  { name: 'rbp = -16: the CFA wraps to 0', fp: 0xffff_ffff_ffff_fff0n, callers: [], end: 'cfa-not-above-sp' },
  {
    name: 'rbp = -32: the CFA is -16',
    fp: 0xffff_ffff_ffff_ffe0n,
    callers: [],
    end: 'return-address-unreadable',
  },
  {
    name: 'rbp points at itself',
    fp: at(64),
    stack: { 64: at(64), 72: 0x1111n },
    callers: [0x1111n],
    end: 'fp-below-sp',
  },
  {
    name: 'return addresses 0, garbage and kernel are recorded',
    fp: at(16),
    stack: { 16: at(32), 24: 0n, 32: at(48), 40: 0xdead_beef_cafen, 48: 0n, 56: 0xffff_ffff_8100_0000n },
    callers: [0n, 0xdead_beef_cafen, 0xffff_ffff_8100_0000n],
    end: 'fp-below-sp',
  },
  {
    name: 'saved rbp readable, return address not',
    fp: at(4088),
    stack: { 4088: 0x2222n },
    callers: [],
    end: 'return-address-unreadable',
  },
  {
    name: 'one good frame, then the return address not readable',
    fp: at(4072),
    stack: { 4072: at(4088), 4080: 0x3333n, 4088: 0n },
    callers: [0x3333n],
    end: 'return-address-unreadable',
  },
  {
    name: 'return address readable, saved rbp not',
    fp: at(8),
    stack: { 16: 0x77n },
    callers: [],
    end: 'frame-pointer-unreadable',
  },
  {
    name: 'saved rbp goes down',
    fp: at(64),
    stack: { 64: at(0), 72: 0x4444n, 0: at(0), 8: 0x1111n },
    callers: [0x4444n],
    end: 'fp-below-sp',
  },
  {
    name: 'second saved rbp inside its own frame',
    fp: at(80),
    stack: { 80: at(96), 88: 0x5555n, 96: at(105), 104: 0x6666n },
    callers: [0x5555n, 0x6666n],
    end: 'fp-below-sp',
  },
  {
    name: 'second saved rbp misaligned',
    fp: at(80),
    stack: { 80: at(96), 88: 0x5555n, 96: at(113), 104: 0x6666n },
    callers: [0x5555n, 0x6666n],
    end: 'misaligned',
  },
];

const placed = (stack: Row['stack'] = {}): ReadWord =>
  memory(
    Object.fromEntries(Object.entries(stack).map(([offset, word]) => [String(at(Number(offset))), word])),
  );

describe('the walk over one chain', () => {
  test.each(rows)('$name', ({ fp, stack, callers, end }) => {
    expect(walkFramePointers(user(IP, SP, fp), placed(stack))).toEqual({ entries: [IP, ...callers], end });
  });
});

describe('where no walk begins', () => {
  const regs = user(IP, SP, 0n);
  test.each([
    ['max is 0', regs, 0, 'no-room'],
    ['kernel thread', { ...regs, kthread: true }, 511, 'kernel-thread'],
    ['registers of the kernel', { ...regs, userMode: false }, 511, 'not-user'],
    ['virtual 8086 mode', { ...regs, wordSize: 0 as const }, 511, 'no-word-size'],
  ] as const)('%s', (_, start, max, end) => {
    expect(walkFramePointers(start, memory({}), { max })).toEqual({ entries: [], end });
  });
});

/** A stack of `depth` callers, each frame two words. */
const endless: ReadWord = (address) => (address % 16n === 0n ? address + 16n : address);

test('511 entries are recorded, the ip among them', () => {
  const { entries, end } = walkFramePointers(user(IP, SP, SP), endless);
  expect(entries.length).toBe(UNWIND_MAX_ENTRIES);
  expect(end).toBe('limit');
});

test('a chain of just as many entries as there is room for ends by the limit', () => {
  const stack = placed({ 0: 0n, 8: 0x11n });
  expect(walkFramePointers(user(IP, SP, SP), stack, { max: 2 }).end).toBe('limit');
  expect(walkFramePointers(user(IP, SP, SP), stack, { max: 3 }).end).toBe('fp-below-sp');
});

test('32-bit words are four bytes', () => {
  const sizes = new Set<number>();
  const words: Record<string, bigint> = { '4096': 4112n, '4100': 0x11n, '4112': 0n, '4116': 0x22n };
  const regs = { ip: 0x10n, sp: 4096n, fp: 4096n, userMode: true, wordSize: 4 as const };
  const walk = walkFramePointers(regs, (address, size) => {
    sizes.add(size);
    return memory(words)(address, size);
  });
  expect(walk).toEqual({ entries: [0x10n, 0x11n, 0x22n], end: 'fp-below-sp' });
  expect([...sizes]).toEqual([4]);
});

test('the last word below the end of user space is read, the next one is not', () => {
  const fp = 0x7fff_ffff_eff0n;
  const asked: bigint[] = [];
  const readAll: ReadWord = (address) => {
    asked.push(address);
    return 0n;
  };
  expect(walkFramePointers(user(IP, SP, fp), readAll).entries.length).toBe(2);
  expect(asked).toEqual([fp + 8n, fp]);
  expect(walkFramePointers(user(IP, SP, fp + 8n), readAll).end).toBe('return-address-unreadable');
});

/** The same rules once more, as recursion over a list of conditions instead of a loop. */
function reference(ip: bigint, sp: bigint, fp: bigint, read: ReadWord, room: number): [bigint[], EndReason] {
  const cfa = (fp + 16n) & 0xffff_ffff_ffff_ffffn;
  const load = (address: bigint) =>
    address >= 0n && address + 8n <= 0x7fff_ffff_f000n ? read(address as never, 8) : undefined;
  const stops: readonly [EndReason, () => boolean][] = [
    ['limit', () => room <= 1],
    ['fp-below-sp', () => !(fp >= sp)],
    ['cfa-not-above-sp', () => !(cfa > sp)],
    ['misaligned', () => (cfa & 7n) > 0n],
    ['return-address-unreadable', () => load(cfa - 8n) === undefined],
    ['frame-pointer-unreadable', () => load(cfa - 16n) === undefined],
  ];
  const stop = stops.find(([, holds]) => holds());
  if (stop !== undefined) return [[ip], stop[0]];
  const [callers, end] = reference(load(cfa - 8n)!, cfa, load(cfa - 16n)!, read, room - 1);
  return [[ip, ...callers], end];
}

/** Small numbers around a stack, and words from anywhere: chains that hold for a while and chains that break at once. */
const nearby = fc.bigInt({ min: 0n, max: 64n }).map((n) => SP + n * 4n);
const anyWord = fc.oneof(
  { weight: 6, arbitrary: nearby },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }) },
  { weight: 1, arbitrary: fc.constantFrom(0n, 0xffff_ffff_ffff_fff0n, 0x7fff_ffff_eff0n) },
);
const randomStack = fc.array(fc.option(anyWord, { nil: undefined, freq: 12 }), {
  minLength: 34,
  maxLength: 34,
});

test('on random memory it is equal to the reference, ends, keeps to its limit, and climbs', () => {
  fc.assert(
    fc.property(randomStack, anyWord, anyWord, fc.integer({ min: 1, max: 40 }), (stack, sp, fp, max) => {
      const frames: bigint[] = [];
      const read: ReadWord = (address) => {
        const index = Number(address - SP) / 8;
        return Number.isInteger(index) ? stack[index] : undefined;
      };
      const logged: ReadWord = (address, size) => {
        frames.push(address);
        return read(address, size);
      };
      const { entries, end } = walkFramePointers(user(IP, sp, fp), logged, { max });
      expect([entries, end]).toEqual(reference(IP, sp, fp, read, max));
      expect(entries.length).toBeLessThanOrEqual(max);
      const returnAddresses = frames.filter((_, index) => index % 2 === 0);
      expect(
        returnAddresses.every((address, index) => index === 0 || address > returnAddresses[index - 1]!),
      ).toBe(true);
    }),
    { numRuns: 3000 },
  );
});

test('a chain that is built is found again', () => {
  const frameSizes = fc.array(fc.integer({ min: 2, max: 60 }), { maxLength: 500 });
  fc.assert(
    fc.property(frameSizes, (sizes) => {
      const words: Record<string, bigint> = {};
      const callers: bigint[] = [];
      let fp = SP;
      for (const [index, size] of sizes.entries()) {
        const next = index + 1 === sizes.length ? 0n : fp + BigInt(8 * size);
        words[String(fp)] = next;
        words[String(fp + 8n)] = BigInt(index + 1);
        callers.push(BigInt(index + 1));
        fp = next;
      }
      const first = sizes.length === 0 ? 0n : SP;
      expect(walkFramePointers(user(IP, SP, first), memory(words))).toEqual({
        entries: [IP, ...callers],
        end: 'fp-below-sp',
      });
    }),
    { numRuns: 200 },
  );
});
