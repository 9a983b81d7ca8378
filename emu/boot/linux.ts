/**
 * Linux bzImages, by the 64-bit boot protocol where the kernel has its entry point, else by the 32-bit one (Linux,
 * Documentation/arch/x86/boot.rst and zero-page.rst).
 */
import type { EntryState } from '../cpu/reset.js';
import { hex } from './elf-bytes.js';
import { ImageError } from './image-error.js';
import {
  type LinuxImage,
  LOADFLAG_LOADED_HIGH,
  readLinuxImage,
  SETUP,
  writeField,
  XLF_KERNEL_64,
} from './linux-header.js';
import {
  alignUp,
  checkImage,
  HIGH_MEMORY_START,
  InfoBlock,
  memoryMap,
  PAGE,
  piecesOf,
  placeDownwards,
} from './placement.js';
import type { BootPlan, BootRequest, Piece } from './plan.js';

/** From the start of the protected-mode code. */
const ENTRY_64 = 0x200;
/** __BOOT_CS and __BOOT_DS. */
const SELECTORS = { code: 0x10, data: 0x18 } as const;
const DESCRIPTORS = {
  code32: 0x00cf_9b00_0000_ffffn,
  code64: 0x00af_9b00_0000_ffffn,
  data: 0x00cf_9300_0000_ffffn,
} as const;
/** No number is assigned to this loader. */
const LOADER_UNDEFINED = 0xff;
const VIDEO_NORMAL = 0xffff;

/** `struct boot_params`, "zero page". */
const BOOT_PARAMS = { size: 4096, e820_entries: 0x1e8, e820_table: 0x2d0, e820_entry: 20 } as const;
const ENTRY_MASK = { present: 1, writable: 2, huge: 0x80 } as const;
const TABLE_ENTRIES = 512;
const HUGE_PAGE = 2 << 20;
/** GiB that are mapped one to one: all of RAM, and devices below 4 GiB. */
const MAPPED_GIB = 4;

/** @throws ImageError */
export function planLinuxBoot(file: { readonly bytes: Buffer }, request: BootRequest): BootPlan {
  const image = readLinuxImage(file.bytes);
  if (request.modules.length > 0)
    throw new ImageError(
      `expected no --module with a Linux image, which knows none, found ${request.modules.length}; give an initrd with --initrd`,
    );
  const { load, memoryEnd } = placeKernel(image, request.ram);
  const is64 = (image.value(SETUP.xloadflags) & XLF_KERNEL_64) !== 0;
  const entry = is64 ? load + ENTRY_64 : load;
  const extents = [{ address: load, size: image.code.length, bytes: image.code }];
  checkImage(extents, entry, request.ram);
  const [initrd] = placeInitrd(image, request, memoryEnd);
  const info = new InfoBlock();
  const params = writeBootParams(info, image, { load, initrd, request });
  const state = writeEntryState(info, entry, is64);
  return {
    pieces: [...piecesOf(extents), ...(initrd === undefined ? [] : [initrd]), info.piece],
    entry: { ...state, registers: { rsi: params } },
    elf: undefined,
  };
}

/**
 * Where the code goes, and the end of the memory that the kernel needs before it looks at its memory map (boot.rst,
 * "init_size"). @throws ImageError when RAM ends before.
 */
function placeKernel(image: LinuxImage, ram: number): { load: number; memoryEnd: number } {
  const { code, value } = image;
  if ((value(SETUP.loadflags) & LOADFLAG_LOADED_HIGH) === 0)
    throw new ImageError('expected a bzImage, which is loaded high, found a zImage');
  const alignment = value(SETUP.kernel_alignment);
  const preferred = value(SETUP.pref_address);
  const isRelocatable = value(SETUP.relocatable_kernel) !== 0;
  if (isRelocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0))
    throw new ImageError(`expected a kernel alignment that is a power of two, found ${hex(alignment)}`);
  const load = isRelocatable && preferred !== 0 ? alignUp(preferred, alignment) : HIGH_MEMORY_START;
  const runtime = isRelocatable ? alignUp(load, alignment) : preferred || load;
  const memoryEnd = Math.max(load + code.length, runtime + value(SETUP.init_size));
  if (memoryEnd > ram)
    throw new ImageError(
      `expected RAM up to ${hex(memoryEnd)}, where the kernel's memory ends, found ${ram >> 20} MiB; give more with --ram`,
    );
  return { load, memoryEnd };
}

function placeInitrd(image: LinuxImage, { initrd, ram }: BootRequest, from: number): Piece[] {
  if (initrd === undefined) return [];
  const to = Math.min(ram, image.value(SETUP.initrd_addr_max) + 1);
  return placeDownwards([initrd.bytes], { from: Math.max(from, HIGH_MEMORY_START), to, ram });
}

interface Loaded {
  readonly load: number;
  readonly initrd: Piece | undefined;
  readonly request: BootRequest;
}

/** @returns the address of boot_params */
function writeBootParams(info: InfoBlock, image: LinuxImage, { load, initrd, request }: Loaded): number {
  const limit = image.value(SETUP.cmdline_size);
  const { address, bytes } = info.reserve(BOOT_PARAMS.size, PAGE);
  const { commandLine } = request;
  if (Buffer.byteLength(commandLine) > limit)
    throw new ImageError(
      `expected a command line of ${limit} bytes at most, as this kernel takes it, found ${Buffer.byteLength(commandLine)}`,
    );
  image.header.copy(bytes, SETUP.setup_sects.at);
  writeField(bytes, SETUP.vid_mode, VIDEO_NORMAL);
  writeField(bytes, SETUP.type_of_loader, LOADER_UNDEFINED);
  writeField(bytes, SETUP.code32_start, load);
  writeField(bytes, SETUP.ramdisk_image, initrd?.address ?? 0);
  writeField(bytes, SETUP.ramdisk_size, initrd?.bytes.length ?? 0);
  writeField(bytes, SETUP.cmd_line_ptr, info.text(commandLine));
  const map = memoryMap(request.ram);
  bytes.writeUInt8(map.length, BOOT_PARAMS.e820_entries);
  for (const [index, { start, end, type }] of map.entries()) {
    const at = BOOT_PARAMS.e820_table + BOOT_PARAMS.e820_entry * index;
    bytes.writeBigUInt64LE(BigInt(start), at);
    bytes.writeBigUInt64LE(BigInt(end - start), at + 8);
    bytes.writeUInt32LE(type, at + 16);
  }
  return address;
}

/** The GDT, and the page tables of 64-bit mode. */
function writeEntryState(info: InfoBlock, entry: number, is64: boolean): Omit<EntryState, 'registers'> {
  const descriptors = [0n, 0n, is64 ? DESCRIPTORS.code64 : DESCRIPTORS.code32, DESCRIPTORS.data];
  const gdt = info.reserve(8 * descriptors.length);
  for (const [index, descriptor] of descriptors.entries()) gdt.bytes.writeBigUInt64LE(descriptor, 8 * index);
  return {
    entry,
    selectors: SELECTORS,
    gdt: { base: BigInt(gdt.address), limit: gdt.bytes.length - 1 },
    ...(is64 && { pageTables: writePageTables(info) }),
  };
}

/** One to one, with pages of 2 MiB (SDM 3A, "4-Level Paging", 4.5). @returns the address for CR3 */
function writePageTables(info: InfoBlock): number {
  const tables = info.reserve((2 + MAPPED_GIB) * PAGE, PAGE);
  const put = (table: number, index: number, entry: number): void => {
    tables.bytes.writeBigUInt64LE(BigInt(entry), table * PAGE + 8 * index);
  };
  const pointer = (table: number): number =>
    tables.address + table * PAGE + ENTRY_MASK.present + ENTRY_MASK.writable;
  put(0, 0, pointer(1));
  for (let gib = 0; gib < MAPPED_GIB; gib++) put(1, gib, pointer(2 + gib));
  for (let page = 0; page < MAPPED_GIB * TABLE_ENTRIES; page++)
    put(2, page, page * HUGE_PAGE + ENTRY_MASK.present + ENTRY_MASK.writable + ENTRY_MASK.huge);
  return tables.address;
}
