/**
 * The local APIC in xAPIC mode (SDM 3A, "Advanced Programmable Interrupt Controller", chapter 11): one per CPU, on one
 * page of the physical bus. Its timer runs on the machine's clock, one tick a nanosecond before division.
 */

export const APIC_DEFAULT_BASE = 0xfee0_0000;
export const APIC_WINDOW = 0x1000;

/** Register offsets (SDM 3A, table 11-1). */
const REG = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  ppr: 0xa0,
  eoi: 0xb0,
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
} as const;

/** Integrated APIC, version 0x14, six LVT entries. */
const VERSION = 0x0005_0014;
const LVT_MASKED = 1 << 16;
const LVT_PERIODIC = 1 << 17;
const SVR_ENABLED = 1 << 8;
const DELIVERY_NMI = 4;
const DELIVERY_EXTERNAL = 7;
const DELIVERY_SHIFT = 8;
/** Destination format: the flat model; in the cluster model, the cluster number that names all. */
const DFR_FLAT = 0xf;
const ALL_CLUSTERS = 0xf;
/** Error status register: a vector below 16 was sent (bit 5) or received (bit 6). */
const ESR_SEND_ILLEGAL = 1 << 5;
const ESR_RECEIVE_ILLEGAL = 1 << 6;
const LOWEST_LEGAL_VECTOR = 16;

/** What the interrupt command register sends (SDM 3A, figure 11-12). */
export interface Ipi {
  readonly mode: 'fixed' | 'nmi' | 'init' | 'sipi';
  readonly vector: number;
  readonly destination:
    | 'self'
    | 'all'
    | 'others'
    | { readonly physical: number }
    | { readonly logical: number };
}

const DELIVERY_MODES: Readonly<Record<number, Ipi['mode']>> = {
  0: 'fixed',
  1: 'fixed',
  4: 'nmi',
  5: 'init',
  6: 'sipi',
};

export interface LocalApicWires {
  /** The machine's time at this CPU, in nanoseconds. */
  now(): number;
  send(ipi: Ipi): void;
  raiseNmi(): void;
  /** Something changed that bears on when the CPU must look again. */
  changed(): void;
  /** A level-triggered interrupt has been ended: the I/O APIC may send it again. */
  endOfInterrupt?(vector: number): void;
}

export interface LocalApicState {
  readonly registers: readonly (readonly [number, number])[];
  readonly irr: Uint32Array;
  readonly isr: Uint32Array;
  readonly tmr: Uint32Array;
  readonly deadline: number;
  readonly enabled: boolean;
  readonly errors: number;
}

export class LocalApic {
  readonly id: number;
  readonly #wires: LocalApicWires;
  readonly #registers = new Map<number, number>();
  readonly #irr = new Uint32Array(8);
  readonly #isr = new Uint32Array(8);
  /** Which requests were level-triggered. */
  readonly #tmr = new Uint32Array(8);
  /** When the timer fires next, in nanoseconds. */
  #deadline = Number.POSITIVE_INFINITY;
  /** Software enable (bit 8 of the spurious-interrupt register). */
  #enabled = false;
  /** Errors since the last write to the error status register. */
  #errors = 0;

  constructor(id: number, wires: LocalApicWires) {
    this.id = id;
    this.#wires = wires;
    this.reset();
  }

  /** State after power-up or INIT (SDM 3A, 11.4.7.1). */
  reset(): void {
    this.#registers.clear();
    for (const lvt of LVT_ENTRIES) this.#registers.set(lvt, LVT_MASKED);
    this.#registers.set(REG.dfr, 0xffff_ffff);
    this.#registers.set(REG.svr, 0xff);
    this.#irr.fill(0);
    this.#isr.fill(0);
    this.#tmr.fill(0);
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#enabled = false;
    this.#errors = 0;
  }

  /** As firmware leaves it on the first CPU of a PC: what the 8259s ask for comes in at LINT0 ("virtual wire mode", MP Specification 1.4, 3.6.2.2). */
  enterVirtualWireMode(): void {
    this.#set(REG.lvtLint0, DELIVERY_EXTERNAL << DELIVERY_SHIFT);
  }

  /** Whether LINT0 is wired through to the processor. */
  get takesExternal(): boolean {
    const lvt = this.#get(REG.lvtLint0);
    return (lvt & LVT_MASKED) === 0 && ((lvt >> DELIVERY_SHIFT) & 7) === DELIVERY_EXTERNAL;
  }

  /** When `advance` has something to do next. */
  get deadline(): number {
    return this.#deadline;
  }

  /** When the timer will raise an interrupt that the processor's priority lets through; infinity: it will not. */
  get timerInterruptAt(): number {
    const lvt = this.#get(REG.lvtTimer);
    const taken = this.#enabled && (lvt & LVT_MASKED) === 0 && (lvt & 0xff) >> 4 > this.priority >> 4;
    return taken ? this.#deadline : Number.POSITIVE_INFINITY;
  }

  /** Lets the timer fire if its time has come. */
  advance(now: number): void {
    if (now < this.#deadline) return;
    const lvt = this.#get(REG.lvtTimer);
    if ((lvt & LVT_MASKED) === 0) this.accept(lvt & 0xff);
    if ((lvt & LVT_PERIODIC) !== 0) {
      const period = this.#get(REG.initialCount) * this.#divisor;
      this.#deadline = now - ((now - this.#deadline) % period) + period;
    } else {
      this.#deadline = Number.POSITIVE_INFINITY;
    }
  }

  /** A fixed interrupt arrives; one that is already requested merges with it. */
  accept(vector: number, isLevel = false): void {
    if (vector < LOWEST_LEGAL_VECTOR) this.#error(ESR_RECEIVE_ILLEGAL);
    else if (this.#enabled) {
      const bit = 1 << (vector & 31);
      this.#irr[vector >>> 5]! |= bit;
      if (isLevel) this.#tmr[vector >>> 5]! |= bit;
      else this.#tmr[vector >>> 5]! &= ~bit;
    }
    this.#wires.changed();
  }

  #error(bit: number): void {
    this.#errors |= bit;
    const lvt = this.#get(REG.lvtError);
    if ((lvt & LVT_MASKED) === 0 && (lvt & 0xff) >= LOWEST_LEGAL_VECTOR) this.accept(lvt & 0xff);
  }

  /** The performance counter has overflowed: its LVT entry is delivered and masks itself (SDM 3A, 11.5.1). */
  performanceOverflow(): void {
    const lvt = this.#get(REG.lvtPerformance);
    if ((lvt & LVT_MASKED) !== 0) return;
    this.#set(REG.lvtPerformance, lvt | LVT_MASKED);
    if (((lvt >> DELIVERY_SHIFT) & 7) === DELIVERY_NMI) this.#wires.raiseNmi();
    else this.accept(lvt & 0xff);
  }

  /** The vector to deliver next, or -1: the highest requested whose class is above the processor's priority (11.8.3.1). */
  pendingVector(): number {
    const vector = highest(this.#irr);
    return vector >= 0 && vector >> 4 > this.priority >> 4 ? vector : -1;
  }

  /** The CPU takes the interrupt. */
  acknowledge(vector: number): void {
    const bit = 1 << (vector & 31);
    this.#irr[vector >>> 5]! &= ~bit;
    this.#isr[vector >>> 5]! |= bit;
  }

  /** Whether a logical destination names this APIC, in the flat or the cluster model (SDM 3A, 11.6.2.2). */
  matchesLogical(destination: number): boolean {
    const own = this.#get(REG.ldr) >>> 24;
    if (this.#get(REG.dfr) >>> 28 === DFR_FLAT) return (own & destination) !== 0;
    const cluster = destination >> 4;
    return (cluster === ALL_CLUSTERS || cluster === own >> 4) && (own & destination & 0xf) !== 0;
  }

  /** The processor priority (11.8.3.1). */
  get priority(): number {
    const task = this.#get(REG.tpr);
    const inService = Math.max(highest(this.#isr), 0);
    return task >> 4 >= inService >> 4 ? task : inService & 0xf0;
  }

  get #divisor(): number {
    const divide = this.#get(REG.divide);
    const code = (divide & 3) | ((divide >> 1) & 4);
    return code === 7 ? 1 : 2 << code;
  }

  #get(register: number): number {
    return this.#registers.get(register) ?? 0;
  }
  #set(register: number, value: number): void {
    this.#registers.set(register, value >>> 0);
  }

  /** Registers are 32 bits wide on 16-byte boundaries; others read as zero. */
  read(offset: number): number {
    const bank = offset & ~0x7f;
    const word = (offset & 0x70) >> 4;
    switch (bank) {
      case REG.isr:
        return this.#isr[word]! >>> 0;
      case REG.tmr:
        return this.#tmr[word]! >>> 0;
      case REG.irr:
        return this.#irr[word]! >>> 0;
    }
    switch (offset) {
      case REG.id:
        return (this.id << 24) >>> 0;
      case REG.version:
        return VERSION;
      case REG.ppr:
        return this.priority;
      case REG.currentCount: {
        if (this.#deadline === Number.POSITIVE_INFINITY) return 0;
        return Math.ceil((this.#deadline - this.#wires.now()) / this.#divisor) >>> 0;
      }
      default:
        return this.#get(offset);
    }
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case REG.eoi: {
        const vector = highest(this.#isr);
        if (vector < 0) break;
        const bit = 1 << (vector & 31);
        this.#isr[vector >>> 5]! &= ~bit;
        if ((this.#tmr[vector >>> 5]! & bit) !== 0) this.#wires.endOfInterrupt?.(vector);
        break;
      }
      case REG.tpr:
        this.#set(offset, value & 0xff);
        break;
      case REG.svr:
        this.#set(offset, value & 0x3ff);
        this.#enabled = (value & SVR_ENABLED) !== 0;
        if (!this.#enabled) for (const lvt of LVT_ENTRIES) this.#set(lvt, this.#get(lvt) | LVT_MASKED);
        break;
      case REG.esr:
        this.#set(offset, this.#errors); // a write shows what has gathered since the last one (11.5.3)
        this.#errors = 0;
        break;
      case REG.icrLow:
        this.#set(offset, value & ~(1 << 12));
        this.#sendIpi(value);
        break;
      case REG.initialCount:
        this.#set(offset, value);
        this.#startTimer(value);
        break;
      case REG.divide: {
        const left = this.read(REG.currentCount);
        this.#set(offset, value & 0xb);
        this.#startTimer(left);
        break;
      }
      case REG.ldr:
      case REG.icrHigh:
        this.#set(offset, value & 0xff00_0000);
        break;
      case REG.dfr:
        this.#set(offset, value | 0x0fff_ffff);
        break;
      default:
        if (!LVT_ENTRIES.includes(offset)) return;
        this.#set(offset, this.#enabled ? value & 0x7_87ff : (value & 0x7_87ff) | LVT_MASKED);
    }
    this.#wires.changed();
  }

  #startTimer(count: number): void {
    this.#deadline = count === 0 ? Number.POSITIVE_INFINITY : this.#wires.now() + count * this.#divisor;
  }

  #sendIpi(low: number): void {
    const mode = DELIVERY_MODES[(low >> 8) & 7];
    const vector = low & 0xff;
    if (mode === undefined) return;
    const deassert = mode === 'init' && (low & (1 << 14)) === 0;
    if (deassert) return;
    if (mode === 'fixed' && vector < LOWEST_LEGAL_VECTOR) {
      this.#error(ESR_SEND_ILLEGAL);
      return;
    }
    const target = this.#get(REG.icrHigh) >>> 24;
    const logical = (low & (1 << 11)) !== 0;
    const shorthands = [
      logical ? { logical: target } : { physical: target },
      'self',
      'all',
      'others',
    ] as const;
    this.#wires.send({ mode, vector, destination: shorthands[(low >> 18) & 3]! });
  }

  capture(): LocalApicState {
    return {
      registers: [...this.#registers],
      irr: this.#irr.slice(),
      isr: this.#isr.slice(),
      tmr: this.#tmr.slice(),
      deadline: this.#deadline,
      enabled: this.#enabled,
      errors: this.#errors,
    };
  }

  reinstate(state: LocalApicState): void {
    this.#registers.clear();
    for (const [register, value] of state.registers) this.#registers.set(register, value);
    this.#irr.set(state.irr);
    this.#isr.set(state.isr);
    this.#tmr.set(state.tmr);
    this.#deadline = state.deadline;
    this.#enabled = state.enabled;
    this.#errors = state.errors;
  }
}

const LVT_ENTRIES: readonly number[] = [
  REG.lvtTimer,
  REG.lvtThermal,
  REG.lvtPerformance,
  REG.lvtLint0,
  REG.lvtLint1,
  REG.lvtError,
];

/** Number of the highest bit set in eight words, or -1. */
function highest(words: Uint32Array): number {
  for (let word = 7; word >= 0; word--)
    if (words[word] !== 0) return word * 32 + 31 - Math.clz32(words[word]!);
  return -1;
}
