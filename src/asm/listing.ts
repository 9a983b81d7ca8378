/** Listings of an image's code: symbols, source lines, instructions, and what their operands point at. */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import { disassembler, type Instruction, type ListingSyntax } from './capstone.js';
import { codeRegions, instructionsOf, type NamedImage, type Region } from './code.js';
import type { LineTable, SourceLine } from './dwarf-line.js';

export type { ListingSyntax } from './capstone.js';

/** One line of a listing. */
export type ListingItem =
  | { readonly kind: 'symbol'; readonly address: bigint; readonly names: readonly string[] }
  | { readonly kind: 'source'; readonly source: SourceLine }
  | ListedInstruction;

export interface ListedInstruction extends Instruction {
  readonly kind: 'instruction';
  readonly source: SourceLine | undefined;
  readonly target: Target | undefined;
}

/** What an operand points at. A branch shows it as the operand, other operands behind a `#`. */
export interface Target {
  readonly kind: 'branch' | 'memory';
  readonly address: bigint;
  /** `symbol+0x12`; undefined where no symbol is near. */
  readonly symbol: string | undefined;
}

export interface ListingOptions {
  readonly syntax?: ListingSyntax;
  /** Source lines; without them the listing has none. */
  readonly lines?: LineTable;
  /** What to list; all code of the image by default. */
  readonly regions?: readonly Region[];
}

/**
 * Lists code as objdump does: a header at every symbol, the source line where it changes, the instructions.
 * @throws {ImageError} for an object file.
 */
export async function list(image: NamedImage, options: ListingOptions = {}): Promise<Generator<ListingItem>> {
  const { syntax = 'att', lines, regions = codeRegions(image.file) } = options;
  const decoder = await disassembler(image.file.bits, syntax);
  return (function* () {
    for (const region of regions) {
      let shown: SourceLine | undefined;
      for (const instruction of instructionsOf(region, image.symbols, decoder)) {
        const names = image.symbols.at(instruction.address).map(({ name }) => name);
        if (names.length > 0) yield { kind: 'symbol', address: instruction.address, names: names.reverse() };
        const source = lines?.find(instruction.address);
        if (source !== undefined && (source.file !== shown?.file || source.line !== shown.line)) {
          yield { kind: 'source', source };
        }
        shown = source;
        yield { kind: 'instruction', ...listed(instruction, image.symbols, syntax), source };
      }
    }
  })();
}

/** An instruction as a listing shows it: operands as GNU writes them, and what they point at by the names of `symbols`. */
export function listed(
  instruction: Instruction,
  symbols: SymbolTable | undefined,
  syntax: ListingSyntax,
): Omit<ListedInstruction, 'kind' | 'source'> {
  const operands = syntax === 'att' ? attOperands(instruction.operands) : instruction.operands;
  return { ...instruction, operands, target: targetOf(instruction, symbols) };
}

/** Operands as GNU writes them: no spaces, all numbers but scales in hexadecimal. */
function attOperands(operands: string): string {
  const hexadecimal = (_: string, before: string, digits: string): string =>
    `${before}0x${BigInt(digits).toString(16)}`;
  return operands.replaceAll(', ', ',').replace(/(^|[,$:*-])(\d+)(?=$|[,(])/g, hexadecimal);
}

const BRANCH = /^(j|call|loop|xbegin)/;
const ADDRESS = /^0x[0-9a-f]+$/;
/** RIP-relative and GS- or FS-relative operands without registers, in AT&T and Intel syntax; sign and digits. */
const RIP_RELATIVE = [/(-?)(0x[0-9a-f]+|\d+)\(%rip\)/, /\[rip ([+-]) (0x[0-9a-f]+|\d+)\]/];
const PER_CPU = [/%[fg]s:(-?)(0x[0-9a-f]+|\d+)(?![\w(])/, /\b[fg]s:\[(-?)(0x[0-9a-f]+|\d+)\]/];

function targetOf(
  { address, bytes, mnemonic, operands }: Instruction,
  symbols: SymbolTable | undefined,
): Target | undefined {
  const at = (kind: Target['kind'], value: bigint): Target => {
    const target = BigInt.asUintN(64, value);
    const symbol = symbols?.resolve(target) && symbols.format(target);
    return { kind, address: target, symbol };
  };
  if (BRANCH.test(mnemonic) && ADDRESS.test(operands)) return at('branch', BigInt(operands));
  const relative = displacement(operands, RIP_RELATIVE);
  if (relative !== undefined) return at('memory', address + BigInt(bytes.length) + relative);
  const perCpu = displacement(operands, PER_CPU);
  return perCpu === undefined ? undefined : at('memory', perCpu);
}

function displacement(operands: string, patterns: readonly RegExp[]): bigint | undefined {
  for (const pattern of patterns) {
    const [, sign, digits] = pattern.exec(operands) ?? [];
    if (digits !== undefined) return sign === '-' ? -BigInt(digits) : BigInt(digits);
  }
  return undefined;
}

/** How the parts of a printed line are coloured. */
export interface Paint {
  readonly symbol: (text: string) => string;
  readonly source: (text: string) => string;
  readonly faint: (text: string) => string;
}

export const PLAIN: Paint = { symbol: (text) => text, source: (text) => text, faint: (text) => text };

const BYTES_WIDTH = 8 * 3; // of most instructions; longer ones push the text to the right

/** One line of a listing as text, without a newline at its end. */
export function formatItem(item: ListingItem, paint: Paint = PLAIN): string {
  if (item.kind === 'source') return paint.source(`${item.source.file}:${item.source.line}`);
  const address = item.address.toString(16).padStart(16, '0');
  if (item.kind === 'symbol') {
    return `\n${address} ${item.names.map((name) => paint.symbol(`<${name}>`)).join(' ')}:`;
  }
  const bytes = Array.from(item.bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const text = `${item.mnemonic.padEnd(6)} ${item.operands}`.trimEnd();
  return `${address}:  ${paint.faint(bytes.padEnd(BYTES_WIDTH))} ${text}${formatTarget(item.target, paint)}`;
}

function formatTarget(target: Target | undefined, paint: Paint): string {
  if (target === undefined) return '';
  const symbol = target.symbol === undefined ? '' : ` ${paint.symbol(`<${target.symbol}>`)}`;
  return target.kind === 'branch' ? symbol : paint.faint(`  # ${target.address.toString(16)}`) + symbol;
}
