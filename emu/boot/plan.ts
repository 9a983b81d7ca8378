/** What every image format is given, and what it makes of it: bytes to write and the first CPU's state. */
import type { EntryState } from '../cpu/reset.js';
import type { PhysAddr } from '../memory/address.js';
import type { ElfFile } from './elf.js';

/** A file handed to the guest beside the kernel, with a command line of its own. */
export interface BootModule {
  readonly bytes: Uint8Array;
  readonly commandLine: string;
}

/** What the user asks for beside the image. */
export interface BootRequest {
  /** Bytes of RAM. */
  readonly ram: number;
  readonly cpus: number;
  /** Where the ACPI tables begin, if there are any. */
  readonly rsdp: number | undefined;
  /** What the user calls the image; multiboot kernels find it before their command line. */
  readonly imageName: string;
  readonly commandLine: string;
  readonly initrd: BootFile | undefined;
  readonly modules: readonly BootModule[];
}

/** A file and what the user calls it. */
export interface BootFile {
  readonly bytes: Uint8Array;
  readonly name: string;
}

/** Bytes and where they go; the rest of RAM is zero. */
export interface Piece {
  readonly address: PhysAddr;
  readonly bytes: Uint8Array;
}

export interface BootPlan {
  /** Later pieces do not overlap earlier ones. */
  readonly pieces: readonly Piece[];
  /** The first CPU's state when its first instruction executes. */
  readonly entry: EntryState;
  /** Whose symbols are the guest's; `undefined` where the image is no ELF file. */
  readonly elf: ElfFile | undefined;
}
