/**
 * The addresses of a kernel's names (`kallsyms.ts`), in the forms that they had over the releases. Which one it is, the table does
 * not say; sorted addresses are what only the right one gives.
 *
 * Source: Linux, scripts/kallsyms.c write_src() and kernel/kallsyms.c kallsyms_sym_address().
 */
import type { VirtAddr } from '../../emu/memory/address.js';
import { type Alignment, alignUp, type MemoryView } from './kernel-memory.js';

/** What is known of the other tables. */
export interface Place {
  readonly count: number;
  /** Where the table of names begins, with their count. */
  readonly countAt: number;
  /** Behind the token index, the last table up to 6.3. */
  readonly tablesEnd: number;
}

/** Addresses below this are none of the kernel's. */
const UPPER_HALF = 0xffff_8000_0000_0000n;

interface Form {
  /** Bytes of an entry, and of what follows the table. */
  readonly entry: 4 | 8;
  readonly base: 0 | 8;
  readonly alignment: Alignment;
  /** @returns undefined where the table is not of this form */
  read(view: MemoryView, at: number, count: number): bigint[] | undefined;
}

/** In the order in which they are tried: what has a base is the most certain. */
const FORMS: readonly Form[] = [
  // Offsets from a base, the lowest address: from 4.6 on of kernels for one CPU, in 6.15 to 6.19 of all.
  {
    entry: 4,
    base: 8,
    alignment: 8,
    read: (view, at, count) => {
      const base = baseBehind(view, at, count);
      if (base === undefined || view.u32(at) !== 0) return undefined;
      return entries(count, (index) => base + BigInt(view.u32(at + 4 * index)));
    },
  },
  // The same with per-CPU variables, 4.6 to 6.14. What is not negative is no address but an offset in a CPU's area; what is negative
  // is the distance from the base, and one less.
  {
    entry: 4,
    base: 8,
    alignment: 8,
    read: (view, at, count) => {
      const base = baseBehind(view, at, count);
      if (base === undefined) return undefined;
      const addresses = entries(count, (index) => {
        const offset = view.s32(at + 4 * index);
        return offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset);
      });
      return addresses.includes(base) ? addresses : undefined;
    },
  },
  // Each entry is the distance from its own place; since 7.0.
  {
    entry: 4,
    base: 0,
    alignment: 4,
    read: (view, at, count) =>
      entries(count, (index) => {
        const place = at + 4 * index;
        return BigInt.asUintN(64, view.address + BigInt(place + view.s32(place)));
      }),
  },
  // Addresses as they are; up to 4.5, and later where CONFIG_KALLSYMS_BASE_RELATIVE is off.
  {
    entry: 8,
    base: 0,
    alignment: 8,
    read: (view, at, count) => entries(count, (index) => view.u64(at + 8 * index)),
  },
];

/** The addresses in the order of the names; `undefined` where neither place has a table in any form. */
export function addressTable(view: MemoryView, place: Place): VirtAddr[] | undefined {
  for (const form of FORMS) {
    for (const { at, size } of candidates(view, form, place)) {
      if (at < 0 || at + size > view.length) continue;
      const addresses = form.read(view, at, place.count);
      if (addresses !== undefined && isSorted(addresses)) return addresses as VirtAddr[];
    }
  }
  return undefined;
}

/** Behind the other tables, or before them; there the tables are aligned to 8. */
function candidates(
  view: MemoryView,
  { entry, base, alignment }: Form,
  { count, countAt, tablesEnd }: Place,
): { at: number; size: number }[] {
  const size = alignUp(entry * count, alignment) + base;
  const behind = { at: view.alignUp(tablesEnd, alignment), size };
  return alignment === 4 ? [behind] : [{ at: view.alignDown(countAt, 8) - size, size }, behind];
}

function entries(count: number, read: (index: number) => bigint): bigint[] {
  return Array.from({ length: count }, (_, index) => read(index));
}

/** The base that follows a table of offsets, if it is an address of the kernel. */
function baseBehind(view: MemoryView, at: number, count: number): bigint | undefined {
  const base = view.u64(view.alignUp(at + 4 * count, 8));
  return base >= UPPER_HALF ? base : undefined;
}

/** The kernel searches the table by halving, so it is sorted; and it ends in the kernel's half. */
function isSorted(addresses: readonly bigint[]): boolean {
  for (let index = 1; index < addresses.length; index++)
    if (addresses[index]! < addresses[index - 1]!) return false;
  return addresses.at(-1)! >= UPPER_HALF;
}
