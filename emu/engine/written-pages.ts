/**
 * Which pages of a private file mapping have been written: they are this process's own, no longer the file's. Linux tells by one
 * ioctl since 6.7 (PAGEMAP_SCAN; Documentation/admin-guide/mm/pagemap.rst), a few µs where few pages are present; before, by
 * a file with a word for each page, some 70 µs for 64 MiB.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { viewMemory } from './ffi.js';

/** Pages `from` to `to` - 1. */
export interface PageRun {
  readonly from: number;
  readonly to: number;
}

/** include/uapi/linux/fs.h: the request, the categories, and where struct pm_scan_arg and struct page_region have what. */
const PAGEMAP_SCAN = 0xc060_6610;
const IS_FILE = 1n << 2n;
const IS_PRESENT = 1n << 3n;
const IS_SWAPPED = 1n << 4n;
const ARG = {
  size: 96,
  start: 16,
  end: 24,
  walkEnd: 32,
  vec: 40,
  vecLength: 48,
  inverted: 64,
  mask: 72,
  anyOf: 80,
  wanted: 88,
} as const;
const REGION = 24;
const REGIONS = 512;

/** /proc/PID/pagemap: high halves of the words; a page that is present or swapped out and not of a file. */
const ENTRY = 8;
const THERE_HIGH = 0x8000_0000 | 0x4000_0000;
const FILE_HIGH = 0x2000_0000;

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');

export class WrittenPages {
  /** Whether `find` takes microseconds. */
  readonly isQuick: boolean;
  readonly #pagemap: number;
  readonly #address: bigint;
  readonly #pages: number;
  readonly #pageSize: number;
  readonly #argument = Buffer.alloc(ARG.size);
  readonly #regionsPointer = koffi.alloc('uint8_t', REGIONS * REGION);
  readonly #regions = new BigUint64Array(viewMemory(this.#regionsPointer, REGIONS * REGION));

  /**
   * @param address of the mapping's first page
   * @param pageSize in bytes, the host's
   * @param mayScan false: as on a kernel before 6.7
   */
  constructor(address: bigint, pages: number, pageSize: number, mayScan = true) {
    this.#address = address;
    this.#pages = pages;
    this.#pageSize = pageSize;
    this.#pagemap = openSync('/proc/self/pagemap', 'r');
    const argument = this.#argument;
    const words: readonly (readonly [number, bigint])[] = [
      [0, BigInt(ARG.size)],
      [ARG.end, address + BigInt(pages * pageSize)],
      [ARG.vec, koffi.address(this.#regionsPointer as never)],
      [ARG.vecLength, BigInt(REGIONS)],
      [ARG.inverted, IS_FILE],
      [ARG.mask, IS_FILE],
      [ARG.anyOf, IS_PRESENT | IS_SWAPPED],
      [ARG.wanted, IS_PRESENT],
    ];
    for (const [at, word] of words) argument.writeBigUInt64LE(word, at);
    this.isQuick = mayScan && this.#scan(address) >= 0;
  }

  /** All that have been written and not dropped since, ascending. */
  find(): readonly PageRun[] {
    return this.isQuick ? this.#scanAll() : this.#readAll();
  }

  #scan(from: bigint): number {
    this.#argument.writeBigUInt64LE(from, ARG.start);
    return ioctl(this.#pagemap, PAGEMAP_SCAN, this.#argument) as number;
  }

  #scanAll(): PageRun[] {
    const runs: PageRun[] = [];
    const end = this.#address + BigInt(this.#pages * this.#pageSize);
    const pageOf = (address: bigint): number => Number(address - this.#address) / this.#pageSize;
    for (let from = this.#address; from < end; from = this.#argument.readBigUInt64LE(ARG.walkEnd)) {
      const count = this.#scan(from);
      for (let region = 0; region < count; region++)
        runs.push({ from: pageOf(this.#regions[3 * region]!), to: pageOf(this.#regions[3 * region + 1]!) });
    }
    return runs;
  }

  #readAll(): PageRun[] {
    const words = new Uint32Array(this.#pages * (ENTRY / 4));
    readSync(
      this.#pagemap,
      words,
      0,
      words.byteLength,
      Number(this.#address / BigInt(this.#pageSize)) * ENTRY,
    );
    const runs: { from: number; to: number }[] = [];
    for (let page = 0; page < this.#pages; page++) {
      const high = words[2 * page + 1]!;
      if ((high & THERE_HIGH) === 0 || (high & FILE_HIGH) !== 0) continue;
      const last = runs.at(-1);
      if (last?.to === page) last.to++;
      else runs.push({ from: page, to: page + 1 });
    }
    return runs;
  }

  close(): void {
    closeSync(this.#pagemap);
    koffi.free(this.#regionsPointer);
  }
}
