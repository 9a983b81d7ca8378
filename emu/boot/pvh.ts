/**
 * Loads an ELF64 image with a PVH note the way Xen's PVH protocol and QEMU's `-kernel` do it (Xen, docs/misc/pvh and
 * xen/include/public/arch-x86/hvm/start_info.h).
 */
import { type PhysAddr, phys } from '../memory/address.js';
import { type ElfFile, type ElfSegment, PT } from './elf.js';
import { ImageError } from './image-error.js';

/** A file handed to the guest beside the kernel, with a command line of its own. */
export interface BootModule {
  readonly bytes: Uint8Array;
  readonly commandLine: string;
}

export interface BootPlan {
  /** Where the first CPU starts, and what it finds in EBX. */
  readonly entry: number;
  readonly startInfo: PhysAddr;
  /** What goes where in memory; later pieces do not overlap earlier ones. */
  readonly pieces: readonly { readonly address: PhysAddr; readonly bytes: Uint8Array }[];
}

const NOTE_OWNER = 'Xen';
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336e_c578;
const START_VERSION = 1;
const MEMORY_RAM = 1;
const MEMORY_RESERVED = 2;

/** Low memory ends here; above it are the extended BIOS data area and ROMs on a PC. */
const LOW_MEMORY_END = 0x9_fc00;
const HIGH_MEMORY_START = 0x10_0000;
/** The start info and all it points to: one block, in low memory. */
const INFO_ADDRESS = 0x9_0000;
const PAGE = 4096;

/** Sizes of the protocol's structures. */
const SIZE = { startInfo: 56, module: 32, memory: 24 } as const;

/** The entry point that a PVH note names; `undefined` when the image has no such note. */
export function pvhEntry(elf: ElfFile): number | undefined {
  const note = elf.notes.find(({ name, type }) => name === NOTE_OWNER && type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.desc.length < 4) return undefined;
  return Buffer.from(note.desc).readUInt32LE(0);
}

/**
 * @param ram bytes of RAM
 * @throws ImageError when the image has no PVH note, or it and its modules do not fit.
 */
export function planPvhBoot(
  elf: ElfFile,
  ram: number,
  options: { commandLine: string; modules: readonly BootModule[] },
): BootPlan {
  const entry = pvhEntry(elf);
  if (entry === undefined)
    throw new ImageError('expected an ELF image with a PVH note (Xen, type 18), found none');
  const segments = elf.segments.filter(({ type, memorySize }) => type === PT.LOAD && memorySize > 0n);
  const pieces: { address: PhysAddr; bytes: Uint8Array }[] = [];
  let imageEnd = HIGH_MEMORY_START;
  for (const segment of segments) {
    imageEnd = Math.max(imageEnd, loadedEnd(segment, ram));
    pieces.push({ address: phys(Number(segment.physicalAddress)), bytes: segment.data });
  }
  if (!segments.some((segment) => contains(segment, entry))) {
    throw new ImageError(`expected the PVH entry inside the image, found it at 0x${entry.toString(16)}`);
  }
  // Modules lie at the top of memory, where QEMU puts an initrd.
  let top = ram;
  const modules = options.modules.map(({ bytes, commandLine }) => {
    top = Math.floor((top - bytes.length) / PAGE) * PAGE;
    if (top < imageEnd) {
      throw new ImageError(
        `expected image and modules to fit into ${ram >> 20} MiB of RAM, they do not; give more with --ram`,
      );
    }
    pieces.push({ address: phys(top), bytes });
    return { address: top, size: bytes.length, commandLine };
  });
  pieces.push({ address: phys(INFO_ADDRESS), bytes: startInfo(ram, options.commandLine, modules) });
  return { entry, startInfo: phys(INFO_ADDRESS), pieces };
}

function loadedEnd(segment: ElfSegment, ram: number): number {
  const end = segment.physicalAddress + segment.memorySize;
  if (end > BigInt(ram)) {
    const need = `0x${segment.physicalAddress.toString(16)}..0x${end.toString(16)}`;
    throw new ImageError(`expected a segment within ${ram >> 20} MiB of RAM, found one at ${need}`);
  }
  if (segment.physicalAddress < BigInt(LOW_MEMORY_END) && end > BigInt(INFO_ADDRESS)) {
    throw new ImageError('expected no segment over the boot information at 0x90000, found one');
  }
  return Number(end);
}

const contains = ({ physicalAddress, memorySize }: ElfSegment, address: number): boolean =>
  BigInt(address) >= physicalAddress && BigInt(address) < physicalAddress + memorySize;

function startInfo(
  ram: number,
  commandLine: string,
  modules: readonly { address: number; size: number; commandLine: string }[],
): Uint8Array {
  const map = [
    { start: 0, end: LOW_MEMORY_END, type: MEMORY_RAM },
    { start: LOW_MEMORY_END, end: HIGH_MEMORY_START, type: MEMORY_RESERVED },
    { start: HIGH_MEMORY_START, end: ram, type: MEMORY_RAM },
  ];
  const texts = [commandLine, ...modules.map((module) => module.commandLine)].map((text) =>
    Buffer.from(`${text}\0`),
  );
  const modulesAt = SIZE.startInfo;
  const mapAt = modulesAt + SIZE.module * modules.length;
  const textsAt = mapAt + SIZE.memory * map.length;
  const block = Buffer.alloc(textsAt + texts.reduce((sum, text) => sum + text.length, 0));
  if (INFO_ADDRESS + block.length > LOW_MEMORY_END) {
    throw new ImageError(
      `expected command lines of ${LOW_MEMORY_END - INFO_ADDRESS} bytes at most, found ${block.length}`,
    );
  }
  const address = (offset: number): bigint => BigInt(INFO_ADDRESS + offset);
  let textAt = textsAt;
  const placeText = (text: Buffer): bigint => {
    text.copy(block, textAt);
    const placed = address(textAt);
    textAt += text.length;
    return placed;
  };
  block.writeUInt32LE(START_MAGIC, 0);
  block.writeUInt32LE(START_VERSION, 4);
  block.writeUInt32LE(modules.length, 12);
  block.writeBigUInt64LE(modules.length > 0 ? address(modulesAt) : 0n, 16);
  block.writeBigUInt64LE(placeText(texts[0]!), 24);
  block.writeBigUInt64LE(address(mapAt), 40);
  block.writeUInt32LE(map.length, 48);
  for (const [index, module] of modules.entries()) {
    const at = modulesAt + SIZE.module * index;
    block.writeBigUInt64LE(BigInt(module.address), at);
    block.writeBigUInt64LE(BigInt(module.size), at + 8);
    block.writeBigUInt64LE(placeText(texts[index + 1]!), at + 16);
  }
  for (const [index, { start, end, type }] of map.entries()) {
    const at = mapAt + SIZE.memory * index;
    block.writeBigUInt64LE(BigInt(start), at);
    block.writeBigUInt64LE(BigInt(end - start), at + 8);
    block.writeUInt32LE(type, at + 16);
  }
  return block;
}
