/**
 * One architectural performance counter, version 2 (SDM 3B, "Architectural Performance Monitoring", 20.2). The one event
 * is "instructions retired"; the machine cannot tell rings apart while it counts, so the counter counts when
 * either the USR or the OS bit is set. Overflow raises the local vector table's performance entry.
 */
import { PMC_BITS } from './cpuid.js';

/** IA32_PERFEVTSEL0 (SDM 3B, figure 20-1). */
const SELECT = {
  event: 0xff,
  umask: 0xff00,
  usr: 1 << 16,
  os: 1 << 17,
  interrupt: 1 << 20,
  enable: 1 << 22,
} as const;
const INSTRUCTIONS_RETIRED = 0x00c0;
const MODULUS = 2 ** PMC_BITS;
const COUNTER_0 = 1n;

export interface PerfCounterState {
  readonly select: number;
  readonly globalControl: bigint;
  readonly status: bigint;
  readonly value: number;
  readonly since: number;
}

export class PerfCounter {
  #select = 0;
  #globalControl = COUNTER_0;
  #status = 0n;
  /** Contents at the moment `#since` (instructions retired by this CPU). */
  #value = 0;
  #since = 0;

  get #counting(): boolean {
    return (
      (this.#select & SELECT.enable) !== 0 &&
      (this.#select & (SELECT.usr | SELECT.os)) !== 0 &&
      (this.#select & (SELECT.event | SELECT.umask)) === INSTRUCTIONS_RETIRED &&
      (this.#globalControl & COUNTER_0) !== 0n
    );
  }

  /** Takes the time that has passed into account. @returns whether an overflow is to raise the LVT entry. */
  advance(retired: number): boolean {
    const passed = this.#counting ? retired - this.#since : 0;
    this.#since = retired;
    this.#value += passed;
    if (this.#value < MODULUS) return false;
    this.#value %= MODULUS;
    this.#status |= COUNTER_0;
    return (this.#select & SELECT.interrupt) !== 0;
  }

  /** Instructions retired at which the counter overflows next. */
  get deadline(): number {
    return this.#counting ? this.#since + MODULUS - this.#value : Number.POSITIVE_INFINITY;
  }

  get select(): bigint {
    return BigInt(this.#select >>> 0);
  }
  set select(value: bigint) {
    this.#select = Number(value & 0xffff_ffffn);
  }
  get globalControl(): bigint {
    return this.#globalControl;
  }
  set globalControl(value: bigint) {
    this.#globalControl = value & COUNTER_0;
  }
  get status(): bigint {
    return this.#status;
  }
  /** Bits written as one are cleared (IA32_PERF_GLOBAL_OVF_CTRL). */
  acknowledge(bits: bigint): void {
    this.#status &= ~bits;
  }
  get value(): bigint {
    return BigInt(this.#value);
  }
  /** A write to IA32_PMC0 sign-extends its low 32 bits (SDM 3B, 20.2.1). */
  set value(value: bigint) {
    this.#value = Number(BigInt.asUintN(PMC_BITS, BigInt.asIntN(32, value)));
  }

  capture(): PerfCounterState {
    return {
      select: this.#select,
      globalControl: this.#globalControl,
      status: this.#status,
      value: this.#value,
      since: this.#since,
    };
  }
  reinstate(state: PerfCounterState): void {
    this.#select = state.select;
    this.#globalControl = state.globalControl;
    this.#status = state.status;
    this.#value = state.value;
    this.#since = state.since;
  }
}
