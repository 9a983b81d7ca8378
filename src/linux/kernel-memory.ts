/** Bytes of a kernel's memory, and what its tables of names need to be read from them. */

/** A stretch of virtual memory. */
export interface Memory {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

export type Alignment = 4 | 8;

export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** Little-endian numbers by their offset in a stretch; what is aligned is so in memory. */
export class MemoryView {
  readonly address: bigint;
  readonly buffer: Buffer;
  readonly #phase: number;

  constructor({ address, bytes }: Memory) {
    this.address = address;
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#phase = Number(address & 7n);
  }

  get length(): number {
    return this.buffer.length;
  }

  u16 = (at: number): number => this.buffer.readUInt16LE(at);
  u32 = (at: number): number => this.buffer.readUInt32LE(at);
  s32 = (at: number): number => this.buffer.readInt32LE(at);
  u64 = (at: number): bigint => this.buffer.readBigUInt64LE(at);

  isAligned(at: number, alignment: Alignment): boolean {
    return (at + this.#phase) % alignment === 0;
  }

  alignUp(at: number, alignment: Alignment): number {
    return alignUp(at + this.#phase, alignment) - this.#phase;
  }

  alignDown(at: number, alignment: Alignment): number {
    return at - ((at + this.#phase) % alignment);
  }

  /** Codes of the packed name at `at`. Since 6.1 names of 128 codes and more have two bytes for it, the low seven bits first. */
  nameLength(at: number): number {
    const low = this.buffer[at] ?? 0;
    return low < 0x80 ? low : (low & 0x7f) | ((this.buffer[at + 1] ?? 0) << 7);
  }
}
