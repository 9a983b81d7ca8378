/**
 * Damaged copies of images that nobody here wrote: each is refused in one sentence, or runs on a pc and ends as a guest ends. A thousand of each
 * in one process, some by the command, which says so with its exit status.
 */
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { FormatName } from '../../emu/boot/formats.js';
import { Machine, type Outcome } from '../../emu/machine.js';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { damaged, damages, ENDS, refusalOf, type Stretch } from '../boot/damage.js';
import { Scratch, unwindlab } from '../system/run.js';
import { BRIEF, guest } from './boot.js';

const SEED = 612;
const COPIES = 1000;
const BY_COMMAND = 25;
const BUDGET = 200_000;
const COMMAND_LINE = 'console=ttyS0 com1=115200 console=com1';

/** Where half of the bits are turned: the setup header, the ELF header with what follows it, Xen's headers of both multiboots. */
const SETUP: Stretch = { at: 0x1f1, bytes: 0x26c - 0x1f1 };
const ELF: Stretch = { at: 0, bytes: 0x200 };

interface Image {
  readonly file: string;
  readonly format: FormatName;
  /** MiB of RAM. */
  readonly ram: number;
  readonly header: Stretch;
}
const IMAGES: readonly Image[] = [
  { file: 'memtest.bin', format: 'linux', ram: 16, header: SETUP },
  { file: 'vmlinuz', format: 'linux', ram: 128, header: SETUP },
  { file: 'xen', format: 'multiboot', ram: 64, header: ELF },
  { file: 'xen', format: 'multiboot2', ram: 64, header: ELF },
  { file: 'vmlinux', format: 'pvh', ram: 128, header: ELF },
];

/** What the command says and ends with where the guest has not ended by itself. */
const SENTENCES: Readonly<Record<number, RegExp>> = {
  [EXIT_STATUS.badImage]: /^unwindlab: \S+: expected [^\n]*\n$/,
  [EXIT_STATUS.tripleFault]: /^unwindlab: triple fault [^\n]*\n$/,
  [EXIT_STATUS.budget]: /^unwindlab: the budget is spent [^\n]*\n$/,
  [EXIT_STATUS.hang]: /^unwindlab: the guest hangs[^\n]*\n$/,
  [EXIT_STATUS.reset]: /^unwindlab: the guest has reset itself\n$/,
  [EXIT_STATUS.busError]: /^unwindlab: an access to physical memory [^\n]*\n$/,
};
/** Of a guest that has ended by itself: power-off, or a word to the debug-exit device. */
const isOwnStatus = (status: number | null): boolean => status === 0 || (status !== null && status % 2 === 1);

let machine: Machine | undefined;
const scratch = new Scratch();
afterEach(() => {
  machine?.close();
  machine = undefined;
});
afterAll(() => scratch.remove());

describe.each(IMAGES)('$file by $format', ({ file, format, ram, header }) => {
  const isMissing = !existsSync(guest(file));
  const note = isMissing ? ' (skipped: make guests)' : '';
  const image = isMissing ? Buffer.of() : readFileSync(guest(file));

  test.skipIf(isMissing || BRIEF)(`${COPIES} damaged copies${note}`, () => {
    const pc = new Machine({ kind: 'pc', ram: ram << 20, cpus: 2, freeRunning: true });
    machine = pc;
    const blank = pc.snapshot();
    const endOf = (bytes: Uint8Array): Outcome['kind'] | 'refused' => {
      pc.restore(blank);
      const refusal = refusalOf(() => {
        pc.load(bytes, { commandLine: COMMAND_LINE, format });
      });
      if (refusal === undefined) return pc.run({ budget: BUDGET }).kind;
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
      { numRuns: COPIES, seed: SEED },
    );
    expect(refused).toBeGreaterThan(COPIES / 10);
    expect(refused).toBeLessThan(COPIES);
  });

  test.skipIf(isMissing)(`${BY_COMMAND} of them by the command${note}`, async () => {
    const options = ['--machine', 'pc', '--ram', `${ram}M`, '--cpus', '2', '--budget', `${BUDGET}`];
    const statuses = new Set<number | null>();
    await fc.assert(
      fc.asyncProperty(damages(image, [header]), async (damage) => {
        const copy = scratch.write('damaged', damaged(image, damage));
        const { status, stderr } = await unwindlab([
          ...['boot', ...options, '--format', format, '--append', COMMAND_LINE, copy],
        ]);
        statuses.add(status);
        if (isOwnStatus(status)) expect(stderr).toBe('');
        else expect(stderr).toMatch(SENTENCES[status ?? -1] ?? /a status of ours/);
      }),
      { numRuns: BY_COMMAND, seed: SEED },
    );
    expect([...statuses]).toContain(EXIT_STATUS.badImage);
  });
});
