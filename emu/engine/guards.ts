/**
 * Where a CPU that holds an event back may come to take it: before STI, POPF, IRET, SYSRET and RSM, which can set IF or end
 * the blocking of NMIs, and before HLT.
 *
 * The idea: while an event is held back, the machine need not look at every instruction boundary, for nothing but these
 * instructions can let it in. The reality: the engine stops at an address (an *exit*) only if it knew so when it translated it, and a
 * stop there must cost nothing at other times. So while an event is held back, the CPU runs with a mark in its hflags that
 * nothing else uses; translated code is kept apart by them, so the marked CPU has code of its own, with the stops in it. The
 * exits stand only while one block is translated: whatever stands when a run ends, the engine translates anew.
 *
 * The engine ends a block behind each of these instructions, so the last bytes of a block tell. What looks like one and is the end
 * of another instruction does no harm: the engine compares the addresses of whole instructions only.
 */
import type { Block } from './translation-traps.js';

/** Opcodes of one byte: POPF, IRET, HLT, STI (SDM 2, appendix A, table A-2); and behind 0F: SYSRET, RSM (table A-3). */
const isOneByteGuard = (opcode: number): boolean =>
  opcode === 0x9d || opcode === 0xcf || opcode === 0xf4 || opcode === 0xfb;
const isTwoByteGuard = (second: number): boolean => second === 0x07 || second === 0xaa;
const ESCAPE = 0x0f;
/** Legacy prefixes and REX: the instruction may begin with them. */
const isPrefix = (byte: number): boolean =>
  (byte & 0xf0) === 0x40 || [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte);

/**
 * The addresses to stop at in a block that was translated for a marked CPU; none where its end lets nothing in.
 * @param byteAt a byte of the block by its distance from the start; -1 where it is not RAM
 */
export function guardsOf({ pc, size }: Block, byteAt: (offset: number) => number): bigint[] {
  let at = size - 1;
  if (at < 0) return [];
  const last = byteAt(at);
  if (isTwoByteGuard(last) && at > 0 && byteAt(at - 1) === ESCAPE) at--;
  else if (!isOneByteGuard(last)) return [];
  const guards = [pc + BigInt(at)];
  while (at > 0 && isPrefix(byteAt(at - 1))) guards.push(pc + BigInt(--at));
  return guards;
}
