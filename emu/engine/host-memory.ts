/**
 * Guest RAM as a private mapping of an anonymous file. The file holds the *base* contents; the mapping holds what has
 * been written since. Going back to the base is one madvise(MADV_DONTNEED): the kernel drops the copied pages and the
 * next access finds the file again (madvise(2)). `base` is a second, shared mapping of the same file.
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

/** /proc/PID/pagemap: a page that is present, and is neither of a file nor shared, has been copied by a write. */
const PAGEMAP_ENTRY = 8;
const PRESENT_HIGH = 0x8000_0000;
const SWAPPED_HIGH = 0x4000_0000;
const FILE_HIGH = 0x2000_0000;

const libc = koffi.load('libc.so.6');
const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const mmap = libc.func('void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = libc.func('int munmap(void *addr, size_t length)');
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
  readonly #pagemap: number;
  readonly #pagemapBytes: Buffer;
  readonly #pagemapOffset: number;

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
    this.#pagemap = openSync('/proc/self/pagemap', 'r');
    this.#pagemapBytes = Buffer.alloc((size / PAGE_SIZE) * PAGEMAP_ENTRY);
    this.#pagemapOffset = Number(address / BigInt(PAGE_SIZE)) * PAGEMAP_ENTRY;
  }

  /** Numbers of the pages written since the last `discard`, ascending. */
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
    madvise(this.pointer, this.size, MADV_DONTNEED);
  }

  /** The mappings go; the views must not be touched afterwards. */
  close(): void {
    closeSync(this.#pagemap);
    munmap(this.pointer, this.size);
    munmap(this.#basePointer, this.size);
  }
}
