/**
 * Who may use which I/O port (SDM 1, "I/O Privilege Level" and "I/O Permission Bit Map", 19.5). The engine lets everyone, and
 * tells of an access when it is too late to stop the instruction; so a refused one is taken back behind it (`Core`).
 */
import type { CpuState } from '../engine/cpu-state.js';
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
