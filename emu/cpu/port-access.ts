/**
 * Who may use which I/O port (SDM 1, "I/O Privilege Level" and "I/O Permission Bit Map", 19.5). The engine lets everyone, and
 * tells of an access when it is too late to stop the instruction; so a refused one is taken back behind it.
 */
import { type CpuState, GPR } from '../engine/cpu-state.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { Paging } from '../memory/page-walk.js';
import { RFLAGS } from './architecture.js';

const IO_MAP_BASE = 102;

/** Whether an access of `size` bytes is allowed; every byte's bit in the map of the TSS must be clear. */
export function mayAccessPort(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  port: number,
  size: number,
): boolean {
  if (state.cpl <= (state.systemFlags & RFLAGS.IOPL) / RFLAGS.IOPL_UNIT) return true;
  const { base, limit } = state.tr;
  const word = (offset: number): number => {
    if (offset + 1 > limit) return 0xffff;
    const bytes = memory.read(paging, BigInt.asUintN(64, base + BigInt(offset)), 2);
    return bytes?.readUInt16LE() ?? 0xffff;
  };
  const bits = word(word(IO_MAP_BASE) + (port >> 3)) >> (port & 7);
  return (bits & ((1 << size) - 1)) === 0;
}

/** A refused access: what must be put back once the instruction is over. */
export interface RefusedAccess {
  readonly port: number;
  readonly rax: bigint;
}

/** IN and OUT with the port in the instruction, and with the port in DX (SDM 2A, appendix A, table A-2). */
const WITH_IMMEDIATE: readonly number[] = [0xe4, 0xe5, 0xe6, 0xe7];
const WITH_DX: readonly number[] = [0xec, 0xed, 0xee, 0xef];
const OPERAND_SIZE = 0x66;

/**
 * Length of the IN or OUT that ends with `code`; 0 for the string forms, which cannot be told from their end.
 * @param code the three bytes before RIP
 */
function lengthOfPortInstruction(code: Uint8Array, port: number): number {
  const prefix = (at: number): number => (code[at] === OPERAND_SIZE ? 1 : 0);
  if (WITH_IMMEDIATE.includes(code[1]!) && code[2] === port) return 2 + prefix(0);
  return WITH_DX.includes(code[2]!) ? 1 + prefix(1) : 0;
}

/** Undoes what the instruction before RIP has done, so that #GP can be delivered at it. */
export function takeBack(state: CpuState, memory: GuestMemory, paging: Paging, refused: RefusedAccess): void {
  const code = memory.read(paging, BigInt.asUintN(64, state.rip - 3n), 3) ?? new Uint8Array(3);
  state.rip = BigInt.asUintN(64, state.rip - BigInt(lengthOfPortInstruction(code, refused.port)));
  state.setReg(GPR.rax, refused.rax);
}
