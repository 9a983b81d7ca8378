/** What both versions of multiboot say alike about an image in memory. */
import { flatProtectedMode } from '../cpu/reset.js';
import { hex } from './elf-bytes.js';
import { ImageError } from './image-error.js';
import type { ImageFile } from './image-file.js';
import {
  alignUp,
  checkImage,
  type Extent,
  endOf,
  HIGH_MEMORY_START,
  InfoBlock,
  LOW_MEMORY_END,
  PAGE,
  physicalEntry,
  piecesOf,
  placeUpwards,
  segmentExtents,
} from './placement.js';
import type { BootModule, BootPlan, BootRequest } from './plan.js';

export const LOADER_NAME = 'unwindlab';
const KIB = 1024;

/** Where the image lies in memory by its own header, whatever the file's format. */
export interface LoadAddresses {
  /** Of the header's first byte. */
  readonly header: number;
  readonly load: number;
  /** 0: the whole file. */
  readonly loadEnd: number;
  /** 0: no zeros behind the loaded bytes. */
  readonly bssEnd: number;
}

/** An image in memory. */
export interface LoadedImage {
  readonly extents: readonly Extent[];
  readonly entry: number;
}

/** The part of the file that the addresses name (Multiboot 0.6.96, 3.1.3; Multiboot2 2.0, 3.1.5). @throws ImageError */
export function addressedExtent(file: ImageFile, headerOffset: number, addresses: LoadAddresses): Extent {
  const { header, load, loadEnd, bssEnd } = addresses;
  const from = headerOffset - (header - load);
  const size = loadEnd === 0 ? file.bytes.length - from : loadEnd - load;
  if (header < load || from < 0 || size < 0 || from + size > file.bytes.length) {
    throw new ImageError(
      `expected load addresses that name a part of the file, found ${hex(load)}..${hex(loadEnd)} ` +
        `with the header at ${hex(header)}, in a file of ${hex(file.bytes.length)} bytes with it at ${hex(headerOffset)}`,
    );
  }
  if (bssEnd !== 0 && bssEnd < load + size)
    throw new ImageError(
      `expected the BSS to end behind the image at ${hex(load + size)}, found ${hex(bssEnd)}`,
    );
  const bytes = file.bytes.subarray(from, from + size);
  return { address: load, size: bssEnd === 0 ? size : bssEnd - load, bytes };
}

/** @throws ImageError */
export const elfImage = ({ elf }: ImageFile): LoadedImage => ({
  extents: segmentExtents(elf),
  entry: physicalEntry(elf),
});

/** A module where it has been put. */
export interface PlacedModule {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Writes the information structure. @returns its address */
type WriteInfo = (info: InfoBlock, modules: readonly PlacedModule[]) => number;

/**
 * The image, its modules on pages of their own behind it or else below it, and the information. The CPU is in 32-bit protected mode with flat
 * segments, paging and interrupts off, EAX = magic, EBX = information (Multiboot 0.6.96, 3.2; Multiboot2 2.0, 3.3).
 */
export function planMultiboot(
  file: ImageFile,
  { extents, entry }: LoadedImage,
  request: BootRequest,
  loader: { readonly magic: number; readonly writeInfo: WriteInfo },
): BootPlan {
  const { ram } = request;
  checkImage(extents, entry, ram);
  const files = moduleFiles(request);
  const placed = placeUpwards(
    files.map(({ bytes }) => bytes),
    { ...moduleRoom(extents, files, ram), ram },
  );
  const modules = placed.map(({ address, bytes }, index) => ({
    start: address,
    end: address + bytes.length,
    text: files[index]!.commandLine,
  }));
  const info = new InfoBlock();
  const address = loader.writeInfo(info, modules);
  return {
    pieces: [...piecesOf(extents), ...placed, info.piece],
    entry: flatProtectedMode(entry, { rax: loader.magic, rbx: address }),
    elf: file.isElf ? file.elf : undefined,
  };
}

/** Behind the image, as QEMU has it; below an image that has gone to the end of RAM. */
function moduleRoom(
  extents: readonly Extent[],
  files: readonly BootModule[],
  ram: number,
): { readonly from: number; readonly to: number } {
  const end = Math.max(endOf(extents), HIGH_MEMORY_START);
  const size = files.reduce((sum, { bytes }) => sum + alignUp(bytes.length, PAGE), 0);
  if (alignUp(end, PAGE) + size <= ram) return { from: end, to: ram };
  const starts = extents.map(({ address }) => address).filter((address) => address >= HIGH_MEMORY_START);
  return { from: HIGH_MEMORY_START, to: Math.min(...starts, ram) };
}

/** An initrd is the first module, with its name as its text, as QEMU has it. */
const moduleFiles = ({ initrd, modules }: BootRequest): BootModule[] =>
  initrd === undefined ? [...modules] : [{ bytes: initrd.bytes, commandLine: initrd.name }, ...modules];

/** KiB of memory below 1 MiB, and from there up to the first hole. */
export const basicMemory = (ram: number): { readonly lower: number; readonly upper: number } => ({
  lower: LOW_MEMORY_END / KIB,
  upper: (ram - HIGH_MEMORY_START) / KIB,
});
