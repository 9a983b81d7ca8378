/**
 * The registers of a local APIC: where they are, who may read or write them, and which bits they have (SDM 3A, tables 11-1 and 11-6). In xAPIC mode
 * they lie on 16-byte boundaries of a page and a reserved bit is passed over; in x2APIC mode each is an MSR and a reserved bit is #GP.
 */

export const REG = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  arbitration: 0x90,
  ppr: 0xa0,
  eoi: 0xb0,
  remoteRead: 0xc0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icrLow: 0x300,
  icrHigh: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerformance: 0x340,
  lvtLint0: 0x350,
  lvtLint1: 0x360,
  lvtError: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
  selfIpi: 0x3f0,
} as const;

/** The first MSR of x2APIC mode; a register's offset has 16 times as far to go. */
export const X2APIC_FIRST_MSR = 0x800;
export const X2APIC_MSRS = 0x40;
export const offsetOfMsr = (msr: number): number => (msr - X2APIC_FIRST_MSR) << 4;

/** The local vector table (SDM 3A, figure 11-8). */
export const LVT = {
  vector: 0xff,
  modeShift: 8,
  mode: 7 << 8,
  /** Never set: a delivery is complete at once. */
  pending: 1 << 12,
  activeLow: 1 << 13,
  remoteIrr: 1 << 14,
  level: 1 << 15,
  masked: 1 << 16,
  timerMode: 3 << 17,
} as const;
/** Delivery modes; SMI (2) and INIT (5) lead nowhere. */
export const LVT_MODE = { fixed: 0, nmi: 4, external: 7 } as const;

export const modeOfLvt = (entry: number): number => (entry & LVT.mode) >> LVT.modeShift;
/** Levels are for LINT0 in fixed mode only (SDM 3A, 11.5.1, "Trigger Mode"). */
export const isLevelPin = (register: number, entry: number): boolean =>
  register === REG.lvtLint0 && (entry & LVT.level) !== 0 && modeOfLvt(entry) === LVT_MODE.fixed;

const LVT_COMMON = LVT.vector | LVT.masked;
const LVT_PIN = LVT_COMMON | LVT.mode | LVT.activeLow | LVT.level;
/** The entries with the bits that can be written. */
export const LVT_ENTRIES: ReadonlyMap<number, number> = new Map([
  [REG.lvtTimer, LVT_COMMON | LVT.timerMode],
  [REG.lvtThermal, LVT_COMMON | LVT.mode],
  [REG.lvtPerformance, LVT_COMMON | LVT.mode],
  [REG.lvtLint0, LVT_PIN],
  [REG.lvtLint1, LVT_PIN],
  [REG.lvtError, LVT_COMMON],
]);

/** Spurious-interrupt vector: bits 7 to 0 are it; software enable; focus processor checking. */
export const SVR = { vector: 0xff, enabled: 1 << 8, writable: 0x3ff } as const;
/** Divide configuration: bits 0, 1 and 3. */
export const DIVIDE_BITS = 0xb;

/** Error status (SDM 3A, "Error Handling", 11.5.3): a vector below 16 was sent or received, or a register accessed that there is not. */
export const ESR = { sendIllegal: 1 << 5, receiveIllegal: 1 << 6, illegalRegister: 1 << 7 } as const;
export const LOWEST_LEGAL_VECTOR = 16;

/** The interrupt command register (SDM 3A, figures 11-12 and 11-28). */
export const ICR = {
  vector: 0xff,
  modeShift: 8,
  mode: 7 << 8,
  logical: 1 << 11,
  pending: 1 << 12,
  assert: 1 << 14,
  level: 1 << 15,
  shorthandShift: 18,
  shorthand: 3 << 18,
} as const;
const ICR_LOW = ICR.vector | ICR.mode | ICR.logical | ICR.assert | ICR.level | ICR.shorthand;
const ICR_WIDE = (0xffff_ffffn << 32n) | BigInt(ICR_LOW);

interface X2Register {
  readonly reads: boolean;
  /** Bits that can be set by WRMSR; `undefined`: it is read-only. */
  readonly writable?: bigint;
}

const wide = (reads: boolean, writable?: number): X2Register =>
  writable === undefined ? { reads } : { reads, writable: BigInt(writable) };
const eight = (first: number): [number, X2Register][] =>
  Array.from({ length: 8 }, (_, word) => [first + 0x10 * word, wide(true)]);
/** What only the hardware sets can be written as it was read. */
const lvt = (offset: number, writable: number): [number, X2Register] => [
  offset,
  wide(
    true,
    writable | LVT.pending | (offset === REG.lvtLint0 || offset === REG.lvtLint1 ? LVT.remoteIrr : 0),
  ),
];

/** The registers of x2APIC mode by offset. There is no destination format, and the command register is one of 64 bits. */
export const X2APIC_REGISTERS: ReadonlyMap<number, X2Register> = new Map([
  [REG.id, wide(true)],
  [REG.version, wide(true)],
  [REG.tpr, wide(true, 0xff)],
  [REG.ppr, wide(true)],
  [REG.eoi, wide(false, 0)],
  [REG.ldr, wide(true)],
  [REG.svr, wide(true, SVR.writable)],
  ...eight(REG.isr),
  ...eight(REG.tmr),
  ...eight(REG.irr),
  [REG.esr, wide(true, 0)],
  ...[...LVT_ENTRIES].map(([offset, writable]) => lvt(offset, writable)),
  [REG.icrLow, { reads: true, writable: ICR_WIDE }],
  [REG.initialCount, wide(true, 0xffff_ffff)],
  [REG.currentCount, wide(true)],
  [REG.divide, wide(true, DIVIDE_BITS)],
  [REG.selfIpi, wide(false, 0xff)],
]);

/** Offsets of xAPIC mode. The arbitration and remote-read registers read as zero, as on all but the oldest processors. */
const XAPIC_REGISTERS: ReadonlySet<number> = new Set([
  ...X2APIC_REGISTERS.keys(),
  REG.arbitration,
  REG.remoteRead,
  REG.dfr,
  REG.icrHigh,
]);
export const isXapicRegister = (offset: number): boolean =>
  XAPIC_REGISTERS.has(offset) && offset !== REG.selfIpi;
