/** Numbers of the x86-64 architecture that the machine needs, by the manual's names. */

/** RFLAGS (SDM 1, "EFLAGS Register", 3.4.3). */
export const RFLAGS = {
  reserved: 1 << 1,
  TF: 1 << 8,
  IF: 1 << 9,
  IOPL: 3 << 12,
  IOPL_UNIT: 1 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
} as const;

/** Model-specific registers (SDM 4, tables 2-2 and on). */
export const MSR = {
  TSC: 0x10,
  PLATFORM_ID: 0x17,
  APIC_BASE: 0x1b,
  TSC_ADJUST: 0x3b,
  BIOS_SIGN_ID: 0x8b,
  PMC0: 0xc1,
  PLATFORM_INFO: 0xce,
  MTRRCAP: 0xfe,
  ARCH_CAPABILITIES: 0x10a,
  MCG_CAP: 0x179,
  MCG_STATUS: 0x17a,
  MCG_CTL: 0x17b,
  PERFEVTSEL0: 0x186,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  MTRR_PHYSBASE0: 0x200,
  MTRR_FIX64K_00000: 0x250,
  MTRR_FIX16K_80000: 0x258,
  MTRR_FIX16K_A0000: 0x259,
  MTRR_FIX4K_C0000: 0x268,
  PAT: 0x277,
  MTRR_DEF_TYPE: 0x2ff,
  FIXED_CTR0: 0x309,
  PERF_CAPABILITIES: 0x345,
  FIXED_CTR_CTRL: 0x38d,
  PERF_GLOBAL_STATUS: 0x38e,
  PERF_GLOBAL_CTRL: 0x38f,
  PERF_GLOBAL_OVF_CTRL: 0x390,
  MC0_CTL: 0x400,
  A_PMC0: 0x4c1,
  TSC_DEADLINE: 0x6e0,
  EFER: 0xc000_0080,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  FMASK: 0xc000_0084,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
  KERNEL_GS_BASE: 0xc000_0102,
} as const;

export const EFER = { SCE: 1n, LME: 0x100n, LMA: 0x400n, NXE: 0x800n } as const;

export const VECTOR = {
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  UD: 6,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MC: 18,
} as const;

type ExceptionClass = 'benign' | 'contributory' | 'page-fault' | 'double-fault';

interface ExceptionRow {
  readonly mnemonic: string;
  readonly name: string;
  readonly errorCode: boolean;
  /** Reported at the instruction (RF is set in the saved RFLAGS) or behind it. */
  readonly kind: 'fault' | 'trap' | 'interrupt' | 'abort';
  readonly class: ExceptionClass;
}

const row = (
  mnemonic: string,
  name: string,
  kind: ExceptionRow['kind'],
  errorCode = false,
  exceptionClass: ExceptionClass = 'benign',
): ExceptionRow => ({ mnemonic, name, kind, errorCode, class: exceptionClass });

/** SDM 3A, table 6-1 "Protected-Mode Exceptions and Interrupts" and table 6-4 "Interrupt and Exception Classes". */
export const EXCEPTIONS: Readonly<Record<number, ExceptionRow>> = {
  0: row('#DE', 'divide error', 'fault', false, 'contributory'),
  1: row('#DB', 'debug exception', 'trap'),
  2: row('NMI', 'non-maskable interrupt', 'interrupt'),
  3: row('#BP', 'breakpoint', 'trap'),
  4: row('#OF', 'overflow', 'trap'),
  5: row('#BR', 'BOUND range exceeded', 'fault'),
  6: row('#UD', 'invalid opcode', 'fault'),
  7: row('#NM', 'device not available', 'fault'),
  8: row('#DF', 'double fault', 'abort', true, 'double-fault'),
  10: row('#TS', 'invalid TSS', 'fault', true, 'contributory'),
  11: row('#NP', 'segment not present', 'fault', true, 'contributory'),
  12: row('#SS', 'stack-segment fault', 'fault', true, 'contributory'),
  13: row('#GP', 'general protection', 'fault', true, 'contributory'),
  14: row('#PF', 'page fault', 'fault', true, 'page-fault'),
  16: row('#MF', 'x87 floating-point error', 'fault'),
  17: row('#AC', 'alignment check', 'fault', true),
  18: row('#MC', 'machine check', 'abort'),
  19: row('#XM', 'SIMD floating-point exception', 'fault'),
};
