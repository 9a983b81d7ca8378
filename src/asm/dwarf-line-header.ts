import { ImageError } from '../../emu/boot/image-error.js';
import { ByteCursor } from './byte-cursor.js';

/** What the line number program of one unit needs to know (DWARF 5, "The Line Number Program Header", 6.2.4). */
export interface LineHeader {
  readonly minimumLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Operands of standard opcode N at N - 1. */
  readonly operandCounts: readonly number[];
  /** Paths by the number that the program uses for a file; a number without a file has an empty one. */
  readonly files: readonly string[];
}

/** The two string sections that headers of version 5 point into. */
export interface LineStrings {
  readonly line: Uint8Array;
  readonly debug: Uint8Array;
}

/** Reads the header at the start of `unit` and leaves the cursor at the first opcode. @throws {ImageError} */
export function readLineHeader(unit: ByteCursor, is64: boolean, strings: LineStrings): LineHeader {
  const version = unit.u16();
  if (version < 2 || version > 5)
    throw new ImageError(`expected .debug_line of version 2 to 5, found ${version}`);
  if (version >= 5) unit.take(2); // sizes of an address and of a segment selector
  const header = unit.take(unit.offset(is64));
  const minimumLength = header.u8();
  const operations = version >= 4 ? header.u8() : 1;
  if (operations !== 1)
    throw new ImageError(`expected one operation an instruction in .debug_line, found ${operations}`);
  header.take(1); // default_is_stmt
  const lineBase = header.i8();
  const lineRange = header.u8();
  const opcodeBase = header.u8();
  if (lineRange === 0 || opcodeBase === 0) {
    throw new ImageError(
      `expected a line range and an opcode base above 0, found ${lineRange} and ${opcodeBase} in .debug_line`,
    );
  }
  const operandCounts = Array.from({ length: opcodeBase - 1 }, () => header.u8());
  const files = version >= 5 ? readFiles5(header, is64, strings) : readFiles2(header);
  return { minimumLength, lineBase, lineRange, opcodeBase, operandCounts, files };
}

/** Versions 2 to 4: two lists of strings that end in an empty one; files count from 1, folder 0 is not written. */
function readFiles2(header: ByteCursor): string[] {
  const folders = [''];
  for (let folder = header.string(); folder !== ''; folder = header.string()) folders.push(folder);
  const files = [''];
  for (let name = header.string(); name !== ''; name = header.string()) {
    files.push(path(folders, header.uleb(), name));
    header.uleb(); // time of change
    header.uleb(); // size
  }
  return files;
}

const MOST_NAMES = 65536; // of one unit; bounds what a damaged header can ask for
const LNCT_PATH = 1;
const LNCT_DIRECTORY_INDEX = 2;

/** Version 5: each list announces the columns of its rows; folder 0 is where the unit was compiled. */
function readFiles5(header: ByteCursor, is64: boolean, strings: LineStrings): string[] {
  const folders = readRows(header, is64, strings).map(({ name }) => name);
  return readRows(header, is64, strings).map(({ name, folder }) => path(folders, folder, name));
}

interface NameRow {
  readonly name: string;
  readonly folder: number;
}

function readRows(header: ByteCursor, is64: boolean, strings: LineStrings): NameRow[] {
  const columns = Array.from({ length: header.u8() }, () => ({
    content: header.uleb(),
    form: header.uleb(),
  }));
  const count = header.uleb();
  if (count > MOST_NAMES || (count > 0 && columns.length === 0)) {
    throw new ImageError(
      `expected at most ${MOST_NAMES} names in .debug_line, found ${count} of ${columns.length} columns`,
    );
  }
  const rows: NameRow[] = [];
  for (let index = 0; index < count; index++) {
    let name = '';
    let folder = 0;
    for (const { content, form } of columns) {
      const value = readForm(header, form, is64, strings);
      if (content === LNCT_PATH && typeof value === 'string') name = value;
      if (content === LNCT_DIRECTORY_INDEX && typeof value === 'number') folder = value;
    }
    rows.push({ name, folder });
  }
  return rows;
}

type FormReader = (cursor: ByteCursor, is64: boolean, strings: LineStrings) => string | number | undefined;

/** The forms that a line table may use (DWARF 5, 7.5.6). Every one takes at least a byte. */
const FORMS: Readonly<Record<number, FormReader>> = {
  5: (cursor) => cursor.u16(), // data2
  6: (cursor) => cursor.u32(), // data4
  7: (cursor) => void cursor.u64(), // data8
  8: (cursor) => cursor.string(), // string
  9: (cursor) => void cursor.take(cursor.uleb()), // block
  11: (cursor) => cursor.u8(), // data1
  14: (cursor, is64, { debug }) => stringAt(debug, cursor.offset(is64), '.debug_str'), // strp
  15: (cursor) => cursor.uleb(), // udata
  30: (cursor) => void cursor.take(16), // data16
  31: (cursor, is64, { line }) => stringAt(line, cursor.offset(is64), '.debug_line_str'), // line_strp
};

function readForm(
  cursor: ByteCursor,
  form: number,
  is64: boolean,
  strings: LineStrings,
): string | number | undefined {
  const read = FORMS[form];
  if (read === undefined)
    throw new ImageError(`expected a form for names in .debug_line, found 0x${form.toString(16)}`);
  return read(cursor, is64, strings);
}

const LONGEST_PATH = 4096; // PATH_MAX; keeps overlapping strings of a damaged file from growing without bound

function stringAt(section: Uint8Array, offset: number, name: string): string {
  if (offset >= section.length)
    throw new ImageError(`expected an offset into ${name}, found ${offset} of ${section.length}`);
  const cursor = new ByteCursor(section.subarray(offset, offset + LONGEST_PATH), name);
  return cursor.string();
}

/** Joins folder and name; what lies in the folder of the compilation is told relative to it. */
function path(folders: readonly string[], index: number, name: string): string {
  const folder = folders[index];
  if (folder === undefined)
    throw new ImageError(`expected a folder below ${folders.length} in .debug_line, found ${index}`);
  const whole = name.startsWith('/') || index === 0 ? name : `${folder}/${name}`;
  const home = `${folders[0]}/`;
  return home !== '/' && whole.startsWith(home) ? whole.slice(home.length) : whole;
}
