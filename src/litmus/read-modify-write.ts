/**
 * Instructions that load, change and store one operand in memory. Without LOCK other CPUs may store in between (SDM 3A,
 * "Guaranteed Atomic Operations", 9.1.1, "Bus Locking", 9.1.2); an interrupt of the own CPU may not. The machine executes
 * instructions whole, so the world of a litmus test takes these in two steps, and this file knows which they are and where.
 */

import { type CpuState, GPR, type SegmentName } from '../../emu/engine/cpu-state.js';
import type { Instruction } from '../asm/capstone.js';
import { REGISTERS } from './registers.js';

const NAMES =
  'adc add and btc btr bts cmpxchg dec inc neg not or rcl rcr rol ror sal sar sbb shl shld shr shrd sub xadd xor';
/** XCHG is not among them: with an operand in memory it locks by itself (SDM 2B, "XCHG"). */
const UNLOCKED = new RegExp(`^(${NAMES.replaceAll(' ', '|')})([bwlq])$|^cmpxchg(8|16)b$`);
const SIZES: Readonly<Record<string, number>> = { b: 1, w: 2, l: 4, q: 8 };

/** The operand of a read-modify-write without LOCK. */
export interface MemoryOperand {
  /** Bytes. */
  readonly size: number;
  /** Where it is, by the registers before the instruction. */
  address(state: CpuState): number;
}

const MEMORY =
  /^(?:%(?<segment>[c-gs]s):)?(?<minus>-?)(?<displacement>(?:0x[\da-f]+|\d+))?(?:\((?:%(?<base>\w+))?(?:, ?%(?<index>\w+))?(?:, ?(?<scale>[1248]))?\))?$/;

/** The operand, if `instruction` (in AT&T syntax, as capstone writes it) is a read-modify-write of memory without LOCK. */
export function unlockedOperand(instruction: Instruction): MemoryOperand | undefined {
  const { mnemonic, operands } = instruction;
  const found = UNLOCKED.exec(mnemonic);
  if (found === null) return undefined;
  const last = /(?:^|, )([^%$ ][^ ]*(?:\(.*\))?|%[c-gs]s:.*)$/.exec(operands)?.[1];
  if (last === undefined) return undefined;
  const { segment, minus, displacement, base, index, scale } = MEMORY.exec(last)!.groups!;
  const wide = found[3];
  const size = wide === undefined ? SIZES[found[2]!]! : Number(wide);
  const bitOffset = /^bt/.test(mnemonic) ? /^%(\w+),/.exec(operands)?.[1] : undefined;
  const next = instruction.address + BigInt(instruction.bytes.length);
  const register = (name: string | undefined, state: CpuState): bigint =>
    name === undefined ? 0n : name === 'rip' ? next : registerValue(name, state);
  return {
    size,
    address: (state) => {
      let at = BigInt(displacement ?? 0) * (minus === '-' ? -1n : 1n) + register(base, state);
      at += register(index, state) * BigInt(scale ?? 1);
      if (segment !== undefined) at += state.segment(segment as SegmentName).base;
      // BTS and its kin with a register reach the operand in which the bit lies, also before the address (SDM 2A, "BTS").
      if (bitOffset !== undefined) {
        const bit = BigInt.asIntN(8 * size, registerValue(bitOffset, state));
        at += BigInt(size) * (bit >> BigInt(Math.log2(8 * size)));
      }
      return Number(BigInt.asUintN(64, at));
    },
  };
}

function registerValue(name: string, state: CpuState): bigint {
  const register = REGISTERS.get(name) ?? { gpr: GPR[`r${name}` as keyof typeof GPR], size: 2 };
  return BigInt.asUintN(8 * register.size, state.reg(register.gpr));
}
