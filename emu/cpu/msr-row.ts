/** What the table of model-specific registers (`msr.ts`) is made of: rows, and what they reach into. */
import type { CpuState } from '../engine/cpu-state.js';
import type { CpuModel } from './model.js';
import type { PerfCounters } from './perf-counter.js';

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

/** The local APIC, as far as MSRs reach it. */
export interface ApicMsrs {
  /** IA32_APIC_BASE. */
  readonly base: bigint;
  setBase(value: bigint): boolean;
  tscDeadline: bigint;
  /** Registers of x2APIC mode; `undefined` or false is #GP(0). */
  readMsr(msr: number): bigint | undefined;
  writeMsr(msr: number, value: bigint): boolean;
}

/** What the registers of one CPU reach into. */
export interface MsrHost {
  readonly model: CpuModel;
  readonly state: CpuState;
  readonly perf: PerfCounters;
  readonly apic: ApicMsrs;
  /** Those that INIT sets back, and those that it leaves as they are (SDM 3A, table 9-1). */
  readonly kept: KeptMsrs;
  readonly lasting: KeptMsrs;
  /** The time-stamp counter, and how far it has been set off the machine's time. */
  timestamp: bigint;
  timestampOffset: bigint;
  /** Registers that the engine itself uses. */
  readEngineMsr(msr: number): bigint;
  writeEngineMsr(msr: number, value: bigint): void;
  /** The performance counters take into account what has been executed. */
  settlePerf(): void;
  /** The performance counters have been set up anew: the run must look at their deadline. */
  perfChanged(): void;
}

export interface MsrRow {
  /** `undefined` for #GP(0). */
  read(host: MsrHost): bigint | undefined;
  /** @returns false for #GP(0). Absent: read-only. */
  write?(host: MsrHost, value: bigint): boolean;
}

/** Rows by the number of their register. */
export type MsrRows = readonly (readonly [msr: number, row: MsrRow])[];

const keptIn =
  (where: 'kept' | 'lasting') =>
  (msr: number, accepts: (value: bigint) => boolean = () => true, reset = 0n): MsrRow => ({
    read: (host) => host[where].get(msr) ?? reset,
    write: (host, value) => {
      if (!accepts(value)) return false;
      host[where].set(msr, value);
      return true;
    },
  });
/** A register whose value the host keeps until INIT. */
export const kept = keptIn('kept');
/** One whose value it keeps beyond INIT. */
export const lasting = keptIn('lasting');

/** A register that is only read. */
export const constant = (value: bigint): MsrRow => ({ read: () => value });

/** A register that the engine uses. */
export const engine = (msr: number, accepts: (value: bigint) => boolean = () => true): MsrRow => ({
  read: (host) => host.readEngineMsr(msr),
  write: (host, value) => {
    if (!accepts(value)) return false;
    host.writeEngineMsr(msr, value);
    return true;
  },
});
