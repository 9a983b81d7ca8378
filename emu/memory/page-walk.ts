/**
 * The page walk as a pure function (SDM 3A, "Paging", chapter 4; 32-bit, PAE and 4-level paging). It reads tables through
 * a function and changes nothing: accessed and dirty bits are the business of who uses the page.
 */
import { type PhysAddr, phys } from './address.js';

/** What a walk depends on. */
export interface Paging {
  /** CR0.PG */
  readonly enabled: boolean;
  /** CR0.WP: supervisor writes respect read-only pages. */
  readonly writeProtect: boolean;
  readonly pae: boolean;
  readonly longMode: boolean;
  /** CR4.PSE: 4 MiB pages in 32-bit paging. */
  readonly pse: boolean;
  /** EFER.NXE */
  readonly noExecute: boolean;
  /** Physical address of the top table. */
  readonly root: number;
}

const CR0_WP = 0x1_0000;
const CR0_PG = 0x8000_0000;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;

/** The paging mode that the registers choose (SDM 3A, "Paging Modes", 4.1.1). */
export function pagingOf(registers: { cr0: bigint; cr3: bigint; cr4: bigint; efer: bigint }): Paging {
  const cr0 = Number(registers.cr0 & 0xffff_ffffn);
  const cr4 = Number(registers.cr4 & 0xffff_ffffn);
  const efer = Number(registers.efer & 0xffff_ffffn);
  const pae = (cr4 & CR4_PAE) !== 0;
  const longMode = (efer & EFER_LMA) !== 0;
  const rootMask = longMode || !pae ? 0x000f_ffff_ffff_f000n : 0xffff_ffe0n;
  return {
    enabled: (cr0 & CR0_PG) !== 0,
    writeProtect: (cr0 & CR0_WP) !== 0,
    pae,
    longMode,
    pse: (cr4 & CR4_PSE) !== 0,
    noExecute: (efer & EFER_NXE) !== 0,
    root: Number(registers.cr3 & rootMask),
  };
}

/** Bits of a paging-structure entry. */
export const PTE = { present: 1, write: 2, user: 4, accessed: 0x20, dirty: 0x40, large: 0x80 } as const;

/** Bits of a page fault's error code (SDM 3A, "Page-Fault Exceptions", 4.7). */
export const PF_ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

/** A page that is mapped, with the rights that all levels grant. */
export interface Mapping {
  readonly physical: PhysAddr;
  /** Bytes from `physical` to the end of the page. */
  readonly available: number;
  readonly write: boolean;
  readonly user: boolean;
  readonly execute: boolean;
  /** Addresses of the entries that were used, top first. */
  readonly entries: readonly number[];
}

/** Reads a little-endian 32-bit word of physical memory, or gives `undefined` where there is none. */
export type ReadPhys32 = (address: number) => number | undefined;

interface Level {
  /** Lowest address bit that the level's index takes. */
  readonly shift: number;
  readonly indexMask: number;
  /** Bytes that one entry maps. */
  readonly size: number;
}
const level = (shift: number, indexBits: number): Level => ({
  shift,
  indexMask: (1 << indexBits) - 1,
  size: 2 ** shift,
});
const LEVELS_4: readonly Level[] = [level(39, 9), level(30, 9), level(21, 9), level(12, 9)];
const LEVELS_PAE: readonly Level[] = [level(30, 2), level(21, 9), level(12, 9)];
const LEVELS_32: readonly Level[] = [level(22, 10), level(12, 10)];

/**
 * Where a linear address lies in physical memory.
 * @returns the mapping, or `undefined` when an entry on the way is not present or outside of memory.
 */
export function walk(paging: Paging, address: bigint, read: ReadPhys32): Mapping | undefined {
  const low = Number(address & 0xffff_ffffn);
  if (!paging.enabled) {
    return {
      physical: phys(low),
      available: 0x1000 - (low & 0xfff),
      write: true,
      user: true,
      execute: true,
      entries: [],
    };
  }
  const high = Number((address >> 32n) & 0xffffn);
  const levels = paging.longMode ? LEVELS_4 : paging.pae ? LEVELS_PAE : LEVELS_32;
  const entrySize = paging.pae ? 8 : 4;
  const entries: number[] = [];
  let table = paging.root;
  let write = true;
  let user = true;
  let execute = true;
  for (let depth = 0; depth < levels.length; depth++) {
    const { shift, indexMask, size } = levels[depth]!;
    const index = bitsOf(low, high, shift) & indexMask;
    const at = table + index * entrySize;
    const entryLow = read(at);
    if (entryLow === undefined || (entryLow & PTE.present) === 0) return undefined;
    const entryHigh = entrySize === 8 ? (read(at + 4) ?? 0) : 0;
    entries.push(at);
    const isPdpteOfPae = paging.pae && !paging.longMode && depth === 0;
    if (!isPdpteOfPae) {
      write &&= (entryLow & PTE.write) !== 0;
      user &&= (entryLow & PTE.user) !== 0;
      if (paging.noExecute) execute &&= entryHigh >>> 31 === 0;
    }
    const frame = (entryHigh & 0xf_ffff) * 0x1_0000_0000 + ((entryLow & 0xffff_f000) >>> 0);
    const last = depth === levels.length - 1;
    const largeAllowed = !isPdpteOfPae && depth > 0 - Number(!paging.longMode) && (paging.pae || paging.pse);
    if (last || (largeAllowed && (entryLow & PTE.large) !== 0)) {
      const offset = shift >= 32 ? 0 : low % size;
      return {
        physical: phys(frame - (frame % size) + offset),
        available: size - offset,
        write,
        user,
        execute,
        entries,
      };
    }
    table = frame;
  }
  return undefined;
}

/** Bits of a 48-bit address from `shift` on, at least ten of them. */
function bitsOf(low: number, high: number, shift: number): number {
  return shift >= 32 ? high >>> (shift - 32) : (low >>> shift) | (shift > 0 ? high << (32 - shift) : 0);
}
