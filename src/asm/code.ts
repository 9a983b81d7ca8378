/** The code of an image: where it lies, and its instructions cut at symbols as objdump cuts them. */
import { type ElfFile, ET, PF, PT, SHF } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { Disassembler, Instruction } from './capstone.js';

/** An image file with its names. */
export interface NamedImage {
  readonly file: ElfFile;
  readonly symbols: SymbolTable;
}

/** A run of code at its virtual address. */
export interface Region {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/**
 * The executable sections in the order of addresses; of a file without sections, the executable segments.
 * @throws {ImageError} for an object file, whose code has no addresses yet.
 */
export function codeRegions(file: ElfFile): Region[] {
  if (file.type === ET.REL)
    throw new ImageError('expected a linked image, found an object file: link it first');
  const regions =
    file.sections.length > 0
      ? file.sections
          .filter(({ flags }) => (flags & SHF.ALLOC) !== 0n && (flags & SHF.EXECINSTR) !== 0n)
          .map(({ address, data }) => ({ address, bytes: data }))
      : file.segments
          .filter(({ type, flags }) => type === PT.LOAD && (flags & PF.X) !== 0)
          .map(({ virtualAddress, data }) => ({ address: virtualAddress, bytes: data }));
  return regions.filter(({ bytes }) => bytes.length > 0).sort((a, b) => (a.address < b.address ? -1 : 1));
}

/**
 * The code from `from` on: `size` bytes of it, or with size 0 all to the next symbol, and never past the end of its region.
 * Undefined where there is no code.
 */
export function codeFrom({ file, symbols }: NamedImage, from: bigint, size: bigint): Region | undefined {
  const endOf = ({ address, bytes }: Region): bigint => address + BigInt(bytes.length);
  const region = codeRegions(file).find((candidate) => candidate.address <= from && from < endOf(candidate));
  if (region === undefined) return undefined;
  const to = size > 0n ? from + size : (symbols.next(from) ?? endOf(region));
  const start = Number(from - region.address);
  return { address: from, bytes: region.bytes.subarray(start, start + Number(to - from)) };
}

/**
 * The instructions of a region. Decoding starts anew at every symbol, so that data or padding before a function cannot
 * swallow its first instruction.
 */
export function* instructionsOf(
  region: Region,
  symbols: SymbolTable,
  decoder: Disassembler,
): Generator<Instruction> {
  const end = region.address + BigInt(region.bytes.length);
  let from = region.address;
  while (from < end) {
    const next = symbols.next(from);
    const to = next === undefined || next > end ? end : next;
    const piece = region.bytes.subarray(Number(from - region.address), Number(to - region.address));
    yield* decoder.decode(piece, from);
    from = to;
  }
}
