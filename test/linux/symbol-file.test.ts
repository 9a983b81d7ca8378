/** Names as a file for gdb: read again they are the same, binutils find nothing wrong with it, and gdb stops at them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfSymbol, parseElf, SHT } from '../../emu/boot/elf.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { openImage } from '../../src/lab/open.js';
import { missingTools, SAMPLE, toolsNote, Workshop } from '../boot/build-elf.js';
import { debug, hasGdb } from '../gdb/run-gdb.js';
import { unwindlab } from '../system/run.js';
import { RELEASES } from './kallsyms-encoder.js';
import { buildTinyLinux, type TinyLinux } from './tiny-linux.js';

describe.skipIf(missingTools.length > 0)(`a file of names${toolsNote}`, () => {
  let shop: Workshop;
  let kernel: TinyLinux;
  let sample: string;
  beforeAll(() => {
    shop = new Workshop();
    kernel = buildTinyLinux(shop, 'tiny', RELEASES["Debian's 6.1"]);
    shop.link('sample', SAMPLE, '-Ttext=0xffffffff81000000', '-e', 'start');
    sample = shop.path('sample');
  });
  afterAll(() => shop.remove());

  const write = async (image: string): Promise<string> => {
    const { status, stdout, stderr } = await unwindlab(['symbols', image, '--elf', shop.path('names.elf')]);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
    return 'names.elf';
  };

  it.each(['bzImage', 'stripped', 'sample'] as const)('has the names of the image: %s', async (which) => {
    const image = openImage(which === 'sample' ? sample : kernel[which]);
    const file = parseElf(shop.read(await write(which === 'sample' ? sample : kernel[which])));
    const inWords = (symbols: readonly ElfSymbol[]): string[] =>
      symbols
        .map(({ name, value, size, type, binding }) => [name, value, size, type, binding].join(' '))
        .sort();
    expect(inWords(file.symbols)).toEqual(inWords(image.file.symbols));
    const names = new SymbolTable(file);
    for (const { value } of image.symbols.symbols)
      expect(names.format(value)).toBe(image.symbols.format(value));
    expect(names.constants).toEqual(image.symbols.constants);
    for (const section of file.sections)
      if (section.address !== 0n) expect([section.type, section.data.length]).toEqual([SHT.NOBITS, 0]);
  });

  it('is an ELF file in which binutils find nothing wrong', async () => {
    const name = await write(kernel.bzImage);
    const printed = shop.run('sh', '-c', `readelf -W --all ${name} 2>&1`);
    expect(printed).not.toMatch(/warning|error/i);
    expect(printed).toMatch(/FUNC +GLOBAL DEFAULT +\d+ start_kernel$/m);
  });

  it.skipIf(!hasGdb)(
    'lets gdb stop at a name of a kernel without symbol table (skipped without gdb)',
    { timeout: 90_000 },
    async () => {
      const names = shop.path(await write(kernel.stripped));
      const { gdb } = await debug(['boot', kernel.stripped, '--ram', '64M'], names, [
        'break count',
        'continue',
        'info symbol $pc',
        'x/i $pc',
        'print *(long *)&counter',
        'kill',
      ]);
      expect(gdb).toContain('Breakpoint 1, ');
      expect(gdb).toMatch(/^count in section \.text$/m);
      expect(gdb).toMatch(/<count>:\s+incq? /);
      expect(gdb).toMatch(/\$1 = 0$/m);
    },
  );

  it('says where it cannot be written', async () => {
    const { status, stderr } = await unwindlab([
      'symbols',
      kernel.stripped,
      '--elf',
      shop.path('no/such/folder'),
    ]);
    expect(stderr).toMatch(
      /^unwindlab: expected a file that can be written at [^\n]*, found no such file\n$/,
    );
    expect(status).toBe(EXIT_STATUS.io);
  });
});
