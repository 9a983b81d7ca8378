/**
 * Model-specific registers as a table: what a read gives and what a write does; one that is not in it raises #GP(0)
 * (SDM 2B, "RDMSR", "WRMSR"; SDM 4).
 */
import type { CpuState } from '../engine/cpu-state.js';
import { isCanonical } from '../memory/address.js';
import { EFER, MSR } from './architecture.js';
import type { PerfCounter } from './perf-counter.js';

/** Registers whose values only the host keeps. */
export class KeptMsrs extends Map<number, bigint> {
  /** Grows with each change, so that what has been derived from the values can be kept beside them. */
  changes = 0;

  override set(msr: number, value: bigint): this {
    this.changes++;
    return super.set(msr, value);
  }
  override clear(): void {
    this.changes++;
    super.clear();
  }
}

/** What the registers of one CPU reach into. */
export interface MsrHost {
  readonly state: CpuState;
  readonly perf: PerfCounter;
  readonly isBootProcessor: boolean;
  readonly kept: KeptMsrs;
  /** The time-stamp counter. */
  timestamp: bigint;
  /** Registers that the engine itself uses. */
  readEngineMsr(msr: number): bigint;
  writeEngineMsr(msr: number, value: bigint): void;
  /** The performance counter takes into account what has been executed. */
  settlePerf(): void;
  /** The performance counter has been set up anew: the run must look at its deadline. */
  perfChanged(): void;
}

interface Row {
  read(host: MsrHost): bigint;
  /** @returns false for #GP(0). Absent: read-only. */
  write?(host: MsrHost, value: bigint): boolean;
}

const APIC_BASE_VALUE = 0xfee0_0800n;
const APIC_BASE_BSP = 0x100n;
/** Write-back, write-through, uncached-minus, uncached, twice (SDM 3A, table 12-12). */
const PAT_RESET = 0x0007_0406_0007_0406n;
/** Memory types 2 and 3 do not exist (SDM 3A, table 12-10). */
const isPat = (value: bigint): boolean => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.every((type) => type < 8 && type !== 2 && type !== 3);
};
const EFER_WRITABLE = EFER.SCE | EFER.LME | EFER.NXE;

const kept = (msr: number, accepts: (value: bigint) => boolean = () => true, reset = 0n): Row => ({
  read: (host) => host.kept.get(msr) ?? reset,
  write: (host, value) => {
    if (!accepts(value)) return false;
    host.kept.set(msr, value);
    return true;
  },
});

const engine = (msr: number, accepts: (value: bigint) => boolean = () => true): Row => ({
  read: (host) => host.readEngineMsr(msr),
  write: (host, value) => {
    if (!accepts(value)) return false;
    host.writeEngineMsr(msr, value);
    return true;
  },
});

/** A register of the performance counter, which is brought up to date first. */
const perf = (
  get: (perf: PerfCounter) => bigint,
  set?: (perf: PerfCounter, value: bigint) => boolean,
): Row => ({
  read: (host) => {
    host.settlePerf();
    return get(host.perf);
  },
  write: (host, value) => {
    host.settlePerf();
    if (set === undefined || !set(host.perf, value)) return false;
    host.perfChanged();
    return true;
  },
});

const ROWS: ReadonlyMap<number, Row> = new Map<number, Row>([
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
  [
    MSR.APIC_BASE,
    {
      read: (host) => APIC_BASE_VALUE | (host.isBootProcessor ? APIC_BASE_BSP : 0n),
      // Neither moved nor switched off nor put into x2APIC mode.
      write: (host, value) => value === (APIC_BASE_VALUE | (host.isBootProcessor ? APIC_BASE_BSP : 0n)),
    },
  ],
  // Software clears it, executes CPUID and reads the microcode's revision (SDM 3A, "Determining the Signature", 9.11.7.1): there is none.
  [MSR.BIOS_SIGN_ID, { read: () => 0n, write: (_host, value) => value === 0n }],
  [MSR.MTRRCAP, { read: () => 0n }],
  [MSR.MISC_ENABLE, kept(MSR.MISC_ENABLE, undefined, 1n)],
  [MSR.PAT, kept(MSR.PAT, isPat, PAT_RESET)],
  [
    MSR.PERFEVTSEL0,
    perf(
      (p) => p.select,
      (p, value) => {
        if (value >> 32n !== 0n) return false;
        p.select = value;
        return true;
      },
    ),
  ],
  [
    MSR.PMC0,
    perf(
      (p) => p.value,
      (p, value) => {
        p.value = value;
        return true;
      },
    ),
  ],
  [
    MSR.PERF_GLOBAL_CTRL,
    perf(
      (p) => p.globalControl,
      (p, value) => {
        if (value >> 1n !== 0n) return false; // there is counter 0 only
        p.globalControl = value;
        return true;
      },
    ),
  ],
  [MSR.PERF_GLOBAL_STATUS, perf((p) => p.status)],
  [
    MSR.PERF_GLOBAL_OVF_CTRL,
    perf(
      () => 0n,
      (p, value) => {
        p.acknowledge(value);
        return true;
      },
    ),
  ],
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
]);

/** The value, or `undefined` for #GP(0). */
export const readMsr = (host: MsrHost, msr: number): bigint | undefined => ROWS.get(msr)?.read(host);

/** Whether the write is accepted; false is #GP(0). */
export const writeMsr = (host: MsrHost, msr: number, value: bigint): boolean =>
  ROWS.get(msr)?.write?.(host, value) ?? false;
