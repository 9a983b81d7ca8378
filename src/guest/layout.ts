import type { KernelAddr } from '../../emu/memory/address.js';
import { GuestError, type GuestReader, type GuestSymbols } from './reader.js';

/** Reads the guest's memory by the names of its kernel. Layout constants become numbers, and are looked up once. */
export class GuestLayout {
  readonly #reader: GuestReader;
  readonly #symbols: GuestSymbols;
  readonly #constants = new Map<string, number>();

  constructor(reader: GuestReader, symbols: GuestSymbols) {
    this.#reader = reader;
    this.#symbols = symbols;
  }

  /** A structure offset or size. @throws {GuestError} */
  constant(name: string): number {
    const value = this.optional(name);
    if (value === undefined) throw missing('constant', name);
    return value;
  }

  /** A constant that not every version of the kernel has. */
  optional(name: string): number | undefined {
    const known = this.#constants.get(name);
    if (known !== undefined) return known;
    const value = this.#symbols.constant(name);
    if (value === undefined) return undefined;
    this.#constants.set(name, Number(value));
    return Number(value);
  }

  /** The address of a symbol. @throws {GuestError} */
  address(name: string): KernelAddr {
    const value = this.#symbols.lookup(name);
    if (value === undefined) throw missing('symbol', name);
    return value as KernelAddr;
  }

  /** `length` bytes of the kernel. @throws {GuestError} where they are not mapped */
  read(address: KernelAddr, length: number, what: string): DataView {
    const bytes = this.#reader.readKernel(address, length);
    if (bytes === undefined)
      throw new GuestError(
        `expected ${what} at 0x${address.toString(16)}, found no such memory in the guest`,
      );
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A NUL-terminated text of at most `max` bytes. Nothing after the NUL is read. @throws {GuestError} */
  text(address: KernelAddr, max: number, what: string): string {
    const bytes: number[] = [];
    for (let offset = 0; offset < max; offset++) {
      const byte = this.read(after(address, offset), 1, what).getUint8(0);
      if (byte === 0) break;
      bytes.push(byte);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}

const missing = (kind: string, name: string): GuestError =>
  new GuestError(
    `expected the kernel image to define the ${kind} ${name}, found no such symbol: this is not an unwindlab kernel`,
  );

/** `address + offset` within the kernel. */
export const after = (address: KernelAddr, offset: number | bigint): KernelAddr =>
  BigInt.asUintN(64, address + BigInt(offset)) as KernelAddr;

/** Text in a field of `length` bytes, up to the first NUL. */
export function textAt(view: DataView, offset: number, length: number): string {
  const field = new Uint8Array(view.buffer, view.byteOffset + offset, length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
