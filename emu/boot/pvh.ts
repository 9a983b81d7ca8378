/**
 * ELF images with a PVH note, the way Xen's PVH protocol and QEMU's `-kernel` boot them (Xen, docs/misc/pvh and
 * xen/include/public/arch-x86/hvm/start_info.h).
 */
import { flatProtectedMode } from '../cpu/reset.js';
import type { ElfFile } from './elf.js';
import { ImageError } from './image-error.js';
import type { ImageFile } from './image-file.js';
import {
  checkImage,
  endOf,
  HIGH_MEMORY_START,
  InfoBlock,
  memoryMap,
  piecesOf,
  placeDownwards,
  segmentExtents,
} from './placement.js';
import type { BootPlan, BootRequest } from './plan.js';

const NOTE_OWNER = 'Xen';
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336e_c578;
const START_VERSION = 1;

/** Sizes of the protocol's structures. */
const SIZE = { startInfo: 56, module: 32, memory: 24 } as const;

/** The entry point that a PVH note names; `undefined` when the image has no such note. */
export function pvhEntry(elf: ElfFile): number | undefined {
  const note = elf.notes.find(({ name, type }) => name === NOTE_OWNER && type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.desc.length < 4) return undefined;
  return Buffer.from(note.desc).readUInt32LE(0);
}

/**
 * An initrd is the first module, without a command line, as QEMU has it. `cpus=N` is put before the command line.
 * @throws ImageError when the image has no PVH note, or it and its modules do not fit.
 */
export function planPvhBoot({ elf }: ImageFile, request: BootRequest): BootPlan {
  const { ram, rsdp } = request;
  const entry = pvhEntry(elf);
  if (entry === undefined)
    throw new ImageError('expected an ELF image with a PVH note (Xen, type 18), found none');
  const extents = segmentExtents(elf);
  checkImage(extents, entry, ram);
  const files = [
    ...(request.initrd === undefined ? [] : [{ bytes: request.initrd.bytes, commandLine: undefined }]),
    ...request.modules,
  ];
  const placed = placeDownwards(
    files.map(({ bytes }) => bytes),
    { from: Math.max(endOf(extents), HIGH_MEMORY_START), to: ram, ram },
  );
  const modules = placed.map(({ address, bytes }, index) => ({
    address,
    size: bytes.length,
    commandLine: files[index]!.commandLine,
  }));
  const info = new InfoBlock();
  const commandLine = `cpus=${request.cpus} ${request.commandLine}`.trim();
  const startInfo = writeStartInfo(info, { ram, rsdp, commandLine, modules });
  return {
    pieces: [...piecesOf(extents), ...placed, info.piece],
    entry: flatProtectedMode(entry, { rbx: startInfo }),
    elf,
  };
}

interface PlacedModule {
  readonly address: number;
  readonly size: number;
  readonly commandLine: string | undefined;
}

interface StartInfo extends Pick<BootRequest, 'ram' | 'rsdp' | 'commandLine'> {
  readonly modules: readonly PlacedModule[];
}

/** @returns the address of hvm_start_info */
function writeStartInfo(info: InfoBlock, { ram, rsdp = 0, commandLine, modules }: StartInfo): number {
  const map = memoryMap(ram);
  const start = info.reserve(SIZE.startInfo);
  const list = info.reserve(SIZE.module * modules.length);
  const ranges = info.reserve(SIZE.memory * map.length);
  start.bytes.writeUInt32LE(START_MAGIC, 0);
  start.bytes.writeUInt32LE(START_VERSION, 4);
  start.bytes.writeUInt32LE(modules.length, 12);
  start.bytes.writeBigUInt64LE(BigInt(modules.length > 0 ? list.address : 0), 16);
  start.bytes.writeBigUInt64LE(BigInt(info.text(commandLine)), 24);
  start.bytes.writeBigUInt64LE(BigInt(rsdp), 32);
  start.bytes.writeBigUInt64LE(BigInt(ranges.address), 40);
  start.bytes.writeUInt32LE(map.length, 48);
  for (const [index, module] of modules.entries()) {
    const text = module.commandLine === undefined ? 0 : info.text(module.commandLine);
    for (const [field, value] of [module.address, module.size, text].entries())
      list.bytes.writeBigUInt64LE(BigInt(value), SIZE.module * index + 8 * field);
  }
  for (const [index, range] of map.entries()) {
    const at = SIZE.memory * index;
    ranges.bytes.writeBigUInt64LE(BigInt(range.start), at);
    ranges.bytes.writeBigUInt64LE(BigInt(range.end - range.start), at + 8);
    ranges.bytes.writeUInt32LE(range.type, at + 16);
  }
  return start.address;
}
