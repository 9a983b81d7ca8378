import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ImageError } from '../../emu/boot/image-error.js';
import { disasmCommand } from '../../src/cli/disasm.js';
import { UsageError } from '../../src/cli/errors.js';
import { symbolsCommand } from '../../src/cli/symbols.js';
import { FileError } from '../../src/lab/open.js';
import { missingTools, SAMPLE, toolsNote, Workshop } from '../boot/build-elf.js';

const COMMANDS = { disasm: disasmCommand, symbols: symbolsCommand } as const;

/** What a command prints. */
async function printed(name: keyof typeof COMMANDS, ...args: string[]): Promise<string> {
  const pieces: string[] = [];
  const write = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((piece) => pieces.push(String(piece)) > 0);
  try {
    await COMMANDS[name]().parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return pieces.join('');
}

afterEach(() => vi.restoreAllMocks());

describe.skipIf(missingTools.length > 0)(`disasm and symbols${toolsNote}`, () => {
  let shop: Workshop;
  let image: string;

  beforeAll(() => {
    shop = new Workshop();
    shop.link('image', SAMPLE, '-Ttext=0xffffffff81000000', '-Tdata=0xffffffff81004000', '-e', 'start');
    image = shop.path('image');
  });
  afterAll(() => shop.remove());

  it('symbols prints what nm prints', async () => {
    expect(await printed('symbols', image)).toBe(shop.run('nm', '-n', '-S', 'image'));
    expect(await printed('symbols', image, '--sort', 'name')).toBe(shop.run('nm', '-S', 'image'));
  });

  it('symbols sorts by size and writes JSON', async () => {
    const lines = (await printed('symbols', image, '--sort', 'size', '--json')).trim().split('\n');
    const symbols = lines.map((line) => JSON.parse(line) as { name: string; size: number });
    const sizes = symbols.map(({ size }) => size);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect(symbols.find(({ name }) => name === 'buffer')).toEqual({
      name: 'buffer',
      address: expect.stringMatching(/^0xffffffff8100/),
      size: 4096,
      kind: 'V',
      type: 'object',
      binding: 'weak',
      section: '.bss',
    });
    expect(symbols.find(({ name }) => name === 'TASK_pid')).toMatchObject({ address: '0x10', kind: 'a' });
  });

  it('disasm lists the whole image, a function, or a window', async () => {
    const all = await printed('disasm', image);
    for (const name of ['start', 'work', 'work.begin', 'unsized']) expect(all).toContain(`<${name}>`);
    expect(all).toContain('image.S:');
    expect(await printed('disasm', image, '--no-source')).not.toContain('image.S:');
    const work = await printed('disasm', image, 'work');
    expect(all).toContain(work);
    const window = await printed('disasm', image, 'work.begin', '--no-source');
    expect(window.trim().split('\n')).toHaveLength(3);
  });

  it('disasm writes one JSON object for each instruction', async () => {
    const lines = (await printed('disasm', image, 'work', '--json', '--syntax', 'intel')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      {
        address: '0xffffffff81000010',
        symbol: 'work',
        bytes: '55',
        mnemonic: 'push',
        operands: 'rbp',
        file: 'image.S',
      },
      { symbol: 'work+0x1', target: { address: '0xffffffff81004000', symbol: 'counter' } },
      { mnemonic: 'lock cmpxchg', target: { symbol: 'counter' } },
      { mnemonic: 'pop' },
      { mnemonic: 'ret' },
    ]);
  });

  it.each([
    ['an unknown symbol', ['image', 'nowhere'], UsageError, 'found no such symbol: nowhere'],
    ['a constant', ['image', 'TASK_pid'], UsageError, 'found a constant: TASK_pid'],
    ['a data symbol', ['image', 'counter'], UsageError, 'found one of data: counter'],
    ['no such file', ['missing'], FileError, 'found no such file'],
    ['a folder', ['.'], FileError, 'found a folder'],
    ['a text file', ['image.S'], ImageError, 'found text'],
    ['an object file', ['image.o'], ImageError, 'expected a linked image'],
  ])('disasm refuses %s', async (_, [file, ...rest], kind, message) => {
    const error = await printed('disasm', shop.path(file!), ...rest).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toContain(message);
  });
});
