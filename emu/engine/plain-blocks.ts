/** Blocks that are known not to trap, though they look like it: some are translated thousands of times, and each probe ends a run. */

interface Plain {
  readonly mode: number;
  readonly bytes: Buffer;
}

export class PlainBlocks {
  readonly #ram: Buffer;
  readonly #blocks = new Map<number, Plain>();

  constructor(ram: Buffer) {
    this.#ram = ram;
  }

  /**
   * @param address physical; the block lies on one page
   * @param mode what the length of instructions depends on, beside the bytes
   */
  note(address: number, size: number, mode: number): void {
    this.#blocks.set(address, { mode, bytes: Buffer.from(this.#ram.subarray(address, address + size)) });
  }

  /** Whether there is such a block, of the same bytes as now. */
  has(address: number, size: number, mode: number): boolean {
    const known = this.#blocks.get(address);
    return known?.mode === mode && known.bytes.equals(this.#ram.subarray(address, address + size));
  }
}
