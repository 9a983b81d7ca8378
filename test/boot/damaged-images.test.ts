/** Damaged images of every format: each is refused in one sentence, or runs and ends as a guest ends. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FORMAT_NAMES, type FormatName } from '../../emu/boot/formats.js';
import { Machine, type Outcome } from '../../emu/machine.js';
import { assemble } from '../../src/asm/keystone.js';
import { tinyImage } from '../system/tiny-image.js';
import { missingTools, toolsNote, Workshop } from './build-elf.js';
import { type Damage, damaged, damages, ENDS, refusalOf, type Stretch } from './damage.js';
import { linuxImage } from './linux-guest.js';
import { buildGuest, type FileKind, type GuestBuild } from './multiboot-guest.js';

const SEED = 612;
const RUNS = 1000;
const RAM = 24 << 20;
/** Three times what an undamaged run needs at most. */
const BUDGET = 30_000;

interface Sample {
  readonly image: Uint8Array;
  /** Where most of the damage is done. */
  readonly headers: readonly Stretch[];
}

const machine = new Machine({ ram: RAM });
const blank = machine.snapshot();
afterAll(() => machine.close());

/** How a run of the image ends; `refused` with one sentence. */
function endOf(image: Uint8Array, format: FormatName | undefined): Outcome['kind'] | 'refused' {
  machine.restore(blank);
  const modules = format === 'linux' ? [] : [{ bytes: Buffer.from('module'), commandLine: 'm' }];
  const refusal = refusalOf(() => {
    machine.load(image, { commandLine: 'quiet', modules, ...(format && { format }) });
  });
  if (refusal === undefined) return machine.run({ budget: BUDGET }).kind;
  expect(refusal.message).toMatch(/^expected [^\n]*$/);
  return 'refused';
}

/** @param leastRefused of the damaged images */
function survives({ image, headers }: Sample, format: FormatName | undefined, leastRefused: number): void {
  let refused = 0;
  fc.assert(
    fc.property(damages(image, headers), (damage: Damage) => {
      const end = endOf(damaged(image, damage), format);
      if (end === 'refused') refused++;
      else expect(ENDS).toContain(end);
    }),
    { numRuns: RUNS, seed: SEED },
  );
  expect(refused).toBeGreaterThan(leastRefused);
  expect(refused).toBeLessThan(RUNS);
}

const TIMEOUT = { timeout: 180_000 };

describe.skipIf(missingTools.length > 0)(`${RUNS} damaged multiboot images${toolsNote}`, () => {
  let shop: Workshop;
  beforeAll(() => {
    shop = new Workshop();
  });
  afterAll(() => shop.remove());

  const sample = (build: GuestBuild): Sample => {
    const image = Buffer.from(buildGuest(shop, 'kernel', build));
    const magic = build.version === 1 ? 0x1bad_b002 : 0xe852_50d6;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(magic);
    const header = { at: image.indexOf(word), bytes: 64 };
    return { image, headers: build.file === 'flat' ? [header] : [header, { at: 0, bytes: 120 }] };
  };

  it.each<[1 | 2, FileKind, string[]]>([
    [1, 'elf32', []],
    [1, 'flat', ['ADDRESSES']],
    [2, 'elf64', ['TAGS=1,20,1,3,6,0']],
    [2, 'flat', ['ADDRESSES', 'TAGS=10,24,0,0x1000000,4096,0']],
  ])('of version %i, %s, forced or not', TIMEOUT, (version, file, defines) => {
    const format = version === 1 ? 'multiboot' : 'multiboot2';
    const guest = sample({ version, file, defines });
    expect(endOf(guest.image, undefined)).toBe('debug-exit');
    survives(guest, file === 'flat' ? format : undefined, 200);
  });
});

it(`${RUNS} damaged Linux images`, TIMEOUT, async () => {
  const { bytes } = await assemble('mov 0x228(%rsi), %eax\nout %eax, $0xf4', {
    mode: 64,
    address: 0x10_0200n,
  });
  const image = linuxImage(bytes, { pref_address: 0x10_0000, kernel_alignment: 0x1000 });
  expect(endOf(image, 'linux')).toBe('debug-exit');
  const header = { at: 0x1f1, bytes: 0x26c - 0x1f1 };
  survives({ image, headers: [header] }, 'linux', 200);
});

it(`${RUNS} damaged PVH images`, TIMEOUT, async () => {
  const image = await tinyImage('mov $5, %eax\nout %eax, $0xf4');
  expect(endOf(image, undefined)).toBe('debug-exit');
  survives({ image, headers: [{ at: 0, bytes: image.length }] }, undefined, 200);
});

it(`${RUNS} files of random bytes, with each magic number in front of them`, TIMEOUT, () => {
  const bytes = fc.uint8Array({ maxLength: 0x400 });
  const starts = [
    Buffer.from('\x7fELF\x02\x01\x01', 'latin1'),
    Buffer.from('\x7fELF\x01\x01\x01', 'latin1'),
    Buffer.of(0x02, 0xb0, 0xad, 0x1b, 0, 0, 1, 0, 0xfe, 0x4f, 0x51, 0xe4), // with its checksum
    Buffer.of(0xd6, 0x50, 0x52, 0xe8, 0, 0, 0, 0, 0, 1, 0, 0, 0x2a, 0xae, 0xad, 0x17), // 256 bytes, with its checksum
    linuxImage(new Uint8Array()).subarray(0, 0x210),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...starts),
      bytes,
      fc.constantFrom(undefined, ...FORMAT_NAMES),
      (start, rest, format) => {
        const end = endOf(Buffer.concat([start, rest]), format);
        expect(['refused', ...ENDS]).toContain(end);
      },
    ),
    { numRuns: RUNS, seed: SEED },
  );
});
