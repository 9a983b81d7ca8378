/**
 * Bad input of every kind: each ends in one sentence and its exit status, or in an end that the guest chose for itself. Never
 * in another exception, a stack trace or a hang.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { Machine, type Outcome } from '../../emu/machine.js';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { damaged, damages, ENDS, refusalOf } from '../boot/damage.js';
import { type Ended, KERNEL, program, Scratch, unwindlab } from './run.js';
import { tinyImage } from './tiny-image.js';

const kernel = readFileSync(KERNEL);
const hello = readFileSync(program('hello'));
const scratch = new Scratch();
afterAll(() => scratch.remove());

const SEED = 2605;
/** Three times what an undamaged run needs. */
const BUDGET = 400_000;

let console = '';
const machine = new Machine({
  ram: 32 << 20,
  console: (byte) => {
    console += String.fromCharCode(byte);
  },
});
const blank = machine.snapshot();
afterAll(() => machine.close());

/** How a run of these files ends, with its console. */
function outcomeOf(
  image: Uint8Array,
  module: Uint8Array,
): { kind: Outcome['kind'] | 'refused'; console: string } {
  machine.restore(blank);
  console = '';
  const refusal = refusalOf(() => {
    machine.load(image, { modules: [{ bytes: module, commandLine: 'hello' }] });
  });
  if (refusal === undefined) return { kind: machine.run({ budget: BUDGET }).kind, console };
  expect(refusal.message).toMatch(/^expected /);
  return { kind: 'refused', console };
}

const lines = (text: string): number => text.split('\n').length - 1;

/** One sentence with the right status where the machine refuses; the guest's own words and status otherwise. */
function expectSentence({ stderr, status }: Ended, expected: number): void {
  expect(stderr).toMatch(/^unwindlab: (?!internal)/);
  expect({ lines: lines(stderr), status }).toEqual({ lines: 1, status: expected });
}

describe('damaged files', () => {
  it('600 damaged kernels: each is refused, or ends as a guest ends', { timeout: 120_000 }, () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(damages(kernel), (damage) => {
        const { kind } = outcomeOf(damaged(kernel, damage), hello);
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        if (kind !== 'refused') expect(ENDS).toContain(kind);
      }),
      { numRuns: 600, seed: SEED },
    );
    expect(seen.get('refused')).toBeGreaterThan(100);
    expect(seen.get('poweroff')).toBeGreaterThan(50); // damage that nobody meets
  });

  it('600 damaged programs: the kernel survives each', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(damages(hello), (damage) => {
        const { kind, console } = outcomeOf(kernel, damaged(hello, damage));
        expect(['poweroff', 'debug-exit', 'budget']).toContain(kind);
        expect(console).not.toContain('panic');
      }),
      { numRuns: 600, seed: SEED },
    );
  });

  it.each([0, 3, 17, 63, 64, 1000, kernel.length >> 1, kernel.length - 1])(
    'a kernel cut to %i bytes, on the command line',
    async (length) => {
      const file = scratch.write('cut.elf', kernel.subarray(0, length));
      const ended = await unwindlab(['boot', file]);
      expectSentence(ended, EXIT_STATUS.badImage);
      expect(ended.stderr).toContain(file);
      expect(ended.stdout).toBe('');
    },
  );

  it.each([0, 40, hello.length - 1])('a program cut to %i bytes, on the command line', async (length) => {
    const file = scratch.write('cut.elf', hello.subarray(0, length));
    for (const command of [
      ['boot', '@kernel', '-m', file],
      ['disasm', file],
      ['symbols', file],
    ]) {
      const ended = await unwindlab(command);
      expectSentence(ended, EXIT_STATUS.badImage);
      expect(ended.stderr).toContain(file);
    }
  });
});

describe('files that are no images', () => {
  const text = scratch.write('notes.txt', 'not a kernel, but some words about one\n');
  const empty = scratch.write('empty', '');
  it.each([
    ['no such file', `${scratch.folder}/nothing`, EXIT_STATUS.io, /found no such file$/],
    ['a folder', scratch.folder, EXIT_STATUS.io, /found a folder$/],
    ['a text file', text, EXIT_STATUS.badImage, /expected a Linux bzImage, .*, found text/],
    ['an empty file', empty, EXIT_STATUS.badImage, /found an empty file$/],
    ['a program of this host', process.execPath, EXIT_STATUS.badImage, /expected /],
    [
      'a guest program without a PVH note',
      program('hello'),
      EXIT_STATUS.badImage,
      /found an ELF file that is none of them$/,
    ],
  ])('%s as the kernel', async (_, file, status, sentence) => {
    const ended = await unwindlab(['boot', file, '-m', '@hello']);
    expectSentence(ended, status);
    expect(ended.stderr.trim()).toMatch(sentence);
  });

  it.each([
    ['no such file', `${scratch.folder}/nothing`, EXIT_STATUS.io],
    ['a folder', scratch.folder, EXIT_STATUS.io],
    ['a text file', text, EXIT_STATUS.badImage],
    ['an empty file', empty, EXIT_STATUS.badImage],
  ])('%s as a program', async (_, file, status) => {
    for (const command of ['boot', 'trace', 'stacks'])
      expectSentence(await unwindlab([command, '@kernel', '-m', file]), status);
  });
});

/** GUEST: what it does; its end by `unwindlab boot`; what the sentence says. */
const GUESTS: readonly (readonly [what: string, source: string, status: number, sentence: RegExp])[] = [
  [
    'loops with interrupts off',
    'cli\nagain: jmp again',
    EXIT_STATUS.budget,
    /budget is spent after 1000000 /,
  ],
  [
    'repeats a string instruction without end',
    'mov $-1, %ecx\nrep lodsb',
    EXIT_STATUS.budget,
    /budget is spent/,
  ],
  [
    'sets a hardware breakpoint on its next instruction',
    'mov $here, %eax\nmov %eax, %dr0\nmov $1, %eax\nmov %eax, %dr7\nhere: hlt',
    EXIT_STATUS.hang,
    /hangs/,
  ],
  ['halts with interrupts off', 'cli\nhlt', EXIT_STATUS.hang, /hangs: every CPU is halted/],
  ['halts where nothing will interrupt it', 'sti\nhlt', EXIT_STATUS.hang, /hangs/],
  [
    'meets an exception without an IDT',
    'ud2',
    EXIT_STATUS.tripleFault,
    /triple fault after #UD, invalid opcode at /,
  ],
  [
    'loads a GDT without entries',
    'lgdt table\nmov $0x10, %eax\nmov %eax, %ds\ntable: .word 0\n.long 0',
    EXIT_STATUS.tripleFault,
    /triple fault after #GP, general protection at .* \(0x100011\), CPU 0, step 4$/,
  ],
  [
    'loads a GDT where there is no memory',
    'lgdt table\nmov $0x10, %eax\nmov %eax, %ds\ntable: .word 0xffff\n.long 0xf0000000',
    EXIT_STATUS.busError,
    /physical memory that is not there/,
  ],
  [
    'loads an IDT where there is no memory',
    'lidt table\nint3\ntable: .word 0xffff\n.long 0xf0000000',
    EXIT_STATUS.tripleFault,
    /triple fault after #BP/,
  ],
  ['turns paging on without tables', 'mov $0x80000001, %eax\nmov %eax, %cr0', EXIT_STATUS.tripleFault, /#PF/],
  ['writes an MSR that is not there', 'mov $0x12345, %ecx\nwrmsr', EXIT_STATUS.tripleFault, /#GP/],
  ['jumps into nowhere', 'mov $0xdeadbeec, %eax\njmp *%eax', EXIT_STATUS.busError, /0xdeadbeec/],
  ['reads where there is nothing', 'mov 0xc0000000, %eax', EXIT_STATUS.busError, /is not there/],
  ['lets its stack run out of memory', 'again: call again', EXIT_STATUS.busError, /is not there/],
  ['returns to an address of nobody', 'push $0\npush $0\npush $0\niret', EXIT_STATUS.tripleFault, /#GP/],
  ['resets by the keyboard controller', 'mov $0xfe, %al\nout %al, $0x64', EXIT_STATUS.reset, /reset itself/],
  ['resets by port cf9', 'mov $0xcf9, %edx\nmov $6, %al\nout %al, %dx', EXIT_STATUS.reset, /reset itself/],
];

describe('a guest that', () => {
  it.each(GUESTS)('%s', async (_, source, status, sentence) => {
    const image = scratch.write('guest.elf', await tinyImage(source));
    const [one, two] = await Promise.all(
      ['1', '2'].map((cpus) => unwindlab(['boot', image, '--budget', '1M', '--cpus', cpus])),
    );
    expectSentence(one!, status);
    expect(one!.stderr.trim()).toMatch(sentence);
    expect(two).toEqual(one);
  });

  it('powers off, or leaves with a value, is no error', async () => {
    for (const [source, status] of [
      ['mov $0x604, %edx\nmov $0x2000, %eax\nout %ax, %dx', 0],
      ['mov $5, %eax\nout %eax, $0xf4', (5 << 1) | 1],
      ['mov $0x1ff, %eax\nout %eax, $0xf4', 0xff],
    ] as const) {
      const ended = await unwindlab(['boot', scratch.write('guest.elf', await tinyImage(source))]);
      expect(ended).toMatchObject({ stdout: '', stderr: '', status });
    }
  });
});
