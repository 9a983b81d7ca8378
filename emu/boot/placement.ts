/** Where boot information and files lie in memory, whatever the image's format. */
import { phys } from '../memory/address.js';
import { type ElfFile, type ElfSegment, PT } from './elf.js';
import { hex } from './elf-bytes.js';
import { ImageError } from './image-error.js';
import type { Piece } from './plan.js';

/** Low memory ends here; above it are the extended BIOS data area and ROMs on a PC. */
export const LOW_MEMORY_END = 0x9_fc00;
export const HIGH_MEMORY_START = 0x10_0000;
/** The boot information and all it points to: one block, in low memory. */
export const INFO_ADDRESS = 0x9_0000;
export const PAGE = 4096;

/** Kinds of memory as e820, PVH and both multiboots number them. */
const MEMORY_RAM = 1;
const MEMORY_RESERVED = 2;

export interface MemoryRange {
  readonly start: number;
  readonly end: number;
  readonly type: number;
}

/** The memory map that every format hands to the guest. */
export const memoryMap = (ram: number): MemoryRange[] => [
  { start: 0, end: LOW_MEMORY_END, type: MEMORY_RAM },
  { start: LOW_MEMORY_END, end: HIGH_MEMORY_START, type: MEMORY_RESERVED },
  { start: HIGH_MEMORY_START, end: ram, type: MEMORY_RAM },
];

export const alignUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
export const alignDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

/** A part of an image in memory: its bytes, then zeros up to `size`. */
export interface Extent {
  readonly address: number;
  readonly size: number;
  readonly bytes: Uint8Array;
}

/** The loadable segments of an ELF file, at their physical addresses. */
export const segmentExtents = (elf: ElfFile): Extent[] =>
  loadable(elf).map(({ physicalAddress, memorySize, data }) => ({
    address: Number(physicalAddress),
    size: Number(memorySize),
    bytes: data,
  }));

/** Where the ELF entry point lies physically: linkers give its virtual address. @throws ImageError */
export function physicalEntry(elf: ElfFile): number {
  const { entry } = elf;
  const home = loadable(elf).find(
    ({ virtualAddress, memorySize }) => entry >= virtualAddress && entry < virtualAddress + memorySize,
  );
  if (home === undefined)
    throw new ImageError(`expected the entry point inside a segment, found it at ${hex(entry)}`);
  return Number(entry - home.virtualAddress + home.physicalAddress);
}

const loadable = (elf: ElfFile): ElfSegment[] =>
  elf.segments.filter(({ type, memorySize }) => type === PT.LOAD && memorySize > 0n);

export const endOf = (extents: readonly Extent[]): number =>
  Math.max(...extents.map(({ address, size }) => address + size), 0);

/** @throws ImageError unless the extents lie in RAM, leave the boot information's place free, and one of them holds `entry`. */
export function checkImage(extents: readonly Extent[], entry: number, ram: number): void {
  for (const { address, size } of extents) {
    const end = address + size;
    if (end > ram)
      throw new ImageError(
        `expected a segment within ${ram >> 20} MiB of RAM, found one at ${hex(address)}..${hex(end)}`,
      );
    if (address < LOW_MEMORY_END && end > INFO_ADDRESS)
      throw new ImageError(
        `expected no segment over the boot information at ${hex(INFO_ADDRESS)}, found one`,
      );
  }
  if (!extents.some(({ address, size }) => entry >= address && entry < address + size))
    throw new ImageError(`expected the entry point inside the image, found it at ${hex(entry)}`);
}

export const piecesOf = (extents: readonly Extent[]): Piece[] =>
  extents.map(({ address, bytes }) => ({ address: phys(address), bytes }));

interface Room {
  /** The first free byte behind the image. */
  readonly from: number;
  /** The end of what may be used, at most the end of RAM. */
  readonly to: number;
  readonly ram: number;
}

/** Files on pages of their own, downwards from the end of the room, where QEMU puts an initrd. @throws ImageError */
export function placeDownwards(files: readonly Uint8Array[], { from, to, ram }: Room): Piece[] {
  let top = to;
  return files.map((bytes) => {
    top = alignDown(top - bytes.length, PAGE);
    if (top < from) throw noRoom(ram);
    return { address: phys(top), bytes };
  });
}

/** Files on pages of their own, upwards from the start of the room, where QEMU puts modules. @throws ImageError */
export function placeUpwards(files: readonly Uint8Array[], { from, to, ram }: Room): Piece[] {
  let free = from;
  return files.map((bytes) => {
    const address = alignUp(free, PAGE);
    free = address + bytes.length;
    if (free > to) throw noRoom(ram);
    return { address: phys(address), bytes };
  });
}

const noRoom = (ram: number): ImageError =>
  new ImageError(
    `expected image and modules to fit into ${ram >> 20} MiB of RAM, they do not; give more with --ram`,
  );

/** The block of boot information: structures are reserved in it, one behind the other, and filled in. */
export class InfoBlock {
  readonly #bytes = Buffer.alloc(LOW_MEMORY_END - INFO_ADDRESS);
  #used = 0;

  /** Zeroed room for a structure. @throws ImageError when the block is full. */
  reserve(size: number, alignment = 8): { readonly address: number; readonly bytes: Buffer } {
    const start = alignUp(this.#used, alignment);
    const end = start + size;
    if (end > this.#bytes.length)
      throw new ImageError(
        `expected boot information of ${this.#bytes.length} bytes at most, found ${end}: shorten the command lines`,
      );
    this.#used = end;
    return { address: INFO_ADDRESS + start, bytes: this.#bytes.subarray(start, end) };
  }

  /** A NUL-terminated string. @returns its address */
  text(text: string): number {
    const bytes = Buffer.from(`${text}\0`);
    const room = this.reserve(bytes.length, 1);
    bytes.copy(room.bytes);
    return room.address;
  }

  get piece(): Piece {
    return { address: phys(INFO_ADDRESS), bytes: this.#bytes.subarray(0, this.#used) };
  }
}
