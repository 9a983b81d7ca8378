/**
 * The performance counters of one CPU: architectural performance monitoring, version 2 (SDM 3B, 20.2). All events count the instructions
 * that this CPU retires. The machine cannot tell rings apart while it counts, so a counter counts when
 * either the USR or the OS bit is set. Overflow raises the local vector table's performance entry.
 *
 * The idea: a counter is what it held at some moment and the instructions since; so between two overflows there is
 * nothing to do, and when the next one comes is known beforehand.
 */
import type { PerfModel } from './model.js';

/** IA32_PERFEVTSELn (SDM 3B, figure 20-6). */
const SELECT = {
  event: 0xffff,
  usr: 1 << 16,
  os: 1 << 17,
  edge: 1 << 18,
  interrupt: 1 << 20,
  enable: 1 << 22,
  invert: 1 << 23,
  thresholdShift: 24,
} as const;
/**
 * IA32_DEBUGCTL (SDM 3B, "IA32_DEBUGCTL MSR", 18.4.1): at an overflow that interrupts, branch records and counters stop; in system management mode
 * counters do. There are no branch records and there is no such mode.
 */
const FREEZE_RECORDS = 1n << 11n;
const FREEZE_COUNTERS = 1n << 12n;
const FREEZE_IN_SMM = 1n << 14n;
const FREEZE = FREEZE_RECORDS | FREEZE_COUNTERS | FREEZE_IN_SMM;
/** IA32_PERF_CAPABILITIES (SDM 4, table 2-2): they can be stopped in SMM, and written in their full width. */
const CAPABILITIES = (1n << 12n) | (1n << 13n);

/** IA32_FIXED_CTR_CTRL (SDM 3B, figure 20-2): four bits for each counter; "any thread" comes with version 3. */
const FIXED = { bits: 4, rings: 3, interrupt: 8 } as const;
/** Where the bits of the fixed counters begin in IA32_PERF_GLOBAL_CTRL and its kin (SDM 3B, figure 20-3). */
const FIRST_FIXED_BIT = 32;

export interface PerfState {
  readonly selects: readonly number[];
  readonly fixedControl: number;
  readonly values: readonly number[];
  readonly globalControl: bigint;
  readonly status: bigint;
  readonly debugControl: bigint;
  readonly since: number;
}

export class PerfCounters {
  readonly model: PerfModel;
  readonly #modulus: number;
  readonly #all: bigint;
  #selects: number[];
  #fixedControl = 0;
  /** Contents at the moment `#since` (instructions retired by this CPU); the fixed counters' behind the others'. */
  #values: number[];
  #since = 0;
  #globalControl: bigint;
  #status = 0n;
  #debugControl = 0n;
  #deadline = Number.POSITIVE_INFINITY;

  constructor(model: PerfModel) {
    this.model = model;
    this.#modulus = 2 ** model.width;
    const { counters, fixedCounters } = model;
    const general = (1n << BigInt(counters)) - 1n;
    this.#all = general | (((1n << BigInt(fixedCounters)) - 1n) << BigInt(FIRST_FIXED_BIT));
    this.#selects = Array.from({ length: counters }, () => 0);
    this.#values = Array.from({ length: counters + fixedCounters }, () => 0);
    this.#globalControl = general; // these are on at reset (SDM 3A, table 9-1)
  }

  /** A counter's bit in the registers that have one for each. */
  #bit(index: number): bigint {
    const { counters } = this.model;
    return 1n << BigInt(index < counters ? index : FIRST_FIXED_BIT + index - counters);
  }

  /** A fixed counter's part of its control register. */
  #fixed(index: number): number {
    return (this.#fixedControl >>> (FIXED.bits * (index - this.model.counters))) & (2 ** FIXED.bits - 1);
  }

  #interrupts(index: number): boolean {
    return index < this.model.counters
      ? (this.#selects[index]! & SELECT.interrupt) !== 0
      : (this.#fixed(index) & FIXED.interrupt) !== 0;
  }

  /**
   * A threshold asks for cycles with at least so many events, or, inverted, with fewer; a cycle has one of each kind here. Edges between
   * such cycles and others there are none.
   */
  #counts(index: number): boolean {
    if ((this.#globalControl & this.#bit(index)) === 0n) return false;
    if (index >= this.model.counters) return (this.#fixed(index) & FIXED.rings) !== 0;
    const select = this.#selects[index]!;
    if ((select & SELECT.enable) === 0 || (select & (SELECT.usr | SELECT.os)) === 0) return false;
    const threshold = select >>> SELECT.thresholdShift;
    if (threshold > 0 && threshold > 1 !== ((select & SELECT.invert) !== 0)) return false;
    return (select & SELECT.edge) === 0 && this.model.events.includes(select & SELECT.event);
  }

  /** Instructions retired at which a counter overflows next. */
  get deadline(): number {
    return this.#deadline;
  }

  /** Takes the time that has passed into account, if there is something to do. @returns whether an overflow is to raise the LVT entry. */
  advance(retired: number): boolean {
    return retired >= this.#deadline && this.settle(retired);
  }

  /** Brings the contents up to date, before they are looked at or what is counted changes. @returns as `advance` does */
  settle(retired: number): boolean {
    const passed = retired - this.#since;
    this.#since = retired;
    let interrupts = false;
    for (const [index, before] of this.#values.entries()) {
      if (!this.#counts(index)) continue;
      const value = before + passed;
      this.#values[index] = value % this.#modulus;
      if (value < this.#modulus) continue;
      this.#status |= this.#bit(index);
      interrupts ||= this.#interrupts(index);
    }
    if (interrupts && (this.#debugControl & FREEZE_COUNTERS) !== 0n) this.#globalControl = 0n;
    this.#changed();
    return interrupts;
  }

  #changed(): void {
    this.#deadline = Number.POSITIVE_INFINITY;
    for (const [index, value] of this.#values.entries())
      if (this.#counts(index)) this.#deadline = Math.min(this.#deadline, this.#since + this.#modulus - value);
  }

  select(index: number): bigint {
    return BigInt(this.#selects[index]! >>> 0);
  }
  /** @returns false for a reserved bit, as all setters do */
  setSelect(index: number, value: bigint): boolean {
    if ((value & this.model.reservedSelect) !== 0n) return false;
    this.#selects[index] = Number(value);
    this.#changed();
    return true;
  }

  get fixedControl(): bigint {
    return BigInt(this.#fixedControl);
  }
  setFixedControl(value: bigint): boolean {
    const { fixedCounters } = this.model;
    const each = FIXED.rings | FIXED.interrupt;
    let known = 0;
    for (let index = 0; index < fixedCounters; index++) known |= each << (FIXED.bits * index);
    if ((value & ~BigInt(known)) !== 0n) return false;
    this.#fixedControl = Number(value);
    this.#changed();
    return true;
  }

  /** A fixed counter's contents lie behind those of the general ones. */
  value(index: number): bigint {
    return BigInt(this.#values[index]!);
  }
  /** A write to IA32_PMCn sign-extends its low 32 bits (SDM 3B, "Full-Width Writes to Performance Counter Registers"). */
  setValue(index: number, value: bigint): boolean {
    return this.setFullValue(index, BigInt.asUintN(this.model.width, BigInt.asIntN(32, value)));
  }
  /** A write to IA32_A_PMCn takes all bits of a counter (the same section). */
  setFullValue(index: number, value: bigint): boolean {
    if (value >> BigInt(this.model.width) !== 0n) return false;
    this.#values[index] = Number(value);
    this.#changed();
    return true;
  }

  get globalControl(): bigint {
    return this.#globalControl;
  }
  setGlobalControl(value: bigint): boolean {
    if ((value & ~this.#all) !== 0n) return false;
    this.#globalControl = value;
    this.#changed();
    return true;
  }

  get status(): bigint {
    return this.#status;
  }
  /** Bits written as one are cleared (IA32_PERF_GLOBAL_OVF_CTRL). */
  acknowledge(bits: bigint): boolean {
    if ((bits & this.model.reservedAcknowledge) !== 0n) return false;
    this.#status &= ~bits;
    return true;
  }

  get debugControl(): bigint {
    return this.#debugControl;
  }
  /** What branch records, branch traces and stepping by branches would need is not there. */
  setDebugControl(value: bigint): boolean {
    if ((value & ~FREEZE) !== 0n) return false;
    this.#debugControl = value;
    return true;
  }

  get capabilities(): bigint {
    return this.model.fullWidth ? CAPABILITIES : 0n;
  }

  capture(): PerfState {
    return {
      selects: [...this.#selects],
      fixedControl: this.#fixedControl,
      values: [...this.#values],
      globalControl: this.#globalControl,
      status: this.#status,
      debugControl: this.#debugControl,
      since: this.#since,
    };
  }
  reinstate(state: PerfState): void {
    this.#selects = [...state.selects];
    this.#fixedControl = state.fixedControl;
    this.#values = [...state.values];
    this.#globalControl = state.globalControl;
    this.#status = state.status;
    this.#debugControl = state.debugControl;
    this.#since = state.since;
    this.#changed();
  }
}
