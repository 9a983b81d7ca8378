import { ImageError } from '../../emu/boot/image-error.js';

/** Reads little-endian values one behind the other; a read past the end is an ImageError that names `what`. */
export class ByteCursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get left(): number {
    return this.bytes.length - this.#at;
  }

  get atEnd(): boolean {
    return this.left === 0;
  }

  u8 = (): number => this.#view.getUint8(this.#skip(1));
  i8 = (): number => this.#view.getInt8(this.#skip(1));
  u16 = (): number => this.#view.getUint16(this.#skip(2), true);
  u32 = (): number => this.#view.getUint32(this.#skip(4), true);
  u64 = (): bigint => this.#view.getBigUint64(this.#skip(8), true);

  /** The next `size` bytes as a cursor of their own. */
  take(size: number): ByteCursor {
    const start = this.#skip(size);
    return new ByteCursor(this.bytes.subarray(start, start + size), this.#what);
  }

  /** A length as DWARF writes it: 4 bytes, or 0xffffffff and 8 bytes (DWARF 5, 7.4). */
  unitLength(): { size: number; is64: boolean } {
    const short = this.u32();
    return short === 0xffff_ffff
      ? { size: this.#small(this.u64()), is64: true }
      : { size: short, is64: false };
  }

  /** A section offset, 4 or 8 bytes wide. */
  offset(is64: boolean): number {
    return is64 ? this.#small(this.u64()) : this.u32();
  }

  /** An unsigned LEB128 number that counts or indexes something (DWARF 5, 7.6). */
  uleb(): number {
    return this.#small(this.ulebBig());
  }

  ulebBig(): bigint {
    return BigInt.asUintN(64, this.#leb().value);
  }

  slebBig(): bigint {
    const { value, bits } = this.#leb();
    return BigInt.asIntN(Math.min(bits, 64), value);
  }

  /** A string that ends in NUL. */
  string(): string {
    const end = this.bytes.indexOf(0, this.#at);
    if (end < 0)
      throw new ImageError(`expected a string in ${this.#what} to end in NUL, found the end of the data`);
    const start = this.#skip(end + 1 - this.#at);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, end - start).toString('utf8');
  }

  #leb(): { value: bigint; bits: number } {
    let value = 0n;
    for (let bits = 0; bits < 70; bits += 7) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << BigInt(bits);
      if (byte < 0x80) return { value, bits: bits + 7 };
    }
    throw new ImageError(`expected a number of at most 10 bytes in ${this.#what}, found a longer one`);
  }

  #small(value: bigint): number {
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new ImageError(`expected a length or an index in ${this.#what}, found 0x${value.toString(16)}`);
    }
    return Number(value);
  }

  #skip(size: number): number {
    if (size > this.left) {
      throw new ImageError(
        `expected ${size} more bytes in ${this.#what}, found ${this.left}: it is damaged or was cut short`,
      );
    }
    const start = this.#at;
    this.#at += size;
    return start;
  }
}
