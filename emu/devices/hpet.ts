/**
 * The high precision event timer (IA-PC HPET Specification 1.0a): a counter of 64 bits that counts every ten nanoseconds of the machine's clock,
 * and three comparators.
 *
 * The idea: what the counter holds is a function of when it would have been zero, and a comparator that interrupts is an event in the
 * future; so nothing is done tick by tick.
 */
import type { PortDevice } from './ports.js';

export const HPET_BASE = 0xfed0_0000;
export const HPET_WINDOW = 0x1000;

/** Registers by offset (table 2); of 64 bits each. A comparator's are 32 bytes from the next one's. */
const REG = { capabilities: 0x000, config: 0x010, status: 0x020, counter: 0x0f0, timers: 0x100 } as const;
const TIMER = { config: 0x00, comparator: 0x08, size: 0x20 } as const;
const TIMERS = 3;
const TICK_NS = 10;
const FEMTOSECONDS = TICK_NS * 1_000_000;
/** Revision 1, the last comparator's number, a counter of 64 bits, legacy routes, Intel (2.3.4). Also the block's id in its ACPI table. */
export const HPET_ID = (0x8086_0000 | (1 << 15) | (1 << 13) | ((TIMERS - 1) << 8) | 1) >>> 0;
/** General configuration (2.3.5). */
const ENABLED = 1;
const LEGACY = 2;
/** A comparator's configuration (2.3.8). */
const CONFIG = {
  level: 1 << 1,
  interrupts: 1 << 2,
  periodic: 1 << 3,
  periodicCapable: 1 << 4,
  wideCapable: 1 << 5,
  setValue: 1 << 6,
  narrow: 1 << 8,
  routeShift: 9,
  route: 0x1f << 9,
} as const;
const WRITABLE =
  CONFIG.level | CONFIG.interrupts | CONFIG.periodic | CONFIG.setValue | CONFIG.narrow | CONFIG.route;
const ALWAYS = CONFIG.periodicCapable | CONFIG.wideCapable;
/** The inputs of the I/O APIC that can be chosen: those that no other device has. */
const ROUTES = 0x00f0_0000;
/** Where the first two lead instead, in legacy routing (table 3): the lines of the 8254 and of the clock. */
const LEGACY_LINES = [0, 8] as const;
const NEVER = Number.POSITIVE_INFINITY;
const u32 = (value: bigint): number => Number(BigInt.asUintN(32, value));

interface Timer {
  readonly config: number;
  readonly comparator: bigint;
  readonly period: bigint;
  /** The lower half of the first comparison has been set: the next access may be the other half of the same. */
  readonly takesHigh: boolean;
}
const RESET: Timer = { config: 0, comparator: 2n ** 64n - 1n, period: 0n, takesHigh: false };

export interface HpetState {
  readonly config: number;
  readonly status: number;
  /** When the counter was zero, if it runs, or else what it holds. */
  readonly zeroAt: number;
  readonly halted: bigint;
  /** What the counter held when the comparators were looked at last. */
  readonly seen: bigint;
  readonly timers: readonly Timer[];
  readonly deadline: number;
}

export interface HpetWires {
  /** The machine's time, in nanoseconds. */
  now(): number;
  /** An input of the I/O APIC, or in legacy routing an ISA line. */
  line(line: number, isLegacy: boolean, level: boolean): void;
  /** `deadline` has changed. */
  changed(): void;
}

export class Hpet {
  /** It has none: its registers are in memory. */
  readonly devices: readonly PortDevice[] = [];
  readonly #wires: HpetWires;
  #config = 0;
  /** Bit by comparator: its level stands. */
  #status = 0;
  #zeroAt = 0;
  #halted = 0n;
  #seen = 0n;
  #timers: Timer[] = Array.from({ length: TIMERS }, () => RESET);
  #deadline = NEVER;

  constructor(wires: HpetWires) {
    this.#wires = wires;
  }

  /** The 8254 and the clock are cut off from their interrupt lines. */
  get isLegacy(): boolean {
    return (this.#config & LEGACY) !== 0;
  }
  get #runs(): boolean {
    return (this.#config & ENABLED) !== 0;
  }
  #counter(now: number): bigint {
    return this.#runs ? BigInt(Math.floor((now - this.#zeroAt) / TICK_NS)) : this.#halted;
  }

  /** Ticks from one value of the counter to the next time that a comparator meets it. */
  #ticksTo({ config, comparator }: Timer, counter: bigint): bigint {
    const bits = (config & CONFIG.narrow) !== 0 ? 32 : 64;
    const left = BigInt.asUintN(bits, comparator - counter);
    return left === 0n ? 1n << BigInt(bits) : left;
  }

  /** When `advance` has something to do next. */
  get deadline(): number {
    return this.#deadline;
  }

  #changed(now: number): void {
    this.#deadline = NEVER;
    if (this.#runs) {
      const counter = this.#counter(now);
      for (const timer of this.#timers) {
        if ((timer.config & CONFIG.interrupts) === 0) continue;
        const at = this.#zeroAt + Number(counter + this.#ticksTo(timer, counter)) * TICK_NS;
        if (at <= Number.MAX_SAFE_INTEGER) this.#deadline = Math.min(this.#deadline, at);
      }
    }
    this.#wires.changed();
  }

  /** @returns whether the counter has met a comparator on its way from `seen` to `counter` */
  #meet(index: number, seen: bigint, counter: bigint): boolean {
    const timer = this.#timers[index]!;
    const passed = counter - seen - this.#ticksTo(timer, seen);
    if (passed < 0n) return false;
    const { config, comparator, period } = timer;
    if ((config & CONFIG.periodic) !== 0 && period > 0n) {
      const bits = (config & CONFIG.narrow) !== 0 ? 32 : 64;
      const next = BigInt.asUintN(bits, comparator + (passed / period + 1n) * period);
      this.#timers[index] = { ...timer, comparator: next };
    }
    if ((config & CONFIG.level) !== 0) this.#setStatus(this.#status | (1 << index));
    else if ((config & CONFIG.interrupts) !== 0) {
      this.#drive(index, false); // an edge is a rise
      this.#drive(index, true);
    }
    return true;
  }

  advance(now: number): void {
    const counter = this.#counter(now);
    const seen = this.#seen;
    this.#seen = counter;
    const met = this.#timers.map((_, index) => this.#meet(index, seen, counter));
    if (met.includes(true)) this.#changed(now);
  }

  /** The third comparator has no legacy line, and keeps its route. */
  #drive(index: number, level: boolean): void {
    const legacyLine = this.isLegacy ? LEGACY_LINES[index] : undefined;
    const route = (this.#timers[index]!.config & CONFIG.route) >> CONFIG.routeShift;
    if (legacyLine !== undefined) this.#wires.line(legacyLine, true, level);
    else if ((ROUTES & (1 << route)) !== 0) this.#wires.line(route, false, level);
  }

  #setStatus(status: number): void {
    const changed = this.#status ^ status;
    this.#status = status;
    for (const [index, { config }] of this.#timers.entries())
      if ((changed & (1 << index)) !== 0 && (config & CONFIG.interrupts) !== 0)
        this.#drive(index, (status & (1 << index)) !== 0);
  }

  /** Four bytes at a multiple of four; what is not there reads as zero. */
  read(offset: number): number {
    const now = this.#wires.now();
    this.advance(now);
    const isHigh = (offset & 4) !== 0;
    const half = (value: bigint): number => u32(isHigh ? value >> 32n : value);
    switch (offset & ~7) {
      case REG.capabilities:
        return isHigh ? FEMTOSECONDS : HPET_ID;
      case REG.config:
        return isHigh ? 0 : this.#config;
      case REG.status:
        return isHigh ? 0 : this.#status;
      case REG.counter:
        return half(this.#counter(now));
    }
    const timer = this.#timers[Math.floor((offset - REG.timers) / TIMER.size)];
    const register = offset & (TIMER.size - 8);
    if (timer === undefined) return 0;
    if (register === TIMER.config) return isHigh ? ROUTES : timer.config | ALWAYS;
    return register === TIMER.comparator ? half(timer.comparator) : 0;
  }

  write(offset: number, value: number): void {
    const now = this.#wires.now();
    this.advance(now);
    const isHigh = (offset & 4) !== 0;
    const register = offset & ~7;
    if (register === REG.config && !isHigh) this.#configure(value & (ENABLED | LEGACY), now);
    else if (register === REG.status && !isHigh) this.#setStatus(this.#status & ~value);
    else if (register === REG.counter) {
      if (!this.#runs) this.#halted = withHalf(this.#halted, isHigh, value); // else the outcome is undefined (2.3.7)
    } else if (register >= REG.timers)
      this.#writeTimer(
        Math.floor((offset - REG.timers) / TIMER.size),
        offset & (TIMER.size - 8),
        isHigh,
        value,
      );
    this.#seen = this.#counter(now);
    this.#changed(now);
  }

  #configure(config: number, now: number): void {
    const counter = this.#counter(now);
    this.#config = config;
    this.#halted = counter;
    this.#zeroAt = now - Number(counter) * TICK_NS;
  }

  #writeTimer(index: number, register: number, isHigh: boolean, value: number): void {
    const timer = this.#timers[index];
    if (timer === undefined) return;
    if (register === TIMER.config && !isHigh) {
      const config = value & WRITABLE;
      const { comparator } = timer;
      const isNarrow = (config & CONFIG.narrow) !== 0;
      if ((this.#status & (1 << index)) !== 0) this.#drive(index, false); // its line may become another
      this.#timers[index] = {
        ...timer,
        config,
        comparator: isNarrow ? BigInt.asUintN(32, comparator) : comparator,
      };
      if ((config & CONFIG.level) === 0) this.#status &= ~(1 << index);
      if ((this.#status & (1 << index)) !== 0 && (config & CONFIG.interrupts) !== 0) this.#drive(index, true);
    } else if (register === TIMER.comparator)
      this.#timers[index] = this.#withComparator(timer, isHigh, value);
  }

  /** Of a periodic one a write sets the period, and the first comparison too only where that has been asked for (2.3.8, Tn_VAL_SET_CNF). */
  #withComparator(timer: Timer, isHigh: boolean, value: number): Timer {
    const { config } = timer;
    const isPeriodic = (config & CONFIG.periodic) !== 0;
    if (isHigh && (config & CONFIG.narrow) !== 0) return timer;
    const setsFirst = !isPeriodic || (config & CONFIG.setValue) !== 0 || (isHigh && timer.takesHigh);
    return {
      config: config & ~CONFIG.setValue,
      comparator: setsFirst ? withHalf(timer.comparator, isHigh, value) : timer.comparator,
      period: isPeriodic ? withHalf(timer.period, isHigh, value) : timer.period,
      takesHigh: isPeriodic && setsFirst && !isHigh,
    };
  }

  capture(): HpetState {
    return {
      config: this.#config,
      status: this.#status,
      zeroAt: this.#zeroAt,
      halted: this.#halted,
      seen: this.#seen,
      timers: [...this.#timers],
      deadline: this.#deadline,
    };
  }
  reinstate(state: HpetState): void {
    this.#config = state.config;
    this.#status = state.status;
    this.#zeroAt = state.zeroAt;
    this.#halted = state.halted;
    this.#seen = state.seen;
    this.#timers = [...state.timers];
    this.#deadline = state.deadline;
  }
}

const withHalf = (value: bigint, isHigh: boolean, half: number): bigint =>
  isHigh
    ? (BigInt(half >>> 0) << 32n) | BigInt.asUintN(32, value)
    : ((value >> 32n) << 32n) | BigInt(half >>> 0);
