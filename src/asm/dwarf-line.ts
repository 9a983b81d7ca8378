/**
 * Source lines of addresses, from .debug_line (DWARF 5, "Line Number Information", 6.2; versions 2 to 5, 32- and 64-bit).
 *
 * The reader keeps what a listing asks for: file and line of each address. Work and memory are bounded by the size of the
 * section; whatever does not fit its frame is an ImageError.
 */
import { inflateSync } from 'node:zlib';
import { type ElfFile, SHF } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { ByteCursor } from './byte-cursor.js';
import { type LineHeader, readLineHeader } from './dwarf-line-header.js';

/** A line of source. `file` is relative to the folder in which it was compiled where it lies in there. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
}

/** A row of the table: from `address` to the next row's the code belongs to `source`; to none where it is undefined. */
export interface LineRow {
  readonly address: bigint;
  readonly source: SourceLine | undefined;
}

/** The line table of an image. */
export class LineTable {
  /** In the order of addresses. Where sequences overlap, as those of dropped code do, the first one stands. */
  readonly rows: readonly LineRow[];

  constructor(sequences: readonly (readonly LineRow[])[]) {
    const sorted = sequences
      .filter(({ length }) => length > 0)
      .sort((a, b) => compare(a[0]!.address, b[0]!.address));
    const rows: LineRow[] = [];
    for (const sequence of sorted) {
      if (rows.length === 0 || sequence[0]!.address >= rows.at(-1)!.address)
        for (const row of sequence) rows.push(row);
    }
    this.rows = rows;
  }

  /** The line that `address` was made from. */
  find(address: bigint): SourceLine | undefined {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.rows[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    return this.rows[low - 1]?.source;
  }
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Reads the line table of an image; an image without one has an empty table.
 * @throws {ImageError} when the section is damaged.
 */
export function readLineTable(file: ElfFile): LineTable {
  const section = sectionBytes(file, '.debug_line');
  const strings = { line: sectionBytes(file, '.debug_line_str'), debug: sectionBytes(file, '.debug_str') };
  const cursor = new ByteCursor(section, '.debug_line');
  const sequences: LineRow[][] = [];
  while (!cursor.atEnd) {
    const length = cursor.unitLength();
    const unit = cursor.take(length.size);
    const header = readLineHeader(unit, length.is64, strings);
    for (const sequence of runProgram(unit, header)) sequences.push(sequence);
  }
  return new LineTable(sequences);
}

const LARGEST_SECTION = 1 << 28; // of compressed debug sections, so that a small file cannot ask for gigabytes

/** A section by name, inflated where it is compressed (gABI, "Section Compression"); empty where there is none. */
function sectionBytes(file: ElfFile, name: string): Uint8Array {
  const section = file.sections.find((candidate) => candidate.name === name);
  if (section === undefined) return new Uint8Array();
  if ((section.flags & SHF.COMPRESSED) === 0n) return section.data;
  const header = new ByteCursor(section.data, name);
  const type = header.u32();
  if (type !== 1)
    throw new ImageError(`expected section ${name} to be compressed with zlib (1), found method ${type}`);
  header.take(file.bits === 64 ? 20 : 8); // reserved word, size, alignment
  try {
    return new Uint8Array(inflateSync(header.take(header.left).bytes, { maxOutputLength: LARGEST_SECTION }));
  } catch {
    throw new ImageError(
      `expected section ${name} to inflate to at most ${LARGEST_SECTION} bytes, found damaged data`,
    );
  }
}

const LNS = {
  EXTENDED: 0,
  COPY: 1,
  ADVANCE_PC: 2,
  ADVANCE_LINE: 3,
  SET_FILE: 4,
  CONST_ADD_PC: 8,
  FIXED_ADVANCE_PC: 9,
} as const;
const LNE = { END_SEQUENCE: 1, SET_ADDRESS: 2 } as const;

/** Runs one unit's line number program (DWARF 5, 6.2.5); yields its sequences, each ending in a row without a source. */
function* runProgram(unit: ByteCursor, header: LineHeader): Generator<LineRow[]> {
  const known = new Map<string, SourceLine>(); // one object for each line, however many rows it has
  let rows: LineRow[] = [];
  let address = 0n;
  let fileIndex = 1;
  let line = 1;

  const advance = (operations: number | bigint): void => {
    address = BigInt.asUintN(64, address + BigInt(operations) * BigInt(header.minimumLength));
  };
  const emit = (): void => {
    const file = header.files[fileIndex] ?? '';
    const key = `${fileIndex}:${line}`;
    const source = known.get(key) ?? { file, line };
    known.set(key, source);
    rows.push({ address, source: file === '' || line === 0 ? undefined : source });
  };
  const move = (delta: number | bigint): void => {
    line += Number(delta);
    if (line < 0 || line > 0xffff_ffff)
      throw new ImageError(`expected a line number below 2^32, found ${line} in .debug_line`);
  };
  const extended = (): boolean => {
    const body = unit.take(unit.uleb());
    const opcode = body.u8();
    if (opcode === LNE.SET_ADDRESS) address = body.left === 4 ? BigInt(body.u32()) : body.u64();
    if (opcode === LNE.END_SEQUENCE) rows.push({ address, source: undefined });
    return opcode === LNE.END_SEQUENCE;
  };

  while (!unit.atEnd) {
    const opcode = unit.u8();
    if (opcode >= header.opcodeBase) {
      const adjusted = opcode - header.opcodeBase;
      advance(Math.floor(adjusted / header.lineRange));
      move(header.lineBase + (adjusted % header.lineRange));
      emit();
    } else if (opcode === LNS.EXTENDED) {
      if (!extended()) continue;
      yield rows.sort((a, b) => compare(a.address, b.address));
      [rows, address, fileIndex, line] = [[], 0n, 1, 1];
    } else if (opcode === LNS.COPY) emit();
    else if (opcode === LNS.ADVANCE_PC) advance(unit.ulebBig());
    else if (opcode === LNS.ADVANCE_LINE) move(unit.slebBig());
    else if (opcode === LNS.SET_FILE) fileIndex = unit.uleb();
    else if (opcode === LNS.CONST_ADD_PC) advance(Math.floor((255 - header.opcodeBase) / header.lineRange));
    else if (opcode === LNS.FIXED_ADVANCE_PC) address = BigInt.asUintN(64, address + BigInt(unit.u16()));
    else for (let count = header.operandCounts[opcode - 1] ?? 0; count > 0; count--) unit.ulebBig();
  }
}
