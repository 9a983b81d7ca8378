import { readFileSync } from 'node:fs';
import type { GuestReader, GuestSymbols } from '../../src/guest/reader.js';

const KERNEL = new URL('../../guest-kernel/', import.meta.url);

/** The constants of the real kernel, by the rule that layout.h states: a line is `#define NAME number`. */
export function layoutConstants(version: string): Map<string, bigint> {
  const files = ['include/layout.h', `unwind/${version}.h`];
  const text = files.map((file) => readFileSync(new URL(file, KERNEL), 'utf8')).join('\n');
  const lines = text.matchAll(/^#define\s+(\w+)\s+(0x[0-9a-f]+|\d+)\b/gm);
  return new Map([...lines].map(([, name, value]) => [name!, BigInt(value!)]));
}

/** Kernel memory in pages that appear when written; what was never written is not mapped. */
export class SyntheticGuest implements GuestReader, GuestSymbols {
  readonly constants: Map<string, bigint>;
  readonly symbols = new Map<string, bigint>();
  readonly #bytes = new Map<bigint, number>();

  /** @param version of the mechanism, whose layout it has */
  constructor(version = 'v13-06') {
    this.constants = layoutConstants(version);
  }

  write(address: bigint, bytes: Uint8Array): void {
    for (const [offset, byte] of bytes.entries()) this.#bytes.set(address + BigInt(offset), byte);
  }
  word(address: bigint, value: bigint, size: 4 | 8 = 8): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    this.write(address, bytes.subarray(0, size));
  }
  /** A word at `base` plus the constant `field`. */
  field(base: bigint, field: string, value: bigint, size: 4 | 8 = 8): void {
    this.word(base + this.constants.get(field)!, value, size);
  }
  zero(address: bigint, length: bigint): void {
    this.write(address, new Uint8Array(Number(length)));
  }

  readKernel(address: bigint, length: number): Uint8Array | undefined {
    const bytes = Array.from({ length }, (_, offset) => this.#bytes.get(address + BigInt(offset)));
    return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[]);
  }
  readUser(): undefined {
    return undefined;
  }
  lookup(name: string): bigint | undefined {
    return this.symbols.get(name);
  }
  constant(name: string): bigint | undefined {
    return this.constants.get(name);
  }
}
