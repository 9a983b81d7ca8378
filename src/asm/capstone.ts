/** The disassembler: bytes in, instructions out. Loaded once, on first use: its file alone takes longer to read than a guest to boot. */
import type { Capstone, CapstoneModule } from '@alexaltea/capstone-js';
import type { Mode } from './snippet.js';

export type ListingSyntax = 'att' | 'intel';

/** One instruction, or one byte that is none (`mnemonic` is then `(bad)`). */
export interface Instruction {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly mnemonic: string;
  readonly operands: string;
}

/** Decodes code of one mode in one syntax. */
export interface Disassembler {
  /** All instructions of `code`, which lies at `address`; they cover it without a gap. */
  decode(code: Uint8Array, address: bigint): Generator<Instruction>;
}

const CHUNK = 4096; // bytes given to capstone at a time; bounds the memory that it takes for its answers
const LONGEST = 15; // SDM 2A, "Instruction Prefixes", 2.1.1 and table 6-15: a longer instruction is #GP

let loading: Promise<CapstoneModule> | undefined;
const open = new Map<string, Promise<Disassembler>>();

/** The disassembler for `mode` and `syntax`; there is one of each. */
export function disassembler(mode: Mode = 64, syntax: ListingSyntax = 'att'): Promise<Disassembler> {
  const key = `${mode} ${syntax}`;
  const known = open.get(key) ?? create(mode, syntax);
  open.set(key, known);
  return known;
}

async function create(mode: Mode, syntax: ListingSyntax): Promise<Disassembler> {
  loading ??= import('@alexaltea/capstone-js').then(({ default: load }) => load());
  const module = await loading;
  const capstone = new module.Capstone(module.ARCH_X86, module[`MODE_${mode}`]);
  capstone.option(module.OPT_SYNTAX, syntax === 'att' ? module.OPT_SYNTAX_ATT : module.OPT_SYNTAX_INTEL);
  return { decode: (code, address) => decode(capstone, code, address) };
}

function* decode(capstone: Capstone, code: Uint8Array, address: bigint): Generator<Instruction> {
  let at = 0;
  while (at < code.length) {
    const chunk = code.subarray(at, at + CHUNK);
    const isLastChunk = at + chunk.length === code.length;
    const whole = isLastChunk ? chunk.length : chunk.length - LONGEST; // what begins below this is not cut off
    const start = at;
    for (const { size, mnemonic, op_str } of instructions(capstone, chunk, address + BigInt(at))) {
      if (at - start >= whole) break;
      yield {
        address: BigInt.asUintN(64, address + BigInt(at)),
        bytes: code.subarray(at, at + size),
        mnemonic,
        operands: op_str,
      };
      at += size;
    }
    if (at - start < whole) {
      yield {
        address: BigInt.asUintN(64, address + BigInt(at)),
        bytes: code.subarray(at, at + 1),
        mnemonic: '(bad)',
        operands: '',
      };
      at++;
    }
  }
}

function instructions(capstone: Capstone, code: Uint8Array, address: bigint): ReturnType<Capstone['disasm']> {
  try {
    return capstone.disasm(code, address);
  } catch {
    return []; // its way to say that the first byte begins no instruction
  }
}
