/** Linux kernels as images with names: unpacked where they come packed, with kallsyms where they have no symbol table. */
import { type ElfFile, PT, parseElf } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { isLinuxImage } from '../../emu/boot/linux-header.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { withKallsyms } from '../linux/kernel-image.js';
import { LinuxError } from '../linux/linux-error.js';
import { unpackKernel } from '../linux/payload.js';

const UPPER_HALF = 0xffff_8000_0000_0000n;

/**
 * An ELF file, or the one inside a bzImage; a kernel without symbol table has the names that it brings itself, if any.
 * @throws ImageError for a file of another kind, or one that is damaged or cannot be unpacked
 */
export function readImage(bytes: Uint8Array): ElfFile {
  const elf = unpacked(bytes);
  if (!lacksNames(elf)) return elf;
  try {
    return withKallsyms(elf);
  } catch (error) {
    if (error instanceof LinuxError) return elf;
    throw error;
  }
}

/** The names that a Linux kernel brings itself; where there are none the table says why. */
export function kernelNames(bytes: Uint8Array): SymbolTable {
  try {
    return new SymbolTable(withKallsyms(unpacked(bytes)));
  } catch (error) {
    if (error instanceof ImageError) return new SymbolTable({ symbols: [], sections: [] }, error.message);
    throw error;
  }
}

function unpacked(bytes: Uint8Array): ElfFile {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return parseElf(isLinuxImage(file) ? unpackKernel(file) : bytes);
}

/** Whether it is a kernel, linked for the upper half of the address space, without symbols. */
const lacksNames = ({ symbols, segments }: ElfFile): boolean =>
  symbols.length === 0 &&
  segments.some(({ type, virtualAddress }) => type === PT.LOAD && virtualAddress >= UPPER_HALF);
