/** The instruction that a CPU stands at, as it lies in the guest's memory: a patched one is shown as it was patched. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Machine } from '../../emu/machine.js';
import { type Disassembler, disassembler } from '../asm/capstone.js';
import type { NamedImage } from '../asm/code.js';
import { type LineTable, readLineTable } from '../asm/dwarf-line.js';
import { listed } from '../asm/listing.js';
import type { Code } from './story.js';

const LONGEST_INSTRUCTION = 15;
const MNEMONIC_WIDTH = 6;
const USER_CPL = 3;
/** D of a code segment's descriptor (SDM 3A, "Segment Descriptors", 3.4.5). */
const CODE_32 = 1 << 22;

/** Whose names the code of a CPU has; undefined: nobody's. */
export type ImageOf = (cpu: Vcpu) => NamedImage | undefined;

export class CodeReader {
  /** All instructions that have been read. */
  readonly code: Code[] = [];
  readonly #machine: Machine;
  readonly #kernel: NamedImage;
  readonly #program: ImageOf;
  readonly #decoders: Readonly<Record<16 | 32 | 64, Disassembler>>;
  readonly #known = new Map<string, number>();
  readonly #lines = new Map<NamedImage, LineTable>();

  private constructor(
    machine: Machine,
    kernel: NamedImage,
    program: ImageOf,
    decoders: Readonly<Record<16 | 32 | 64, Disassembler>>,
  ) {
    this.#machine = machine;
    this.#kernel = kernel;
    this.#program = program;
    this.#decoders = decoders;
  }

  /** @param program the image that user code is of */
  static async open(machine: Machine, kernel: NamedImage, program: ImageOf): Promise<CodeReader> {
    const decoders = {
      16: await disassembler(16),
      32: await disassembler(32),
      64: await disassembler(64),
    };
    return new CodeReader(machine, kernel, program, decoders);
  }

  /** The index of the instruction in `code`. */
  read(cpu: Vcpu): number {
    const { state } = cpu;
    const { base, flags } = state.segment('cs');
    const mode = state.in64BitMode ? 64 : (flags & CODE_32) !== 0 ? 32 : 16;
    const address = mode === 64 ? state.rip : state.rip + base;
    const image = state.cpl === USER_CPL ? this.#program(cpu) : this.#kernel;
    const bytes = this.#bytesAt(cpu, address);
    const key = `${address} ${mode} ${state.cpl} ${bytes.toString('hex')}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, this.code.length);
    this.code.push(this.#decode(this.#decoders[mode], address, bytes, image));
    return this.code.length - 1;
  }

  /** Up to the longest instruction, less where the next page is not there. */
  #bytesAt({ index }: Vcpu, address: bigint): Buffer {
    const whole = this.#machine.read(index, address, LONGEST_INSTRUCTION);
    if (whole !== undefined) return whole;
    const toEndOfPage = 0x1000 - Number(address & 0xfffn);
    const length = Math.min(toEndOfPage, LONGEST_INSTRUCTION);
    return this.#machine.read(index, address, length) ?? Buffer.alloc(0);
  }

  #decode(decoder: Disassembler, address: bigint, bytes: Buffer, image: NamedImage | undefined): Code {
    const resolved = image?.symbols.resolve(address);
    const [instruction] = decoder.decode(bytes, address);
    const place = {
      address: address.toString(16),
      where: resolved === undefined ? `0x${address.toString(16)}` : image!.symbols.format(address),
      routine: resolved?.name ?? '',
    };
    if (instruction === undefined) return { ...place, text: '(not mapped)', source: undefined };
    const { mnemonic, operands, target } = listed(instruction, image?.symbols, 'att');
    const source = image && this.#linesOf(image).find(address);
    return {
      ...place,
      text: `${mnemonic.padEnd(MNEMONIC_WIDTH)} ${named(operands, target?.symbol)}`.trimEnd(),
      source: source && `${source.file}:${source.line}`,
    };
  }

  #linesOf(image: NamedImage): LineTable {
    const lines = this.#lines.get(image) ?? readLineTable(image.file);
    this.#lines.set(image, lines);
    return lines;
  }
}

/** A branch's target, a distance from RIP, or an absolute address behind GS or FS: what a name can stand for. */
const ADDRESS = /^0x[0-9a-f]+$|-?0x[0-9a-f]+(?=\(%rip\))|(?<=%[fg]s:)-?0x[0-9a-f]+(?!\()/;

/** Operands as their author wrote them, with the symbol in place of its address. */
const named = (operands: string, symbol: string | undefined): string =>
  symbol === undefined ? operands : operands.replace(ADDRESS, symbol);
