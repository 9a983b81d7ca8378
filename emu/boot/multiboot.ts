/** Multiboot images of version 1 (Multiboot Specification 0.6.96). Sections in brackets are the specification's. */
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
import { type InfoBlock, memoryMap } from './placement.js';
import type { BootPlan, BootRequest } from './plan.js';

const HEADER_MAGIC = 0x1bad_b002;
const LOADER_MAGIC = 0x2bad_b002;
/** The whole header lies in the first bytes of the file, on a multiple of 4 [3.1]. */
const SEARCHED = 8192;
const ALIGNMENT = 4;

/** Header fields by offset [3.1.1]. */
const HEADER = {
  flags: 4,
  checksum: 8,
  size: 12,
  headerAddress: 12,
  loadAddress: 16,
  loadEnd: 20,
  bssEnd: 24,
  entry: 28,
  addressedSize: 32,
} as const;
/** Header flags [3.1.2]; a loader that does not know one below bit 16 must refuse the image. */
const FLAG = { pageAlign: 1 << 0, memory: 1 << 1, video: 1 << 2, addresses: 1 << 16 } as const;
const MUST_BE_KNOWN = 0xffff;
/** A video mode is asked for and not given, as in QEMU: the information says that there is none. */
const KNOWN = FLAG.pageAlign | FLAG.memory | FLAG.video;

/** Information fields by offset, and the flags that say which are there [3.3]. */
const INFO = {
  flags: 0,
  memoryLower: 4,
  memoryUpper: 8,
  commandLine: 16,
  moduleCount: 20,
  modules: 24,
  mapLength: 44,
  map: 48,
  loaderName: 64,
  size: 116,
} as const;
const INFO_FLAG = { memory: 1 << 0, commandLine: 1 << 2, modules: 1 << 3, map: 1 << 6, loaderName: 1 << 9 };
const MODULE_SIZE = 16;
/** With the size field before it, which does not count itself. */
const MAP_ENTRY_SIZE = 24;

/** Where the file has its multiboot header; `undefined` where it has none. */
export function multibootHeader({ bytes }: ImageFile): number | undefined {
  const last = Math.min(bytes.length, SEARCHED) - HEADER.size;
  for (let at = 0; at <= last; at += ALIGNMENT) {
    if (bytes.readUInt32LE(at) !== HEADER_MAGIC) continue;
    const sum =
      HEADER_MAGIC + bytes.readUInt32LE(at + HEADER.flags) + bytes.readUInt32LE(at + HEADER.checksum);
    if (sum % 2 ** 32 === 0) return at;
  }
  return undefined;
}

/** The kernel finds the image's name before its command line, as QEMU has it. @throws ImageError */
export function planMultibootBoot(file: ImageFile, request: BootRequest): BootPlan {
  const at = multibootHeader(file);
  if (at === undefined)
    throw new ImageError(
      `expected a multiboot header (0x1badb002 and a checksum that fits) in the first ${SEARCHED} bytes, found none`,
    );
  return planMultiboot(file, loadedImage(file, at), request, {
    magic: LOADER_MAGIC,
    writeInfo: (info, modules) => writeInfo(info, modules, request),
  });
}

function loadedImage(file: ImageFile, at: number): LoadedImage {
  const { bytes } = file;
  const flags = bytes.readUInt32LE(at + HEADER.flags);
  const unknown = flags & MUST_BE_KNOWN & ~KNOWN;
  if (unknown !== 0)
    throw new ImageError(
      `expected a multiboot header that asks for nothing but modules on pages, memory and video (bits 0 to 2), found 0x${unknown.toString(16)}`,
    );
  if ((flags & FLAG.addresses) === 0) return elfImage(file);
  if (at + HEADER.addressedSize > Math.min(bytes.length, SEARCHED))
    throw new ImageError(
      `expected a multiboot header of ${HEADER.addressedSize} bytes, found the end of the file or of its first ${SEARCHED} bytes in it`,
    );
  const field = (offset: number): number => bytes.readUInt32LE(at + offset);
  const extent = addressedExtent(file, at, {
    header: field(HEADER.headerAddress),
    load: field(HEADER.loadAddress),
    loadEnd: field(HEADER.loadEnd),
    bssEnd: field(HEADER.bssEnd),
  });
  return { extents: [extent], entry: field(HEADER.entry) };
}

/** @returns the address of the information structure [3.3] */
function writeInfo(info: InfoBlock, modules: readonly PlacedModule[], request: BootRequest): number {
  const { ram, imageName, commandLine } = request;
  const map = memoryMap(ram);
  const { lower, upper } = basicMemory(ram);
  const head = info.reserve(INFO.size);
  const list = info.reserve(MODULE_SIZE * modules.length);
  const ranges = info.reserve(MAP_ENTRY_SIZE * map.length);
  const put = (offset: number, value: number): void => {
    head.bytes.writeUInt32LE(value, offset);
  };
  put(
    INFO.flags,
    Object.values(INFO_FLAG).reduce((all, flag) => all | flag),
  );
  put(INFO.memoryLower, lower);
  put(INFO.memoryUpper, upper);
  put(INFO.commandLine, info.text(`${imageName} ${commandLine}`.trim()));
  put(INFO.moduleCount, modules.length);
  put(INFO.modules, list.address);
  put(INFO.mapLength, ranges.bytes.length);
  put(INFO.map, ranges.address);
  put(INFO.loaderName, info.text(LOADER_NAME));
  for (const [index, { start, end, text }] of modules.entries())
    for (const [field, value] of [start, end, info.text(text)].entries())
      list.bytes.writeUInt32LE(value, MODULE_SIZE * index + 4 * field);
  for (const [index, { start, end, type }] of map.entries()) {
    const at = MAP_ENTRY_SIZE * index;
    ranges.bytes.writeUInt32LE(MAP_ENTRY_SIZE - 4, at);
    ranges.bytes.writeBigUInt64LE(BigInt(start), at + 4);
    ranges.bytes.writeBigUInt64LE(BigInt(end - start), at + 12);
    ranges.bytes.writeUInt32LE(type, at + 20);
  }
  return head.address;
}
