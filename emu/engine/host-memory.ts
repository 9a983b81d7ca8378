/**
 * Guest RAM as a private mapping of an anonymous file. The file holds the *base* contents; the mapping holds what has
 * been written since. Going back to the base is madvise(MADV_DONTNEED): the kernel drops the copied pages and the
 * next access finds the file again (madvise(2)). `base` is a second, shared mapping of the same file.
 *
 * A dropped page costs its next reader and writer a page fault each, some 2 µs together; copying its contents back costs 0.1 µs. So,
 * where the kernel tells quickly which pages have been written (`written-pages.ts`), these stay *resident* and are copied back. Whether
 * there can be any new one tells its count of this thread's page faults: the first write to a page of a private mapping is one
 * (getrusage(2)).
 */
import { closeSync, ftruncateSync } from 'node:fs';
import koffi from 'koffi';
import { type Pointer, viewMemory } from './ffi.js';
import { EngineError } from './library.js';
import { type PageRun, WrittenPages } from './written-pages.js';

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
/** More pages than this are dropped rather than copied. */
const MAX_RESIDENT = 1024;
/** Returns to the base after which all pages are dropped for once: some will have been written once and never again. */
const FORGET_AFTER = 4096;

const libc = koffi.load('libc.so.6');
const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const mmap = libc.func('void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = libc.func('int munmap(void *addr, size_t length)');
const getrusage = libc.func('int getrusage(int who, void *usage)');
const madvise = libc.func('int madvise(void *addr, size_t length, int advice)');

export class HostMemory {
  readonly size: number;
  /** Where the engine maps it from. */
  readonly pointer: Pointer;
  /** The RAM as the guest sees it. */
  readonly bytes: Buffer;
  /** The base contents. Writing here changes what clean pages read. */
  readonly base: Buffer;
  readonly #basePointer: Pointer;
  readonly #written: WrittenPages;
  /** Ascending. */
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
    this.bytes = Buffer.from(viewMemory(this.pointer, size));
    this.base = Buffer.from(viewMemory(this.#basePointer, size));
    this.#written = new WrittenPages(address, size / PAGE_SIZE, PAGE_SIZE);
  }

  /** The pages that may differ from the base, ascending: those written since, and all resident ones. */
  dirtyPages(): readonly PageRun[] {
    return this.#written.find();
  }

  /** Forgets every write: all pages read as the base again. */
  discard(): void {
    this.#returns++;
    if (!this.#written.isQuick || this.#returns % FORGET_AFTER === 0) {
      this.#drop();
      return;
    }
    const faults = this.#countFaults();
    if (faults !== this.#faults) {
      this.#resident = this.dirtyPages();
      if (this.#resident.reduce((sum, { from, to }) => sum + to - from, 0) > MAX_RESIDENT) {
        this.#drop();
        return;
      }
    }
    for (const { from, to } of this.#resident)
      this.base.copy(this.bytes, from * PAGE_SIZE, from * PAGE_SIZE, to * PAGE_SIZE);
    this.#faults = faults;
  }

  /** Every page equals the base: none need stay. */
  settle(): void {
    this.#drop();
  }

  #drop(): void {
    madvise(this.pointer, this.size, MADV_DONTNEED);
    this.#resident = [];
    this.#faults = -1n;
  }

  #countFaults(): bigint {
    getrusage(RUSAGE_THREAD, this.#usage);
    return this.#usage.readBigInt64LE(RUSAGE.minflt);
  }

  /** The mappings go; the views must not be touched afterwards. */
  close(): void {
    this.#written.close();
    munmap(this.pointer, this.size);
    munmap(this.#basePointer, this.size);
  }
}
