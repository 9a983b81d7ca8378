/**
 * Memory type range registers (SDM 3A, "Memory Type Range Registers (MTRRs)", 12.11). Nothing caches here, so they are kept and checked and do
 * nothing else; they start as firmware leaves them, for kernels take caches to be off where they are off.
 */
import { MSR } from './architecture.js';
import { constant, lasting, type MsrRows } from './msr-row.js';

/** Memory types (table 12-8): uncacheable, write combining, write through, write protected, write back. */
const TYPE = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6 } as const;
const isType = (type: bigint): boolean => Object.values(TYPE).some((known) => BigInt(known) === type);

const VARIABLE_RANGES = 8;
/** IA32_MTRRCAP (figure 12-5): how many variable ranges, fixed ones, write combining. */
const CAPABILITIES = BigInt(VARIABLE_RANGES) | (1n << 8n) | (1n << 10n);
/** IA32_MTRR_DEF_TYPE (figure 12-6): type of what is in no range, fixed ranges on, all on. */
const DEFAULT_TYPE = { type: 0xffn, fixed: 1n << 10n, enabled: 1n << 11n } as const;
/** Bits of an address that a range's base and mask have (12.11.2.3); there are 40 physical ones. */
const RANGE = 0xff_ffff_f000n;
const MASK_VALID = 1n << 11n;

const isDefaultType = (value: bigint): boolean =>
  (value & ~(DEFAULT_TYPE.type | DEFAULT_TYPE.fixed | DEFAULT_TYPE.enabled)) === 0n &&
  isType(value & DEFAULT_TYPE.type);
const isFixedRange = (value: bigint): boolean =>
  Array.from({ length: 8 }, (_, part) => (value >> BigInt(8 * part)) & 0xffn).every(isType);
const isBase = (value: bigint): boolean => (value & ~(RANGE | 0xffn)) === 0n && isType(value & 0xffn);
const isMask = (value: bigint): boolean => (value & ~(RANGE | MASK_VALID)) === 0n;

const eight = (type: number): bigint => BigInt(type) * 0x0101_0101_0101_0101n;
/** Fixed ranges (table 12-9), with what firmware has there: memory, the hole for screens, what was ROM once. */
const FIXED: readonly (readonly [msr: number, type: number])[] = [
  [MSR.MTRR_FIX64K_00000, TYPE.WB],
  [MSR.MTRR_FIX16K_80000, TYPE.WB],
  [MSR.MTRR_FIX16K_A0000, TYPE.UC],
  ...Array.from({ length: 8 }, (_, index) => [MSR.MTRR_FIX4K_C0000 + index, TYPE.WP] as const),
];
/** The first variable range covers the last of the first 4 GiB, where devices are. */
const DEVICES = { base: 0xc000_0000n | BigInt(TYPE.UC), mask: (RANGE & ~0x3fff_ffffn) | MASK_VALID } as const;

const variable = (index: number): MsrRows => {
  const base = MSR.MTRR_PHYSBASE0 + 2 * index;
  return [
    [base, lasting(base, isBase, index === 0 ? DEVICES.base : 0n)],
    [base + 1, lasting(base + 1, isMask, index === 0 ? DEVICES.mask : 0n)],
  ];
};

export const MTRR_ROWS: MsrRows = [
  [MSR.MTRRCAP, constant(CAPABILITIES)],
  [
    MSR.MTRR_DEF_TYPE,
    lasting(MSR.MTRR_DEF_TYPE, isDefaultType, DEFAULT_TYPE.enabled | DEFAULT_TYPE.fixed | BigInt(TYPE.WB)),
  ],
  ...FIXED.map(([msr, type]) => [msr, lasting(msr, isFixedRange, eight(type))] as const),
  ...Array.from({ length: VARIABLE_RANGES }, (_, index) => variable(index)).flat(),
];
