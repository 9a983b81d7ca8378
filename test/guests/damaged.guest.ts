/** Damaged copies of images that nobody here wrote: each is refused in one sentence, or runs on a pc and ends as a guest ends. */
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import type { FormatName } from '../../emu/boot/formats.js';
import { Machine, type Outcome } from '../../emu/machine.js';
import { damaged, damages, refusalOf, type Stretch } from '../boot/damage.js';
import { BRIEF, guest } from './boot.js';

const SEED = 612;
const BUDGET = 200_000;
const COMMAND_LINE = 'console=ttyS0 com1=115200 console=com1';
const ENDS: readonly Outcome['kind'][] = [
  'poweroff',
  'debug-exit',
  'reset',
  'budget',
  'triple-fault',
  'hang',
  'bus-error',
];

/** Where half of the bits are turned: the setup header, the ELF header with what follows it, Xen's headers of both multiboots. */
const SETUP: Stretch = { at: 0x1f1, bytes: 0x26c - 0x1f1 };
const ELF: Stretch = { at: 0, bytes: 0x200 };

interface Image {
  readonly file: string;
  readonly format: FormatName;
  /** MiB of RAM. */
  readonly ram: number;
  readonly header: Stretch;
  readonly copies: number;
}
const IMAGES: readonly Image[] = [
  { file: 'memtest.bin', format: 'linux', ram: 16, header: SETUP, copies: 1000 },
  { file: 'vmlinuz', format: 'linux', ram: 128, header: SETUP, copies: 1000 },
  { file: 'xen', format: 'multiboot', ram: 64, header: ELF, copies: 1000 },
  { file: 'xen', format: 'multiboot2', ram: 64, header: ELF, copies: 1000 },
  { file: 'vmlinux', format: 'pvh', ram: 128, header: ELF, copies: 200 }, // 50 MB each
];

let machine: Machine | undefined;
afterEach(() => {
  machine?.close();
  machine = undefined;
});

for (const { file, format, ram, header, copies } of IMAGES) {
  const isMissing = !existsSync(guest(file));
  test.skipIf(isMissing || BRIEF)(
    `${copies} of ${file} by ${format}${isMissing ? ' (skipped: make guests)' : ''}`,
    () => {
      const image = readFileSync(guest(file));
      const each = new Machine({ kind: 'pc', ram: ram << 20, cpus: 2, freeRunning: true });
      machine = each;
      const blank = each.snapshot();
      const endOf = (bytes: Uint8Array): Outcome['kind'] | 'refused' => {
        each.restore(blank);
        const refusal = refusalOf(() => {
          each.load(bytes, { commandLine: COMMAND_LINE, format });
        });
        if (refusal === undefined) return each.run({ budget: BUDGET }).kind;
        expect(refusal.message).toMatch(/^expected [^\n]*$/);
        return 'refused';
      };
      expect(endOf(image)).toBe('budget');
      let refused = 0;
      fc.assert(
        fc.property(damages(image, [header]), (damage) => {
          const end = endOf(damaged(image, damage));
          if (end === 'refused') refused++;
          else expect(ENDS).toContain(end);
        }),
        { numRuns: copies, seed: SEED },
      );
      expect(refused).toBeGreaterThan(copies / 10);
      expect(refused).toBeLessThan(copies);
    },
  );
}
