/**
 * Patched sites: instructions of a built image replaced by others. This is how mutants are made: a `lock cmpxchg` loses
 * its LOCK, a compare-and-exchange becomes a plain store.
 */
import type { ElfFile } from '../../emu/boot/elf.js';
import { PT } from '../../emu/boot/elf.js';
import { disassembler, type Instruction } from './capstone.js';
import { codeFrom, instructionsOf, type NamedImage, type Region } from './code.js';
import { assemble, type Syntax } from './keystone.js';

/** A site that cannot be patched as asked. */
export class PatchError extends Error {
  override readonly name = 'PatchError';
}

/** What to replace and by what. */
export interface Site {
  /** A label, `symbol+0x12`, or an address. It must be the start of an instruction. */
  readonly at: string | bigint;
  /** How much to replace: so many instructions (1 by default), or so many bytes, which must end with an instruction. */
  readonly replace?: { readonly instructions: number } | { readonly bytes: number };
  /** The new instructions; they may use the image's symbols. Empty: nothing but padding. */
  readonly with: string;
  readonly syntax?: Syntax;
}

/** A patch ready to be applied: at `address`, `before` becomes `after`; both have the same length. */
export interface Patch {
  readonly address: bigint;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** NOPs of 1 to 9 bytes (SDM 2B, "NOP - No Operation", table "Recommended Multi-Byte Sequence of NOP Instruction"). */
const NOPS: readonly (readonly number[])[] = [
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/**
 * Assembles the replacement of a site. Nothing is written; see `patchFile`, or store `after` at `address`.
 * @throws {PatchError} when there is no such site, an instruction would be split, a label or a jump of the function leads into
 *   the middle of the replaced bytes, or the new code does not fit.
 * @throws {AsmError} when the new code cannot be assembled.
 */
export async function patchSite(image: NamedImage, site: Site): Promise<Patch> {
  const address = siteAddress(image, site.at);
  const mode = image.file.bits;
  const decoder = await disassembler(mode);
  const surroundings = surroundingsOf(image, address);
  const instructions = [...instructionsOf(surroundings, image.symbols, decoder)];
  const first = instructions.findIndex((instruction) => instruction.address === address);
  const name = image.symbols.format(address);
  if (first < 0) throw new PatchError(`expected an instruction to start at ${name}, found the middle of one`);
  const length = replacedLength(instructions.slice(first), site.replace ?? { instructions: 1 }, name);
  const end = address + BigInt(length);
  checkEntrances(image, instructions, address, end);
  const isEmpty = site.with.trim() === '';
  const options = { address, mode, symbols: image.symbols, ...(site.syntax && { syntax: site.syntax }) };
  const code = isEmpty ? new Uint8Array() : (await assemble(site.with, options)).bytes;
  if (code.length > length) {
    throw new PatchError(
      `expected at most ${length} bytes in place of \`${describe(instructions, address, end)}\` at ${name}, ` +
        `found ${code.length}: replace more instructions`,
    );
  }
  const offset = Number(address - surroundings.address);
  return { address, before: surroundings.bytes.slice(offset, offset + length), after: pad(code, length) };
}

/**
 * A copy of an image file with patches applied.
 * @throws {PatchError} when the file does not hold `before` at the place.
 */
export function patchFile(bytes: Uint8Array, file: ElfFile, patches: readonly Patch[]): Uint8Array {
  const copy = bytes.slice();
  for (const { address, before, after } of patches) {
    const segment = file.segments.find(
      ({ type, virtualAddress, fileSize }) =>
        type === PT.LOAD &&
        virtualAddress <= address &&
        address + BigInt(before.length) <= virtualAddress + BigInt(fileSize),
    );
    const offset = segment === undefined ? -1 : segment.offset + Number(address - segment.virtualAddress);
    if (offset < 0 || !before.every((byte, index) => copy[offset + index] === byte)) {
      throw new PatchError(
        `expected the file to hold the bytes that the patch replaces at 0x${address.toString(16)}, found others`,
      );
    }
    copy.set(after, offset);
  }
  return copy;
}

function siteAddress({ symbols }: NamedImage, at: string | bigint): bigint {
  if (typeof at === 'bigint') return at;
  const [, name, offset] = /^(.*?)(?:\+(0x[0-9a-f]+|\d+))?$/is.exec(at)!;
  const base = symbols.lookup(name!);
  if (base === undefined) throw new PatchError(`expected a label of the image, found ${at}`);
  return base + BigInt(offset ?? 0);
}

/** The function around an address, or what lies between the symbols around it where no function is known. */
function surroundingsOf(image: NamedImage, address: bigint): Region {
  const found = image.symbols.resolve(address);
  const region = codeFrom(image, found?.address ?? address, found?.size ?? 0n);
  if (region === undefined) {
    throw new PatchError(
      `expected ${image.symbols.format(address)} to lie in the image's code, found none there`,
    );
  }
  return region;
}

function replacedLength(
  instructions: readonly Instruction[],
  wanted: NonNullable<Site['replace']>,
  name: string,
): number {
  let length = 0;
  let count = 0;
  const isEnough = (): boolean => ('bytes' in wanted ? length >= wanted.bytes : count >= wanted.instructions);
  for (const { bytes } of instructions) {
    if (isEnough()) break;
    length += bytes.length;
    count++;
  }
  if (count === 0 || !isEnough()) {
    const amount = 'bytes' in wanted ? `${wanted.bytes} bytes` : `${wanted.instructions} instructions`;
    throw new PatchError(
      `expected to replace ${amount} at ${name}, found ${count} (${length} bytes) to the end of the function`,
    );
  }
  if ('bytes' in wanted && length !== wanted.bytes) {
    throw new PatchError(
      `expected ${wanted.bytes} bytes at ${name} to end with an instruction, found one that ends after ${length}`,
    );
  }
  return length;
}

/** Refuses labels in the middle of the replaced bytes, and jumps of the same function to there. */
function checkEntrances(
  { symbols }: NamedImage,
  instructions: readonly Instruction[],
  from: bigint,
  to: bigint,
): void {
  const label = symbols.next(from);
  if (label !== undefined && label < to) {
    const names = symbols.at(label).map(({ name }) => name);
    throw new PatchError(`expected no label inside the replaced bytes, found ${names.join(', ')}`);
  }
  for (const { address, mnemonic, operands } of instructions) {
    const target =
      /^0x[0-9a-f]+$/.test(operands) && /^(j|call|loop|xbegin)/.test(mnemonic) ? BigInt(operands) : from;
    const isReplaced = from <= address && address < to;
    if (!isReplaced && from < target && target < to) {
      throw new PatchError(
        `expected no jump into the replaced bytes, found \`${mnemonic} ${operands}\` at ${symbols.format(address)}`,
      );
    }
  }
}

function describe(instructions: readonly Instruction[], from: bigint, to: bigint): string {
  const replaced = instructions.filter(({ address }) => from <= address && address < to);
  return replaced.map(({ mnemonic, operands }) => `${mnemonic} ${operands}`.trim()).join('; ');
}

/** Fills `code` up to `length` with as few NOPs as possible. */
function pad(code: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(length);
  padded.set(code);
  for (let at = code.length; at < length; ) {
    const nop = NOPS[Math.min(length - at, NOPS.length) - 1]!;
    padded.set(nop, at);
    at += nop.length;
  }
  return padded;
}
