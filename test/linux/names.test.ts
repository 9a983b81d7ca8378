/** A kernel that brings its own names is listed by them, stopped at them, and dies at one. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImageError } from '../../emu/boot/image-error.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { Machine } from '../../emu/machine.js';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { openGuest, openImage } from '../../src/lab/open.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';
import { unwindlab } from '../system/run.js';
import { type NamedAddress, RELEASES } from './kallsyms-encoder.js';
import { buildTinyLinux, type TinyLinux } from './tiny-linux.js';

const RAM = 64 << 20;

describe.skipIf(missingTools.length > 0)(`a kernel with names of its own${toolsNote}`, () => {
  let shop: Workshop;
  let kernel: TinyLinux;
  let nameless: TinyLinux;
  beforeAll(() => {
    shop = new Workshop();
    kernel = buildTinyLinux(shop, 'tiny', RELEASES['7.0']);
    nameless = buildTinyLinux(shop, 'nameless', undefined);
  });
  afterAll(() => shop.remove());

  const IMAGES = ['stripped', 'bzImage'] as const;

  it.each(IMAGES)('has the symbols that it had before it was stripped: %s', async (which) => {
    const { status, stdout } = await unwindlab(['symbols', kernel[which]]);
    const line = ({ address, type, name }: NamedAddress): string => `${address.toString(16)} ${type} ${name}`;
    expect(stdout.trim().split('\n').sort()).toEqual(kernel.symbols.map(line).sort());
    expect(status).toBe(0);
  });

  it.each(IMAGES)('is listed by name: %s', async (which) => {
    const { stdout } = await unwindlab(['disasm', kernel[which], 'start_kernel']);
    expect(stdout).toContain('<start_kernel>:');
    expect(stdout).toMatch(/callq +0x[0-9a-f]+ <count>/);
    expect(stdout).toMatch(/jmp +0x[0-9a-f]+ <crash>/);
    const { status, stderr } = await unwindlab(['disasm', kernel[which], 'finish_kernel']);
    expect(stderr).toContain('found no such symbol: finish_kernel');
    expect(status).toBe(EXIT_STATUS.usage);
  });

  it.each(IMAGES)('knows what it does not bring: %s', async (which) => {
    const { status, stderr } = await unwindlab(['symbols', nameless[which]]);
    expect(stderr).toContain(
      "expected a symbol table or a Linux kernel's own names (kallsyms), found neither",
    );
    expect(status).toBe(EXIT_STATUS.badImage);
    const { stdout } = await unwindlab(['disasm', nameless[which]]);
    expect(stdout).toContain('ud2');
  });

  it('stops at a name, and says where it is', () => {
    const { machine } = openGuest({ image: kernel.stripped }, { ram: RAM });
    const { address } = kernel.symbols.find(({ name }) => name === 'count')!;
    for (let times = 0; times < 3; times++) {
      expect(machine.run({ until: { symbol: 'count' } })).toEqual({ kind: 'reached', cpu: 0, rip: address });
      machine.step();
      expect(machine.symbols.format(machine.cpus[0]!.state.rip)).toBe('count+0x7');
    }
    expect(machine.run({ until: { symbol: 'count' } }).kind).toBe('triple-fault');
    machine.close();
  });

  it('dies where the sentence says', async () => {
    const { status, stderr } = await unwindlab(['boot', kernel.stripped, '--ram', '64M']);
    expect(stderr).toMatch(
      /^unwindlab: triple fault after #UD, invalid opcode at crash\+0x1 \(0xffffffff8100/,
    );
    expect(status).toBe(EXIT_STATUS.tripleFault);
  });

  it('dies at a bare address without names', async () => {
    const { stderr } = await unwindlab(['boot', nameless.stripped, '--ram', '64M']);
    expect(stderr).toMatch(/invalid opcode at 0xffffffff8100[0-9a-f]{4} \(0xffffffff8100/);
  });

  it('has its names as a bzImage too', () => {
    const { machine } = openGuest({ image: kernel.bzImage }, { ram: RAM });
    for (const { name, address } of kernel.symbols) expect(machine.symbols.lookup(name)).toBe(address);
    machine.close();
  });

  it('says why there are no names when one is missed', () => {
    const { machine } = openGuest({ image: nameless.bzImage }, { ram: RAM });
    expect(() => machine.symbols.require('crash')).toThrow(ImageError);
    expect(() => machine.symbols.require('crash')).toThrow(
      /^expected the image to define the symbol crash, found no names: expected the names of a Linux kernel/,
    );
    machine.close();
  });

  it('keeps its own symbol table where it has one', () => {
    const { file, symbols } = openImage(kernel.named);
    expect(symbols.lookup('pvh_entry')).toBeDefined();
    expect(file.symbols.length).toBeGreaterThan(kernel.symbols.length);
    expect(openImage(kernel.stripped).symbols.lookup('pvh_entry')).toBeUndefined();
  });

  it('is asked for names once, and only when they are wanted', () => {
    const machine = new Machine({ ram: RAM });
    const asked: string[] = [];
    const symbols = (): SymbolTable => {
      asked.push('symbols');
      return new SymbolTable({ symbols: [], sections: [] });
    };
    machine.load(readFileSync(kernel.stripped), { symbols });
    expect(machine.run().kind).toBe('triple-fault');
    expect(asked).toEqual([]);
    expect(machine.symbols).toBe(machine.symbols);
    expect(asked).toEqual(['symbols']);
    machine.load(readFileSync(kernel.named), { symbols });
    expect(machine.symbols.lookup('crash')).toBeDefined();
    expect(asked).toEqual(['symbols']);
    machine.close();
  });
});
