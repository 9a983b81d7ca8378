/**
 * The ELF reader: bytes in, tables out, no I/O. Little-endian x86 files of 32 and 64 bits.
 *
 * The rule for damaged files: what is there must be right. A file may lack sections and symbols (a stripped image loads
 * well), but a table that is announced is checked whole, and the first thing wrong in it is an ImageError. Every extent
 * is checked against the file before it is read, so work and memory are bounded by the size of the file.
 *
 * Source: System V gABI, "Object Files" (chapter 4) and "Program Loading and Dynamic Linking" (chapter 5).
 */

import { hex, Image, LAYOUTS, StringTable, type Table } from './elf-bytes.js';
import {
  EI_CLASS,
  EI_DATA,
  ELF_MAGIC,
  ELFDATA2LSB,
  EM,
  EV_CURRENT,
  PN_XNUM,
  PT,
  SHN,
  SHT,
  SYMBOL_BINDINGS,
  SYMBOL_TYPES,
  type SymbolBinding,
  type SymbolType,
} from './elf-constants.js';
import { readNotes } from './elf-notes.js';
import { ImageError } from './image-error.js';

export type { SymbolBinding, SymbolType } from './elf-constants.js';
export { EM, ET, PF, PT, SHF, SHN, SHT } from './elf-constants.js';

/** A program header. `data` is a view of the file, `fileSize` bytes long; the rest up to `memorySize` is zero. */
export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly fileSize: number;
  readonly memorySize: bigint;
  readonly align: bigint;
  readonly data: Uint8Array;
}

/** A section header. `data` is a view of the file; it is empty for SHT_NOBITS, whose `size` counts bytes of memory. */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: bigint;
  readonly offset: number;
  readonly size: bigint;
  readonly link: number;
  readonly info: number;
  readonly align: bigint;
  readonly entrySize: bigint;
  readonly data: Uint8Array;
}

/** One entry of a PT_NOTE segment or an SHT_NOTE section; `name` comes without its final NUL. */
export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

/** A symbol. `section` is the raw st_shndx: an index, or one of the reserved numbers in SHN. */
export interface ElfSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly size: bigint;
  readonly type: SymbolType;
  readonly binding: SymbolBinding;
  readonly section: number;
}

export interface ElfFile {
  readonly bits: 32 | 64;
  /** One of EM. */
  readonly machine: number;
  /** One of ET, or what the file says. */
  readonly type: number;
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
  readonly sections: readonly ElfSection[];
  readonly notes: readonly ElfNote[];
  /** The entries of .symtab, of .dynsym where there is no .symtab, in file order without the null entry. */
  readonly symbols: readonly ElfSymbol[];
}

interface Header {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly type: number;
  readonly entry: bigint;
  readonly segmentTable: Table;
  readonly sectionTable: Table;
  readonly namesIndex: number;
}

/**
 * Reads an ELF file.
 * @throws {ImageError} when the bytes are no little-endian x86 ELF file, or one that is damaged; never another error.
 */
export function parseElf(bytes: Uint8Array): ElfFile {
  const [image, bits] = identify(bytes);
  const header = readHeader(image, bits);
  const segments = readSegments(image, header);
  const sections = readSections(image, header);
  return {
    bits,
    machine: header.machine,
    type: header.type,
    entry: header.entry,
    segments,
    sections,
    notes: readNotes(segments, sections),
    symbols: readSymbols(image, sections),
  };
}

function identify(bytes: Uint8Array): [Image, 32 | 64] {
  const probe = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || probe.getUint32(0) !== ELF_MAGIC) {
    throw new ImageError(`expected an ELF file (7f 45 4c 46), found ${describeStart(bytes)}`);
  }
  const bits = bytes[EI_CLASS] === 1 ? 32 : bytes[EI_CLASS] === 2 ? 64 : undefined;
  if (bits === undefined)
    throw new ImageError(`expected ELF class 1 or 2, found ${bytes[EI_CLASS] ?? 'the end of the file'}`);
  if (bytes[EI_DATA] !== ELFDATA2LSB) {
    throw new ImageError(
      `expected a little-endian ELF file (1), found byte order ${bytes[EI_DATA] ?? 'missing: the file ends'}`,
    );
  }
  const image = new Image(bytes, LAYOUTS[bits]);
  image.extent('the ELF header', 0n, BigInt(image.layout.header));
  return [image, bits];
}

/** The first bytes of a file that is not what it should be, for a sentence. */
export function describeStart(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  const start = bytes.subarray(0, 4);
  const isText = bytes
    .subarray(0, 64)
    .every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127));
  const shown = Array.from(start, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return isText ? `text (${shown})` : shown;
}

function readHeader(image: Image, bits: 32 | 64): Header {
  const { u16, u32, word, layout } = image;
  const tables = 24 + layout.word; // e_phoff; everything before it but the entry has a fixed place
  const counts = tables + 2 * layout.word;
  const machine = u16(18);
  if (machine !== EM.X86_64 && machine !== EM.I386) {
    throw new ImageError(
      `expected an x86 file (machine ${EM.X86_64} or ${EM.I386}), found machine ${machine}`,
    );
  }
  if (u32(20) !== EV_CURRENT) throw new ImageError(`expected ELF version ${EV_CURRENT}, found ${u32(20)}`);
  const segmentTable = { offset: word(tables), count: u16(counts + 8), entrySize: u16(counts + 6) };
  const sectionTable = {
    offset: word(tables + layout.word),
    count: u16(counts + 12),
    entrySize: u16(counts + 10),
  };
  checkTable('program header', segmentTable, layout.segment.size);
  checkTable('section header', sectionTable, layout.section);
  if (segmentTable.count === PN_XNUM || (sectionTable.count === 0 && sectionTable.offset !== 0n)) {
    throw new ImageError(
      'expected fewer than 65280 program and section headers, found a file with extended numbering',
    );
  }
  return {
    bits,
    machine,
    type: u16(16),
    entry: word(24),
    segmentTable,
    sectionTable,
    namesIndex: u16(counts + 14),
  };
}

function checkTable(what: string, table: Table, entrySize: number): void {
  if (table.count > 0 && table.entrySize !== entrySize) {
    throw new ImageError(`expected ${what}s of ${entrySize} bytes, found ${table.entrySize}`);
  }
}

function readSegments(image: Image, header: Header): ElfSegment[] {
  const field = image.layout.segment;
  return image.entries('the program headers', header.segmentTable).map((at, index) => {
    const offset = image.word(at + field.offset);
    const fileSize = image.word(at + field.fileSize);
    const segment = {
      type: image.u32(at),
      flags: image.u32(at + field.flags),
      virtualAddress: image.word(at + field.virtual),
      physicalAddress: image.word(at + field.physical),
      memorySize: image.word(at + field.memorySize),
      align: image.word(at + field.align),
    };
    if (segment.type === PT.LOAD) checkLoadable(segment, fileSize, index, header.bits);
    const isEmpty = segment.type === PT.NULL || fileSize === 0n; // the other members mean nothing then
    const data = isEmpty ? image.bytes.subarray(0, 0) : image.extent(`segment ${index}`, offset, fileSize);
    return { ...segment, offset: isEmpty ? 0 : Number(offset), fileSize: data.length, data };
  });
}

type LoadExtent = Pick<ElfSegment, 'virtualAddress' | 'physicalAddress' | 'memorySize'>;

function checkLoadable(segment: LoadExtent, fileSize: bigint, index: number, bits: 32 | 64): void {
  const { virtualAddress, physicalAddress, memorySize } = segment;
  if (fileSize > memorySize) {
    throw new ImageError(
      `expected segment ${index} to have a memory size of at least its file size ${hex(fileSize)}, found ${hex(memorySize)}`,
    );
  }
  const top = 1n << BigInt(bits);
  for (const [kind, address] of [
    ['virtual', virtualAddress],
    ['physical', physicalAddress],
  ] as const) {
    if (address + memorySize > top) {
      throw new ImageError(
        `expected segment ${index} to end below 2^${bits}, found ${kind} address ${hex(address)} with ${hex(memorySize)} bytes`,
      );
    }
  }
}

function readSections(image: Image, header: Header): ElfSection[] {
  const { u32, word, layout } = image;
  const offsets = image.entries('the section headers', header.sectionTable);
  const unnamed = offsets.map((at, index) => {
    const type = u32(at + 4);
    const offset = word(at + 8 + 2 * layout.word);
    const size = word(at + 8 + 3 * layout.word);
    const hasBytes = type !== SHT.NULL && type !== SHT.NOBITS;
    return {
      index,
      type,
      flags: word(at + 8),
      address: word(at + 8 + layout.word),
      offset: hasBytes ? Number(offset) : 0,
      size,
      link: u32(at + 8 + 4 * layout.word),
      info: u32(at + 12 + 4 * layout.word),
      align: word(at + 16 + 4 * layout.word),
      entrySize: word(at + 16 + 5 * layout.word),
      data: hasBytes ? image.extent(`section ${index}`, offset, size) : image.bytes.subarray(0, 0),
    };
  });
  if (header.namesIndex === SHN.UNDEF) return unnamed.map((section) => ({ ...section, name: '' }));
  const names = stringTable(unnamed, header.namesIndex, 'section names');
  return unnamed.map((section, index) => ({
    ...section,
    name: names.at(u32(offsets[index]!), `section ${index}`),
  }));
}

function stringTable(
  sections: readonly Omit<ElfSection, 'name'>[],
  index: number,
  what: string,
): StringTable {
  const section = sections[index];
  if (section?.type !== SHT.STRTAB) {
    throw new ImageError(
      `expected a string table for ${what} in section ${index}, found ${
        section === undefined ? `only ${sections.length} sections` : `section type ${section.type}`
      }`,
    );
  }
  return new StringTable(section.data);
}

function readSymbols(image: Image, sections: readonly ElfSection[]): ElfSymbol[] {
  const table =
    sections.find((section) => section.type === SHT.SYMTAB) ??
    sections.find((section) => section.type === SHT.DYNSYM);
  if (table === undefined) return [];
  const field = image.layout.symbol;
  if (table.entrySize !== BigInt(field.size) || table.data.length % field.size !== 0) {
    throw new ImageError(
      `expected a symbol table of whole entries of ${field.size} bytes, found ${table.data.length} bytes and an entry size of ${table.entrySize}`,
    );
  }
  const names = stringTable(sections, table.link, 'symbol names');
  const symbols: ElfSymbol[] = [];
  for (let index = 1; index < table.data.length / field.size; index++) {
    const at = table.offset + index * field.size;
    const info = image.bytes[at + field.info]!;
    const section = image.u16(at + field.section);
    if (section >= sections.length && (section < SHN.LORESERVE || section === SHN.XINDEX)) {
      throw new ImageError(
        `expected symbol ${index} to lie in one of ${sections.length} sections, found section ${section}`,
      );
    }
    symbols.push({
      name: names.at(image.u32(at), `symbol ${index}`),
      value: image.word(at + field.value),
      size: image.word(at + field.length),
      type: SYMBOL_TYPES[info & 15] ?? 'other',
      binding: SYMBOL_BINDINGS[info >> 4] ?? 'other',
      section,
    });
  }
  return symbols;
}
