import type { ReadWord, WalkRegs } from '../../src/unwind/walk.js';

/** User memory of single words; every other address is not mapped. */
export function memory(words: Readonly<Record<string, bigint>>): ReadWord {
  const map = new Map(Object.entries(words).map(([address, word]) => [BigInt(address), word]));
  return (address) => map.get(address);
}

/** Registers of a 64-bit user task. */
export const user = (ip: bigint, sp: bigint, fp: bigint): WalkRegs => ({
  ip,
  sp,
  fp,
  userMode: true,
  wordSize: 8,
});
