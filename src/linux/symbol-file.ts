/**
 * An ELF file that holds names and nothing else, for gdb, which does not read kallsyms: the image's sections without their contents, and a
 * symbol table.
 *
 * Source: System V gABI, "Object Files" (chapter 4).
 */
import { type ElfFile, type ElfSection, type ElfSymbol, ET, SHF, SHN, SHT } from '../../emu/boot/elf.js';
import { EM, SYMBOL_BINDINGS, SYMBOL_TYPES } from '../../emu/boot/elf-constants.js';

const HEADER = 64;
const SECTION_HEADER = 64;
const SYMBOL = 24;

/** A table's contents and what its section header says. */
interface Table {
  readonly name: string;
  readonly type: number;
  readonly link?: number;
  readonly info?: number;
  readonly entrySize?: number;
  readonly bytes: Buffer;
}

/** @param image one of 64 bits, with the symbols that the file shall have */
export function symbolFile({ sections, symbols, entry }: ElfFile): Buffer {
  const inMemory = sections.filter(({ flags }) => (flags & SHF.ALLOC) !== 0n);
  const numberOf = new Map(inMemory.map(({ index }, position) => [index, position + 1]));
  // Local symbols come first (gABI, "Symbol Table"; sh_info is the number of the first other one).
  const isLocal = ({ binding }: ElfSymbol): boolean => binding === 'local';
  const sorted = [...symbols.filter(isLocal), ...symbols.filter((symbol) => !isLocal(symbol))];
  const strings = new Strings();
  const table = Buffer.alloc(SYMBOL * (sorted.length + 1));
  for (const [index, { name, value, size, type, binding, section }] of sorted.entries()) {
    const at = SYMBOL * (index + 1);
    table.writeUInt32LE(strings.add(name), at);
    table.writeUInt8((numberIn(SYMBOL_BINDINGS, binding) << 4) | numberIn(SYMBOL_TYPES, type), at + 4);
    table.writeUInt16LE(section < SHN.LORESERVE ? (numberOf.get(section) ?? SHN.ABS) : section, at + 6);
    table.writeBigUInt64LE(value, at + 8);
    table.writeBigUInt64LE(size, at + 16);
  }
  const firstTable = inMemory.length + 1;
  const locals = symbols.filter(isLocal).length;
  const tables: Table[] = [
    {
      name: '.symtab',
      type: SHT.SYMTAB,
      link: firstTable + 1,
      info: locals + 1,
      entrySize: SYMBOL,
      bytes: table,
    },
    { name: '.strtab', type: SHT.STRTAB, bytes: strings.bytes() },
  ];
  return assemble(entry, inMemory, tables);
}

function assemble(entry: bigint, inMemory: readonly ElfSection[], tables: readonly Table[]): Buffer {
  const names = new Strings();
  const headers: Uint8Array[] = [Buffer.alloc(SECTION_HEADER)];
  for (const section of inMemory)
    headers.push(
      sectionHeader({ ...section, name: names.add(section.name), type: SHT.NOBITS, offset: HEADER }),
    );
  const contents: Uint8Array[] = [];
  let offset = HEADER;
  const put = (
    { name, type, link = 0, info = 0, entrySize = 0 }: Omit<Table, 'bytes'>,
    bytes: () => Buffer,
  ): void => {
    const row = { name: names.add(name), type, flags: 0n, address: 0n, offset, link, info, align: 8n };
    const written = bytes();
    headers.push(sectionHeader({ ...row, size: BigInt(written.length), entrySize: BigInt(entrySize) }));
    const padded = Buffer.alloc(Math.ceil(written.length / 8) * 8);
    written.copy(padded);
    contents.push(padded);
    offset += padded.length;
  };
  for (const each of tables) put(each, () => each.bytes);
  put({ name: '.shstrtab', type: SHT.STRTAB }, () => names.bytes());
  return Buffer.concat([fileHeader(entry, offset, headers.length), ...contents, ...headers]);
}

function fileHeader(entry: bigint, sectionTable: number, sections: number): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeUInt16LE(ET.EXEC, 16);
  bytes.writeUInt16LE(EM.X86_64, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(entry, 24);
  bytes.writeBigUInt64LE(BigInt(sectionTable), 40);
  bytes.writeUInt16LE(HEADER, 52);
  bytes.writeUInt16LE(SECTION_HEADER, 58);
  bytes.writeUInt16LE(sections, 60);
  bytes.writeUInt16LE(sections - 1, 62); // .shstrtab is the last one
  return bytes;
}

type HeaderRow = Omit<ElfSection, 'index' | 'name' | 'data'> & { readonly name: number };

function sectionHeader(row: HeaderRow): Buffer {
  const bytes = Buffer.alloc(SECTION_HEADER);
  bytes.writeUInt32LE(row.name, 0);
  bytes.writeUInt32LE(row.type, 4);
  const words = [row.flags, row.address, BigInt(row.offset), row.size];
  for (const [index, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 + 8 * index);
  bytes.writeUInt32LE(row.link, 40);
  bytes.writeUInt32LE(row.info, 44);
  bytes.writeBigUInt64LE(row.align, 48);
  bytes.writeBigUInt64LE(row.entrySize, 56);
  return bytes;
}

class Strings {
  readonly #pieces = ['\0'];
  #length = 1;

  add(text: string): number {
    const at = this.#length;
    this.#pieces.push(`${text}\0`);
    this.#length += Buffer.byteLength(text) + 1;
    return at;
  }

  bytes(): Buffer {
    return Buffer.from(this.#pieces.join(''));
  }
}

const numberIn = (names: Readonly<Record<number, string>>, name: string): number =>
  Number(Object.keys(names).find((number) => names[Number(number)] === name) ?? 0);
