/**
 * Guest RAM as a private mapping of an anonymous file. The file holds the *base* contents; the mapping holds what has
 * been written since. Going back to the base is madvise(MADV_DONTNEED): the kernel drops the copied pages and the
 * next access finds the file again (madvise(2)). `base` is a second, shared mapping of the same file.
 *
 * A dropped page costs its next reader and writer a page fault each, some 2 µs together; copying its contents back costs 0.1 µs. So
 * pages that were found written become *resident*: they stay, and are copied back. Whether any other page has been written since
 * tells the kernel's count of this thread's page faults: a first write to a page of a private mapping is one (getrusage(2)).
 */
import { closeSync, ftruncateSync, openSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { type Pointer, viewMemory } from './ffi.js';
import { EngineError } from './library.js';

export const PAGE_SIZE = 4096;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_NORESERVE = 0x4000;
const MADV_DONTNEED = 4;
const MFD_CLOEXEC = 1;
const RUSAGE_THREAD = 1;
/** struct rusage: its size, and where ru_minflt lies. */
const RUSAGE = { size: 144, minflt: 64 } as const;
/** Returns to the base with new page faults until the dirty pages are looked at: that takes 70 µs for 64 MiB, dropping 1 µs. */
const LOOK_AFTER = 16;
/** More pages than this are not kept resident. */
const MAX_RESIDENT = 1024;
/** Resident pages that are so near to each other become one run with all between them: one call less costs as much. */
const NEAR = 4;

/** Pages `from` to `to` - 1. */
interface PageRun {
  readonly from: number;
  readonly to: number;
}

/** /proc/PID/pagemap: a page that is present, and is neither of a file nor shared, has been copied by a write. */
const PAGEMAP_ENTRY = 8;
const PRESENT_HIGH = 0x8000_0000;
const SWAPPED_HIGH = 0x4000_0000;
const FILE_HIGH = 0x2000_0000;

const libc = koffi.load('libc.so.6');
const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const mmap = libc.func('void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = libc.func('int munmap(void *addr, size_t length)');
const getrusage = libc.func('int getrusage(int who, void *usage)');
const madvise = libc.func('int madvise(uintptr_t addr, size_t length, int advice)');

export class HostMemory {
  readonly size: number;
  /** Where the engine maps it from. */
  readonly pointer: Pointer;
  /** The RAM as the guest sees it. */
  readonly bytes: Buffer;
  /** The base contents. Writing here changes what clean pages read. */
  readonly base: Buffer;
  readonly #basePointer: Pointer;
  /** Of `bytes`. */
  readonly #address: bigint;
  readonly #pagemap: number;
  readonly #pagemapBytes: Buffer;
  readonly #pagemapOffset: number;
  /** Runs of resident pages, ascending. */
  #resident: readonly PageRun[] = [];
  #faults = -1n;
  #returns = 0;
  readonly #usage = Buffer.alloc(RUSAGE.size);

  /** @param size bytes, a multiple of PAGE_SIZE. @throws EngineError when the host has not that much memory. */
  constructor(size: number) {
    this.size = size;
    const fd = memfdCreate('unwindlab-ram', MFD_CLOEXEC) as number;
    if (fd < 0) throw new EngineError('expected a Linux host with memfd_create(2), found none');
    try {
      ftruncateSync(fd, size);
      this.pointer = mmap(null, size, PROT_READ_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
      this.#basePointer = mmap(null, size, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    } finally {
      closeSync(fd);
    }
    const failed = 0xffff_ffff_ffff_ffffn;
    const address = koffi.address(this.pointer as never);
    if (address === failed || koffi.address(this.#basePointer as never) === failed) {
      throw new EngineError(`expected ${size >> 20} MiB of memory for the guest, the host refused it`);
    }
    this.#address = address;
    this.bytes = Buffer.from(viewMemory(this.pointer, size));
    this.base = Buffer.from(viewMemory(this.#basePointer, size));
    this.#pagemap = openSync('/proc/self/pagemap', 'r');
    this.#pagemapBytes = Buffer.alloc((size / PAGE_SIZE) * PAGEMAP_ENTRY);
    this.#pagemapOffset = Number(address / BigInt(PAGE_SIZE)) * PAGEMAP_ENTRY;
  }

  /** Numbers of the pages that may differ from the base, ascending: those written since, and all resident ones. */
  dirtyPages(): number[] {
    const map = this.#pagemapBytes;
    readSync(this.#pagemap, map, 0, map.length, this.#pagemapOffset);
    const words = new Uint32Array(map.buffer, map.byteOffset, map.length / 4);
    const dirty: number[] = [];
    for (let page = 0, high = 1; high < words.length; page++, high += 2) {
      const flags = words[high]!;
      if ((flags & (PRESENT_HIGH | SWAPPED_HIGH)) !== 0 && (flags & FILE_HIGH) === 0) dirty.push(page);
    }
    return dirty;
  }

  /** Forgets every write: all pages read as the base again. */
  discard(): void {
    const isUntouched = this.#countFaults() === this.#faults;
    if (!isUntouched) {
      this.#returns++;
      if (this.#returns % LOOK_AFTER === 0) this.keep(this.dirtyPages());
      else this.#dropOthers();
    }
    for (const { from, to } of this.#resident)
      this.base.copy(this.bytes, from * PAGE_SIZE, from * PAGE_SIZE, to * PAGE_SIZE);
    if (!isUntouched) this.#faults = this.#countFaults();
  }

  /** `pages` are all that may differ from the base: they stay resident from now on, unless they are too many. */
  keep(pages: readonly number[]): void {
    this.#resident = runsOf(pages);
    if (pages.length > MAX_RESIDENT) this.#dropOthers();
  }

  #countFaults(): bigint {
    getrusage(RUSAGE_THREAD, this.#usage);
    return this.#usage.readBigInt64LE(RUSAGE.minflt);
  }

  /** The pages that are not resident become pages of the file again. */
  #dropOthers(): void {
    let from = 0;
    for (const run of this.#resident) {
      this.#drop(from, run.from);
      from = run.to;
    }
    this.#drop(from, this.size / PAGE_SIZE);
  }

  #drop(from: number, to: number): void {
    if (from === to) return;
    madvise(this.#address + BigInt(from * PAGE_SIZE), (to - from) * PAGE_SIZE, MADV_DONTNEED);
  }

  /** The mappings go; the views must not be touched afterwards. */
  close(): void {
    closeSync(this.#pagemap);
    munmap(this.pointer, this.size);
    munmap(this.#basePointer, this.size);
  }
}

/** Ascending pages as runs; none where they are too many. */
function runsOf(pages: readonly number[]): PageRun[] {
  const runs: { from: number; to: number }[] = [];
  if (pages.length > MAX_RESIDENT) return runs;
  for (const page of pages) {
    const last = runs.at(-1);
    if (last !== undefined && page - last.to <= NEAR) last.to = page + 1;
    else runs.push({ from: page, to: page + 1 });
  }
  return runs;
}
