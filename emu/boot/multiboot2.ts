/**
 * Multiboot images of version 2 for i386, as a BIOS loader boots them (Multiboot2 Specification 2.0). Sections in brackets
 * are the specification's.
 */
import { hex } from './elf-bytes.js';
import { ImageError } from './image-error.js';
import type { ImageFile } from './image-file.js';
import {
  addressedExtent,
  basicMemory,
  elfImage,
  LOADER_NAME,
  type LoadedImage,
  type PlacedModule,
  planMultiboot,
} from './multiboot-image.js';
import { alignDown, alignUp, endOf, HIGH_MEMORY_START, type InfoBlock, memoryMap } from './placement.js';
import type { BootPlan, BootRequest } from './plan.js';

const HEADER_MAGIC = 0xe852_50d6;
const LOADER_MAGIC = 0x36d7_6289;
const ARCHITECTURE_I386 = 0;
/** The whole header lies in the first bytes of the file, on a multiple of 8 [3.1]; so do its tags. */
const SEARCHED = 32768;
const ALIGNMENT = 8;
const FIXED_SIZE = 16;
const TAG_HEAD = 8;
const OPTIONAL = 1;
/** A load address that says: the file from its beginning [3.1.5]. */
const WHOLE_FILE = 0xffff_ffff;

/** Tags of the header [3.1.3 to 3.1.13] with their sizes at least. Those of EFI mean nothing here; neither do screens. */
const TAG = { end: 0, request: 1, addresses: 2, entry: 3, relocatable: 10 } as const;
const TAG_SIZES: ReadonlyMap<number, number> = new Map([
  [TAG.end, 8],
  [TAG.request, 8],
  [TAG.addresses, 24],
  [TAG.entry, 12],
  [4, 12], // console flags
  [5, 20], // framebuffer
  [6, 8], // modules on pages
  [7, 8], // EFI boot services
  [8, 12], // entry by EFI, i386
  [9, 12], // entry by EFI, amd64
  [TAG.relocatable, 24],
]);

/** Tags of the information [3.4]. */
const INFO_TAG = {
  end: 0,
  commandLine: 1,
  loaderName: 2,
  module: 3,
  memory: 4,
  map: 6,
  loadBase: 21,
} as const;
/** A kernel may ask for these: they are given, or there is no such thing on this machine [3.1.4]. ELF symbols (9) are not given. */
const LAST_INFO_TAG = 21;
const ELF_SYMBOLS = 9;
const MAP_ENTRY_SIZE = 24;
const PREFER = { low: 1, high: 2 } as const;

interface Tag {
  readonly type: number;
  readonly isOptional: boolean;
  /** With its head. */
  readonly bytes: Buffer;
}

/** Where the file has its multiboot 2 header; `undefined` where it has none. */
export function multiboot2Header({ bytes }: ImageFile): number | undefined {
  const last = Math.min(bytes.length, SEARCHED) - FIXED_SIZE;
  for (let at = 0; at <= last; at += ALIGNMENT) {
    if (bytes.readUInt32LE(at) !== HEADER_MAGIC) continue;
    const sum = [0, 4, 8, 12].reduce((total, field) => total + bytes.readUInt32LE(at + field), 0);
    if (sum % 2 ** 32 === 0) return at;
  }
  return undefined;
}

/** The kernel finds the command line alone, as GRUB has it. @throws ImageError */
export function planMultiboot2Boot(file: ImageFile, request: BootRequest): BootPlan {
  const at = multiboot2Header(file);
  if (at === undefined)
    throw new ImageError(
      `expected a multiboot 2 header (0xe85250d6 and a checksum that fits) in the first ${SEARCHED} bytes, found none`,
    );
  const tags = readTags(file.bytes, at);
  for (const tag of tags) checkTag(tag);
  const find = (type: number): Buffer | undefined => tags.find((tag) => tag.type === type)?.bytes;
  const linked = linkedImage(file, at, find(TAG.addresses), find(TAG.entry));
  const relocation = find(TAG.relocatable);
  const image = relocation === undefined ? linked : relocated(linked, relocation, request.ram);
  const base = relocation === undefined ? undefined : startOf(image);
  return planMultiboot(file, image, request, {
    magic: LOADER_MAGIC,
    writeInfo: (info, modules) => writeInfo(info, modules, request, base),
  });
}

function readTags(bytes: Buffer, at: number): Tag[] {
  const architecture = bytes.readUInt32LE(at + 4);
  if (architecture !== ARCHITECTURE_I386)
    throw new ImageError(`expected a multiboot 2 header for i386 (0), found architecture ${architecture}`);
  const end = at + bytes.readUInt32LE(at + 8);
  if (end > Math.min(bytes.length, SEARCHED))
    throw new ImageError(
      `expected the multiboot 2 header in the file and its first ${SEARCHED} bytes, found its end at ${hex(end)}`,
    );
  const tags: Tag[] = [];
  for (let next = at + FIXED_SIZE; ; ) {
    const size = next + TAG_HEAD <= end ? bytes.readUInt32LE(next + 4) : 0;
    if (size < TAG_HEAD || next + size > end)
      throw new ImageError(
        `expected multiboot 2 tags up to one of type 0, found none at file offset ${hex(next)}`,
      );
    const tag = {
      type: bytes.readUInt16LE(next),
      isOptional: (bytes.readUInt16LE(next + 2) & OPTIONAL) !== 0,
      bytes: bytes.subarray(next, next + size),
    };
    if (tag.type === TAG.end) return tags;
    tags.push(tag);
    next = alignUp(next + size, ALIGNMENT);
  }
}

/** @throws ImageError for what the kernel needs and does not get */
function checkTag({ type, isOptional, bytes }: Tag): void {
  const size = TAG_SIZES.get(type);
  if (size === undefined && !isOptional)
    throw new ImageError(`expected multiboot 2 tags of types 0 to 10, found type ${type}, not optional`);
  if (size !== undefined && bytes.length < size)
    throw new ImageError(
      `expected ${size} bytes in a multiboot 2 tag of type ${type}, found ${bytes.length}`,
    );
  if (type !== TAG.request || isOptional) return;
  for (let at = TAG_HEAD; at + 4 <= bytes.length; at += 4) {
    const wanted = bytes.readUInt32LE(at);
    if (wanted > LAST_INFO_TAG || wanted === ELF_SYMBOLS)
      throw new ImageError(
        `expected a request for information of types 1 to ${LAST_INFO_TAG} but ${ELF_SYMBOLS} (ELF symbols), found type ${wanted}, not optional`,
      );
  }
}

/** Where the image lies by its own addresses, or by those of its ELF headers. */
function linkedImage(
  file: ImageFile,
  at: number,
  addresses: Buffer | undefined,
  entry: Buffer | undefined,
): LoadedImage {
  const entryAddress = entry?.readUInt32LE(8);
  if (addresses === undefined) {
    const { extents, entry: elfEntry } = elfImage(file);
    return { extents, entry: entryAddress ?? elfEntry };
  }
  if (entryAddress === undefined)
    throw new ImageError('expected an entry tag (3) beside the address tag (2), found none');
  const header = addresses.readUInt32LE(8);
  const load = addresses.readUInt32LE(12);
  const extent = addressedExtent(file, at, {
    header,
    load: load === WHOLE_FILE ? header - at : load,
    loadEnd: addresses.readUInt32LE(16),
    bssEnd: addresses.readUInt32LE(20),
  });
  return { extents: [extent], entry: entryAddress };
}

const startOf = ({ extents }: LoadedImage): number => Math.min(...extents.map(({ address }) => address));

/** Moves the image to where its relocatable tag [3.1.13] prefers it; without a preference, only where it must. */
function relocated(image: LoadedImage, tag: Buffer, ram: number): LoadedImage {
  const [lowest, highest, unit, preference] = [8, 12, 16, 20].map((at) => tag.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const alignment = Math.max(unit, 1);
  const start = startOf(image);
  const size = endOf(image.extents) - start;
  const low = alignUp(Math.max(lowest, HIGH_MEMORY_START), alignment);
  const high = alignDown(Math.min(highest, ram) - size, alignment);
  const isRight = start >= lowest && start + size <= Math.min(highest, ram) && start % alignment === 0;
  const unmoved = isRight ? start : low;
  const to = preference === PREFER.low ? low : preference === PREFER.high ? high : unmoved;
  if (to < lowest || to + size > Math.min(highest, ram))
    throw new ImageError(
      `expected room for ${hex(size)} bytes from ${hex(lowest)} to ${hex(highest)}, found ${ram >> 20} MiB of RAM`,
    );
  const by = to - start;
  return {
    extents: image.extents.map((extent) => ({ ...extent, address: extent.address + by })),
    entry: image.entry + by,
  };
}

/** @returns the address of the information [3.4] */
function writeInfo(
  info: InfoBlock,
  modules: readonly PlacedModule[],
  { ram, commandLine }: BootRequest,
  base: number | undefined,
): number {
  const map = memoryMap(ram);
  const { lower, upper } = basicMemory(ram);
  const tags = [
    tagOf(INFO_TAG.commandLine, text(commandLine)),
    tagOf(INFO_TAG.loaderName, text(LOADER_NAME)),
    ...modules.map((module) => tagOf(INFO_TAG.module, words(module.start, module.end), text(module.text))),
    tagOf(INFO_TAG.memory, words(lower, upper)),
    tagOf(
      INFO_TAG.map,
      words(MAP_ENTRY_SIZE, 0),
      ...map.map(({ start, end, type }) => words(start, 0, end - start, 0, type, 0)),
    ),
    ...(base === undefined ? [] : [tagOf(INFO_TAG.loadBase, words(base))]),
    tagOf(INFO_TAG.end),
  ];
  const size = TAG_HEAD + tags.reduce((sum, tag) => sum + tag.length, 0);
  const { address, bytes } = info.reserve(size, ALIGNMENT);
  Buffer.concat([words(size, 0), ...tags]).copy(bytes);
  return address;
}

/** A tag of the information, padded to where the next one begins. */
function tagOf(type: number, ...parts: readonly Buffer[]): Buffer {
  const size = TAG_HEAD + parts.reduce((sum, part) => sum + part.length, 0);
  const padding = Buffer.alloc(alignUp(size, ALIGNMENT) - size);
  return Buffer.concat([words(type, size), ...parts, padding]);
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}
