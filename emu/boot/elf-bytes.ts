/** Checked access to the bytes of an ELF file: extents, tables and strings. */
import { ImageError } from './image-error.js';

/** Offsets and sizes of the fields that move between the two classes; `word` is the width of an address. */
export const LAYOUTS = {
  32: {
    word: 4,
    header: 52,
    segment: {
      size: 32,
      flags: 24,
      offset: 4,
      virtual: 8,
      physical: 12,
      fileSize: 16,
      memorySize: 20,
      align: 28,
    },
    section: 40,
    symbol: { size: 16, value: 4, length: 8, info: 12, section: 14 },
  },
  64: {
    word: 8,
    header: 64,
    segment: {
      size: 56,
      flags: 4,
      offset: 8,
      virtual: 16,
      physical: 24,
      fileSize: 32,
      memorySize: 40,
      align: 48,
    },
    section: 64,
    symbol: { size: 24, value: 8, length: 16, info: 4, section: 6 },
  },
} as const;

export type Layout = (typeof LAYOUTS)[32 | 64];

/** A table of the file as its header announces it. */
export interface Table {
  readonly offset: bigint;
  readonly count: number;
  readonly entrySize: number;
}

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** The bytes of a file with checked access. Everything that reads an ELF table goes through `extent`. */
export class Image {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly layout: Layout;

  constructor(bytes: Uint8Array, layout: Layout) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.layout = layout;
  }

  u16 = (offset: number): number => this.view.getUint16(offset, true);
  u32 = (offset: number): number => this.view.getUint32(offset, true);
  /** An address-sized number of the file's class. */
  word = (offset: number): bigint =>
    this.layout.word === 8 ? this.view.getBigUint64(offset, true) : BigInt(this.view.getUint32(offset, true));

  /** A view of `size` bytes at `offset`; an ImageError when the file has fewer. */
  extent(what: string, offset: bigint, size: bigint): Uint8Array {
    if (offset + size > BigInt(this.bytes.length)) {
      throw new ImageError(
        `expected ${what} at file offset ${hex(offset)} with ${hex(size)} bytes, ` +
          `found a file of ${hex(this.bytes.length)} bytes: it is damaged or was cut short`,
      );
    }
    return this.bytes.subarray(Number(offset), Number(offset + size));
  }

  /** File offsets of the entries of `table`, all of them inside the file. */
  entries(what: string, table: Table): number[] {
    this.extent(what, table.offset, BigInt(table.count) * BigInt(table.entrySize));
    const start = Number(table.offset);
    return Array.from({ length: table.count }, (_, index) => start + index * table.entrySize);
  }
}

/**
 * Strings by offset, each decoded once. Strings may share their tails, as linkers do it; a table made to share so much
 * that its names outgrow the file by far is refused, so that a small file cannot ask for gigabytes.
 */
export class StringTable {
  readonly #bytes: Buffer;
  readonly #known = new Map<number, string>();
  #budget: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#budget = 65536 + 16 * bytes.length;
  }

  at(offset: number, owner: string): string {
    const known = this.#known.get(offset);
    if (known !== undefined) return known;
    if (offset === 0 && this.#bytes.length === 0) return '';
    const end = offset < this.#bytes.length ? this.#bytes.indexOf(0, offset) : -1;
    if (end < 0) {
      throw new ImageError(
        `expected the name of ${owner} to be a NUL-terminated string in a table of ${this.#bytes.length} bytes, found offset ${offset}`,
      );
    }
    this.#budget -= end - offset;
    if (this.#budget < 0)
      throw new ImageError(
        `expected names that seldom overlap, found ${owner} in a table of overlapping ones`,
      );
    const name = this.#bytes.toString('utf8', offset, end);
    this.#known.set(offset, name);
    return name;
  }
}
