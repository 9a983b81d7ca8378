/** Guest memory as the host sees it: physical RAM in words, and virtual memory through a CPU's page tables. */
import { type HostMemory, PAGE_SIZE } from '../engine/host-memory.js';
import type { PhysAddr } from './address.js';
import { isCanonical } from './address.js';
import { type Mapping, type Paging, PF_ERROR, PTE, type ReadPhys32, walk } from './page-walk.js';

/** An access that the guest's page tables refuse; what a #PF would carry. */
export class PageFault extends Error {
  override name = 'PageFault';
  readonly address: bigint;
  readonly errorCode: number;
  constructor(address: bigint, errorCode: number) {
    super(`page fault at 0x${address.toString(16)}, error code ${errorCode}`);
    this.address = address;
    this.errorCode = errorCode;
  }
}

export class GuestMemory {
  readonly #bytes: Buffer;
  readonly #read32: ReadPhys32;

  constructor(ram: HostMemory) {
    const bytes = ram.bytes;
    this.#bytes = bytes;
    this.#read32 = (address) => (address + 4 <= bytes.length ? bytes.readUInt32LE(address) : undefined);
  }

  /** Bytes of RAM. */
  get size(): number {
    return this.#bytes.length;
  }

  /** A copy of physical memory, or `undefined` where part of the range is not RAM. */
  readPhysical(address: PhysAddr, length: number): Buffer | undefined {
    if (address < 0 || address + length > this.#bytes.length) return undefined;
    return Buffer.from(this.#bytes.subarray(address, address + length));
  }

  /** A 64-bit word of physical memory, or `undefined` where part of it is not RAM. */
  wordAt(address: PhysAddr): bigint | undefined {
    if (address < 0 || address + 8 > this.#bytes.length) return undefined;
    return this.#bytes.readBigUInt64LE(address);
  }

  /** @returns false where part of the range is not RAM; then nothing is written. */
  writePhysical(address: PhysAddr, bytes: Uint8Array): boolean {
    if (address < 0 || address + bytes.length > this.#bytes.length) return false;
    this.#bytes.set(bytes, address);
    return true;
  }

  /** The page that holds a linear address, whatever the rights; `undefined` where none is mapped. */
  translate(paging: Paging, address: bigint): Mapping | undefined {
    if (paging.longMode && !isCanonical(address)) return undefined;
    return walk(paging, address, this.#read32);
  }

  /** A copy of virtual memory, or `undefined` where a byte is not mapped to RAM. Rights do not matter: this is a debugger's view. */
  read(paging: Paging, address: bigint, length: number): Buffer | undefined {
    const out = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const mapping = this.translate(paging, BigInt.asUintN(64, address + BigInt(done)));
      if (mapping === undefined) return undefined;
      const bytes = Math.min(mapping.available, length - done);
      if (mapping.physical + bytes > this.#bytes.length) return undefined;
      this.#bytes.copy(out, done, mapping.physical, mapping.physical + bytes);
      done += bytes;
    }
    return out;
  }

  /** @returns false where a byte is not mapped to RAM; then nothing is written. */
  write(paging: Paging, address: bigint, bytes: Uint8Array): boolean {
    const pieces: { physical: number; from: number; to: number }[] = [];
    for (let done = 0; done < bytes.length; ) {
      const mapping = this.translate(paging, BigInt.asUintN(64, address + BigInt(done)));
      if (mapping === undefined) return false;
      const length = Math.min(mapping.available, bytes.length - done);
      if (mapping.physical + length > this.#bytes.length) return false;
      pieces.push({ physical: mapping.physical, from: done, to: done + length });
      done += length;
    }
    for (const { physical, from, to } of pieces) this.#bytes.set(bytes.subarray(from, to), physical);
    return true;
  }

  /** Reads as the processor does for itself, with supervisor rights. @throws PageFault */
  systemRead(paging: Paging, address: bigint, length: number): Buffer {
    const bytes = this.read(paging, address, length);
    if (bytes === undefined) throw new PageFault(address, 0);
    return bytes;
  }

  /**
   * Writes 64-bit words as the processor does when it pushes a frame: with supervisor rights, setting accessed and
   * dirty bits. `words[0]` goes to `address`, a multiple of 8. @throws PageFault before anything is written.
   */
  systemWriteWords(paging: Paging, address: bigint, words: readonly bigint[]): void {
    const length = 8 * words.length;
    const onPage = PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1));
    const first = this.#writable(paging, address, Math.min(length, onPage));
    const second = length > onPage ? this.#writable(paging, address + BigInt(onPage), length - onPage) : 0;
    for (let index = 0; index < words.length; index++) {
      const at = 8 * index < onPage ? first + 8 * index : second + 8 * index - onPage;
      this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, words[index]!), at);
    }
  }

  /** Writes a word of any alignment in the same way. @throws PageFault before anything is written. */
  systemWrite(paging: Paging, address: bigint, word: Uint8Array): void {
    const onPage = Math.min(word.length, PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1)));
    const first = this.#writable(paging, address, onPage);
    const rest = word.length - onPage;
    const second = rest > 0 ? this.#writable(paging, address + BigInt(onPage), rest) : 0;
    this.#bytes.set(word.subarray(0, onPage), first);
    this.#bytes.set(word.subarray(onPage), second);
  }

  /** Where `length` bytes of one page lie, marked as accessed and dirty. */
  #writable(paging: Paging, address: bigint, length: number): number {
    const mapping = this.translate(paging, address);
    if (mapping === undefined) throw new PageFault(address, PF_ERROR.write);
    if (!mapping.write && paging.writeProtect)
      throw new PageFault(address, PF_ERROR.write | PF_ERROR.present);
    if (mapping.physical + length > this.#bytes.length)
      throw new PageFault(address, PF_ERROR.write | PF_ERROR.reserved);
    const last = mapping.entries.length - 1;
    for (const [level, entry] of mapping.entries.entries()) {
      const wanted = PTE.accessed | (level === last ? PTE.dirty : 0);
      const low = this.#bytes.readUInt32LE(entry);
      if ((low & wanted) !== wanted) this.#bytes.writeUInt32LE((low | wanted) >>> 0, entry);
    }
    return mapping.physical;
  }
}
