import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, EM, ET, PT, parseElf, SHN, SHT } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { missingTools, SAMPLE, toolsNote, Workshop } from './build-elf.js';

const skip = missingTools.length > 0;
const parsedOrRefused = (bytes: Uint8Array): ElfFile | ImageError => {
  try {
    return parseElf(bytes);
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
};

describe.skipIf(skip)(`ELF reader against binutils${toolsNote}`, () => {
  let shop: Workshop;
  let bytes: Uint8Array;
  let file: ElfFile;

  beforeAll(() => {
    shop = new Workshop();
    bytes = shop.link('sample', SAMPLE, '-Ttext=0x400000', '-e', 'start');
    file = parseElf(bytes);
  });
  afterAll(() => shop.remove());

  it('reads the header', () => {
    expect(file).toMatchObject({ bits: 64, machine: EM.X86_64, type: ET.EXEC, entry: 0x400000n });
  });

  it('reads the program headers that readelf reads', () => {
    const rows = shop.run('readelf', '-lW', 'sample').split('\n');
    const expected = rows
      .map((row) => row.trim().split(/\s+/))
      .filter((words) => words.length > 6 && words[1]?.startsWith('0x'))
      .map((words) => words.slice(1, 6).map(BigInt));
    const found = file.segments.map((segment) => [
      BigInt(segment.offset),
      segment.virtualAddress,
      segment.physicalAddress,
      BigInt(segment.fileSize),
      segment.memorySize,
    ]);
    expect(expected.length).toBeGreaterThan(2);
    expect(found).toEqual(expected);
  });

  it('reads the sections that readelf reads', () => {
    const rows = shop
      .run('readelf', '-SW', 'sample')
      .matchAll(/^ *\[ *(\d+)\] (\S+) +\S+ +(\w{16}) (\w{6,}) (\w{6,})/gm);
    const expected = Array.from(rows, (row) => [
      Number(row[1]),
      row[2],
      ...row.slice(3, 6).map((word) => BigInt(`0x${word}`)),
    ]);
    const found = file.sections
      .filter(({ type }) => type !== SHT.NULL)
      .map(({ index, name, address, offset, size, type }) => [
        index,
        name,
        address,
        type === SHT.NOBITS ? expected.find((row) => row[0] === index)![3] : BigInt(offset),
        size,
      ]);
    expect(expected.length).toBeGreaterThan(6);
    expect(found).toEqual(expected);
  });

  it('finds the PVH note once, with its section header and without one', () => {
    const isPvh = { name: 'Xen', type: 18, desc: Uint8Array.of(0, 0, 0x40, 0, 0, 0, 0, 0) };
    expect(file.notes.filter(({ name }) => name === 'Xen')).toEqual([isPvh]);
    const headless = parseElf(stripSections(bytes));
    expect(headless.sections).toEqual([]);
    expect(headless.notes.filter(({ name }) => name === 'Xen')).toEqual([isPvh]);
  });

  it('reads every symbol that nm reads', () => {
    const expected = shop
      .run('nm', '-a', '--format=posix', 'sample')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([name, , value, size]) => `${name} ${BigInt(`0x${value || 0}`)} ${BigInt(`0x${size || 0}`)}`);
    const found = file.symbols.map(
      ({ name, value, size, type, section }) =>
        `${type === 'section' ? file.sections[section]!.name : name} ${value} ${size}`,
    );
    expect(found.sort()).toEqual(expected.sort());
  });

  it('reads a 32-bit file', () => {
    shop.write('small.s', '.globl _start\n_start: ret\n.size _start, 1\n');
    shop.run('as', '--32', 'small.s', '-o', 'small.o');
    shop.run('ld', '-m', 'elf_i386', 'small.o', '-o', 'small');
    const small = parseElf(shop.read('small'));
    expect(small).toMatchObject({ bits: 32, machine: EM.I386, type: ET.EXEC });
    const start = small.symbols.find(({ name }) => name === '_start');
    expect(start).toMatchObject({ value: small.entry, size: 1n, binding: 'global' });
  });

  it('keeps its promise over 3,000 damaged files: the right file, or one ImageError', () => {
    const damage = fc.record({
      length: fc.oneof(
        { weight: 2, arbitrary: fc.constant(bytes.length) },
        { weight: 1, arbitrary: fc.nat(bytes.length) },
      ),
      flips: fc.array(fc.tuple(fc.oneof(fc.nat(bytes.length - 1), fc.nat(400), tableByte()), fc.nat(255)), {
        maxLength: 6,
      }),
    });
    let refused = 0;
    fc.assert(
      fc.property(damage, ({ length, flips }) => {
        const copy = bytes.slice(0, length);
        for (const [at, value] of flips) if (at < length) copy[at] = value;
        const result = parsedOrRefused(copy);
        if (result instanceof ImageError) {
          refused++;
          expect(result.message).toMatch(/^expected .*, found /s);
          return;
        }
        for (const segment of result.segments.filter(({ type }) => type === PT.LOAD)) {
          expect(segment.data.length).toBe(segment.fileSize);
          expect(BigInt(segment.fileSize) <= segment.memorySize).toBe(true);
        }
        const table = new SymbolTable(result);
        for (const symbol of table.symbols) expect(table.format(symbol.value)).not.toBe('');
      }),
      { numRuns: 3000, seed: 612 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  /** A byte of the section headers or of the symbol table, where a flip does the most harm. */
  function tableByte(): fc.Arbitrary<number> {
    const symbols = file.sections.find(({ type }) => type === SHT.SYMTAB)!;
    const headers = Number(new DataView(bytes.buffer).getBigUint64(40, true));
    return fc.oneof(
      fc.integer({ min: symbols.offset, max: symbols.offset + symbols.data.length - 1 }),
      fc.integer({ min: headers, max: headers + 64 * file.sections.length - 1 }),
    );
  }
});

/** The same file with no section table announced. */
function stripSections(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy.fill(0, 40, 48); // e_shoff
  copy.fill(0, 60, 64); // e_shnum, e_shstrndx
  return copy;
}

describe('ELF reader on what is no image', () => {
  const identity = (fields: Record<number, number>): Uint8Array => {
    const bytes = new Uint8Array(64);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    bytes[18] = 62;
    bytes[20] = 1;
    for (const [at, value] of Object.entries(fields)) bytes[Number(at)] = value;
    return bytes;
  };

  it.each([
    ['nothing', new Uint8Array(), 'found an empty file'],
    ['text', new TextEncoder().encode('#!/bin/sh\n'), 'found text (23 21 2f 62)'],
    [
      'four bytes',
      Uint8Array.of(0x7f, 0x45, 0x4c, 0x46),
      'expected ELF class 1 or 2, found the end of the file',
    ],
    ['an unknown class', identity({ 4: 3 }), 'expected ELF class 1 or 2, found 3'],
    ['big-endian', identity({ 5: 2 }), 'expected a little-endian ELF file (1), found byte order 2'],
    [
      'a short header',
      identity({}).slice(0, 63),
      'expected the ELF header at file offset 0x0 with 0x40 bytes',
    ],
    ['an ARM file', identity({ 18: 183 }), 'found machine 183'],
    ['odd program headers', identity({ 54: 55, 56: 1 }), 'expected program headers of 56 bytes, found 55'],
    ['headers in nowhere', identity({ 39: 0xff, 54: 56, 56: 1 }), 'it is damaged or was cut short'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseElf(bytes)).toThrow(message);
    expect(() => parseElf(bytes)).toThrow(ImageError);
  });

  it('reads a bare header as a file without tables', () => {
    expect(parseElf(identity({}))).toMatchObject({ segments: [], sections: [], symbols: [], notes: [] });
  });

  it('refuses overlapping names that would outgrow the file', () => {
    const count = 20_000;
    const bytes = new Uint8Array(64 + 3 * 64 + count * 24 + count + 1);
    const view = new DataView(bytes.buffer);
    bytes.set(identity({ 58: 64, 60: 3, 40: 64 }));
    const section = (index: number, type: number, offset: number, size: number, link: number): void => {
      const at = 64 + index * 64;
      view.setUint32(at + 4, type, true);
      view.setBigUint64(at + 24, BigInt(offset), true);
      view.setBigUint64(at + 32, BigInt(size), true);
      view.setUint32(at + 40, link, true);
      view.setBigUint64(at + 56, 24n, true);
    };
    const strings = 256 + count * 24;
    section(1, SHT.SYMTAB, 256, count * 24, 2);
    section(2, SHT.STRTAB, strings, count + 1, 0);
    bytes.fill(0x61, strings, strings + count);
    for (let index = 0; index < count; index++) view.setUint32(256 + index * 24, index, true);
    expect(() => parseElf(bytes)).toThrow('expected names that seldom overlap');
  });
});

describe('symbol table', () => {
  const sections = parseElfSections();
  const symbol = (name: string, value: number, size: number, more: object = {}) => ({
    name,
    value: BigInt(value),
    size: BigInt(size),
    type: size > 0 ? ('func' as const) : ('notype' as const),
    binding: 'global' as const,
    section: 1,
    ...more,
  });
  const table = new SymbolTable({
    sections,
    symbols: [
      symbol('TASK_pid', 0x1010, 0, { section: SHN.ABS }),
      symbol('_text', 0x1000, 0),
      symbol('entry', 0x1000, 0x10),
      symbol('get_cookie', 0x1010, 0x20),
      symbol('get_cookie.begin', 0x1014, 0),
      symbol('get_cookie.end', 0x1020, 0),
      symbol('__old_name', 0x1010, 0x20, { binding: 'weak' }),
      symbol('a_local', 0x1010, 0x20, { binding: 'local' }),
      symbol('table', 0x1010, 0x20, { type: 'object' }),
      symbol('outer', 0x1040, 0x40),
      symbol('inner', 0x1050, 0x10),
      symbol('label', 0x1090, 0),
      symbol('_end', 0x10a0, 0),
      symbol('twice', 0x1044, 0, { binding: 'local' }),
      symbol('twice', 0x1042, 0, { binding: 'local' }),
      symbol('external', 0, 0, { section: SHN.UNDEF }),
      symbol('debug_word', 0x1011, 4, { section: 2 }),
    ],
  });

  it.each([
    [0xfff, '0xfff', 'before the image'],
    [0x1000, 'entry', 'a sized symbol before a label'],
    [0x100f, 'entry+0xf', 'last byte'],
    [0x1010, 'get_cookie', 'a global function before its aliases'],
    [0x1014, 'get_cookie+0x4', 'the function, not the window label'],
    [0x1020, 'get_cookie+0x10', 'the function at the end label'],
    [0x1035, '0x1035', 'padding behind a sized symbol belongs to nobody'],
    [0x1044, 'outer+0x4', ''],
    [0x1058, 'inner+0x8', 'the innermost'],
    [0x1068, 'outer+0x28', 'behind the inner symbol'],
    [0x1085, '0x1085', 'padding'],
    [0x1094, 'label+0x4', 'a label without a size'],
    [0x10a0, '0x10a0', 'the end of the section belongs to nobody'],
  ])('formats %i as %s %s', (address, expected) => {
    expect(table.format(BigInt(address))).toBe(expected);
  });

  it('finds labels, aliases and end markers by name', () => {
    expect(table.lookup('get_cookie.begin')).toBe(0x1014n);
    expect(table.lookup('__old_name')).toBe(0x1010n);
    expect(table.lookup('_end')).toBe(0x10a0n);
    expect(table.lookup('twice')).toBe(0x1042n);
    expect(table.lookup('external')).toBeUndefined();
    expect(table.lookup('debug_word')).toBeUndefined();
  });

  it('keeps constants apart', () => {
    expect(table.lookup('TASK_pid')).toBeUndefined();
    expect(table.constant('TASK_pid')).toBe(0x1010n);
    expect(table.requireConstant('TASK_pid')).toBe(0x1010n);
    expect(() => table.require('TASK_pid')).toThrow(
      'expected the image to define the symbol TASK_pid, found a constant',
    );
    expect(() => table.requireConstant('entry')).toThrow('found an address');
    expect(() => table.require('nowhere')).toThrow(ImageError);
  });

  it('lists aliases with the preferred one last', () => {
    expect(table.at(0x1010n).map(({ name }) => name)).toEqual([
      'table',
      'a_local',
      '__old_name',
      'get_cookie',
    ]);
    expect(table.at(0x1011n)).toEqual([]);
  });

  it('does not depend on the order of the file', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...table.symbols], { minLength: table.symbols.length }),
        (shuffled) => {
          expect(new SymbolTable({ sections, symbols: shuffled }).symbols).toEqual(table.symbols);
        },
      ),
    );
  });

  it('resolves as a search without an index does', () => {
    const range = fc.tuple(fc.integer({ min: 0x1000, max: 0x1040 }), fc.integer({ min: 1, max: 0x20 }));
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 12 }),
        fc.integer({ min: 0xff0, max: 0x1070 }),
        (ranges, address) => {
          const symbols = ranges.map(([start, size], index) => symbol(`f${index}`, start, size));
          const found = new SymbolTable({ sections, symbols }).resolve(BigInt(address));
          const covering = ranges.filter(([start, size]) => start <= address && address < start + size);
          expect(found === undefined).toBe(covering.length === 0);
          if (found !== undefined)
            expect(Number(found.address)).toBe(Math.max(...covering.map(([start]) => start)));
        },
      ),
    );
  });

  function parseElfSections() {
    const section = (index: number, flags: bigint) => ({
      index,
      name: '',
      type: SHT.PROGBITS as number,
      flags,
      address: index === 1 ? 0x1000n : 0n,
      offset: 0,
      size: 0xa0n,
      link: 0,
      info: 0,
      align: 1n,
      entrySize: 0n,
      data: new Uint8Array(),
    });
    return [section(0, 0n), section(1, 6n), section(2, 0n)];
  }
});
