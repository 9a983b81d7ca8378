/**
 * Model-specific registers as a table: what a read gives and what a write does; one that is not in it raises #GP(0)
 * (SDM 2B, "RDMSR", "WRMSR"; SDM 4).
 */
import { X2APIC_FIRST_MSR, X2APIC_MSRS } from '../devices/apic-registers.js';
import { isCanonical } from '../memory/address.js';
import { EFER, MSR } from './architecture.js';
import { CLOCK_HZ } from './cpuid.js';
import { MACHINE_CHECK_ROWS } from './machine-check.js';
import { CPU_MODELS, type CpuModel } from './model.js';
import { constant, engine, kept, lasting, type MsrHost, type MsrRow, type MsrRows } from './msr-row.js';
import { MTRR_ROWS } from './mtrr.js';
import { perfRows } from './perf-msrs.js';

/** Write-back, write-through, uncached-minus, uncached, twice (SDM 3A, table 12-12). */
const PAT_RESET = 0x0007_0406_0007_0406n;
/** Memory types 2 and 3 do not exist (SDM 3A, table 12-10). */
const isPat = (value: bigint): boolean => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.every((type) => type < 8 && type !== 2 && type !== 3);
};
const EFER_WRITABLE = EFER.SCE | EFER.LME | EFER.NXE;

const COMMON: MsrRows = [
  [
    MSR.TSC,
    {
      read: (host) => host.timestamp,
      write: (host, value) => {
        host.timestamp = value;
        return true;
      },
    },
  ],
  [MSR.APIC_BASE, { read: ({ apic }) => apic.base, write: ({ apic }, value) => apic.setBase(value) }],
  // Software clears it, executes CPUID and reads the microcode's revision (SDM 3A, "Determining the Signature", 9.11.7.1): there is none.
  [MSR.BIOS_SIGN_ID, { read: () => 0n, write: (_host, value) => value === 0n }],
  [MSR.PAT, kept(MSR.PAT, isPat, PAT_RESET)],
  [
    MSR.EFER,
    {
      read: (host) => host.state.efer,
      write: (host, value) => {
        const old = host.state.efer;
        if ((value & ~(EFER_WRITABLE | EFER.LMA)) !== 0n) return false;
        const pagingOn = (host.state.cr(0) >> 31n) & 1n;
        if (pagingOn === 1n && ((old ^ value) & EFER.LME) !== 0n) return false;
        host.writeEngineMsr(MSR.EFER, (value & EFER_WRITABLE) | (old & EFER.LMA));
        return true;
      },
    },
  ],
  [MSR.STAR, engine(MSR.STAR)],
  [MSR.LSTAR, kept(MSR.LSTAR, isCanonical)],
  [MSR.CSTAR, kept(MSR.CSTAR, isCanonical)],
  [MSR.FMASK, kept(MSR.FMASK, (value) => value >> 32n === 0n)],
  [MSR.FS_BASE, engine(MSR.FS_BASE, isCanonical)],
  [MSR.GS_BASE, engine(MSR.GS_BASE, isCanonical)],
  [MSR.KERNEL_GS_BASE, engine(MSR.KERNEL_GS_BASE, isCanonical)],
];

const MICROVM: MsrRows = [
  [MSR.MTRRCAP, constant(0n)],
  [MSR.MISC_ENABLE, kept(MSR.MISC_ENABLE, undefined, 1n)],
];

/** IA32_MISC_ENABLE (SDM 4, table 2-2): fast strings; performance monitoring is there; branch traces and precise events are not. */
const MISC_ENABLE = { fastStrings: 1n, fixed: (1n << 7n) | (1n << 11n) | (1n << 12n) } as const;
/** PLATFORM_INFO (SDM 4, table 2-12): the highest and the lowest ratio to a clock of 100 MHz. */
const CLOCK_RATIO = BigInt(CLOCK_HZ / 100_000_000);
/**
 * IA32_ARCH_CAPABILITIES (SDM 4, table 2-2): nothing is done speculatively here, so nothing leaks that way, and kernels need not pay for mending it. Not
 * affected by: rogue loads (0), loads past stores (4), buffers left full (5, 8, 13, 14, 15, 26, 27), changed page sizes (6), histories of branches (20),
 * return predictions (24), targets of indirect branches (62). Virtual machines need not flush the L1 cache (3).
 */
const NOT_AFFECTED = [0n, 3n, 4n, 5n, 6n, 8n, 13n, 14n, 15n, 20n, 24n, 26n, 27n, 62n].reduce(
  (bits, bit) => bits | (1n << bit),
  0n,
);

const PC: MsrRows = [
  [MSR.PLATFORM_ID, constant(0n)],
  [MSR.PLATFORM_INFO, constant((CLOCK_RATIO << 8n) | (CLOCK_RATIO << 40n))],
  [MSR.ARCH_CAPABILITIES, constant(NOT_AFFECTED)],
  [
    MSR.MISC_ENABLE,
    lasting(
      MSR.MISC_ENABLE,
      (value) => (value & ~MISC_ENABLE.fastStrings) === MISC_ENABLE.fixed,
      MISC_ENABLE.fixed | MISC_ENABLE.fastStrings,
    ),
  ],
  ...MTRR_ROWS,
  ...MACHINE_CHECK_ROWS,
  // Writing the time-stamp counter moves this one by as much, and the other way round (SDM 3B, "Time-Stamp Counter Adjustment", 18.17.3).
  [
    MSR.TSC_ADJUST,
    {
      read: (host) => host.timestampOffset,
      write: (host, value) => {
        host.timestampOffset = value;
        return true;
      },
    },
  ],
  [
    MSR.TSC_DEADLINE,
    {
      read: ({ apic }) => apic.tscDeadline,
      write: ({ apic }, value) => {
        apic.tscDeadline = value;
        return true;
      },
    },
  ],
  ...Array.from({ length: X2APIC_MSRS }, (_, index) => X2APIC_FIRST_MSR + index).map(
    (msr) =>
      [
        msr,
        {
          read: ({ apic }: MsrHost) => apic.readMsr(msr),
          write: ({ apic }: MsrHost, value: bigint) => apic.writeMsr(msr, value),
        },
      ] as const,
  ),
];

const ROWS: ReadonlyMap<CpuModel, ReadonlyMap<number, MsrRow>> = new Map(
  Object.values(CPU_MODELS).map((model) => [
    model,
    new Map([...COMMON, ...perfRows(model), ...(model.isPc ? PC : MICROVM)]),
  ]),
);
const rowOf = (host: MsrHost, msr: number): MsrRow | undefined => ROWS.get(host.model)!.get(msr);

/** The value, or `undefined` for #GP(0). */
export const readMsr = (host: MsrHost, msr: number): bigint | undefined => rowOf(host, msr)?.read(host);

/** Whether the write is accepted; false is #GP(0). */
export const writeMsr = (host: MsrHost, msr: number, value: bigint): boolean =>
  rowOf(host, msr)?.write?.(host, value) ?? false;
