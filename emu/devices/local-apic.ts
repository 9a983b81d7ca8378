/**
 * The local APIC, one per CPU (SDM 3A, "Advanced Programmable Interrupt Controller", chapter 11): its requests and priorities, its local
 * vector table, and its modes. In xAPIC mode its registers are on one page of the physical bus, in x2APIC mode they are MSRs.
 */
import { type ApicModel, CPU_MODELS } from '../cpu/model.js';
import { type ApicMode, apicBase, modeAfter } from './apic-base.js';
import {
  decodeCommand,
  hasIllegalVector,
  type Ipi,
  matchesLogical,
  matchesX2Logical,
  x2LogicalId,
} from './apic-command.js';
import {
  DIVIDE_BITS,
  ESR,
  ICR,
  isLevelPin,
  isXapicRegister,
  LOWEST_LEGAL_VECTOR,
  LVT,
  LVT_ENTRIES,
  LVT_MODE,
  modeOfLvt,
  offsetOfMsr,
  REG,
  SVR,
  X2APIC_REGISTERS,
} from './apic-registers.js';
import { type RequestState, Requests } from './apic-requests.js';
import { ApicTimer, type TimerState } from './apic-timer.js';

export const APIC_WINDOW = 0x1000;

/** Integrated APIC, version 0x14, six LVT entries. */
const VERSION = 0x0005_0014;
/** What is read where nothing answers. */
const FLOATING = 0xffff_ffff;
/** A target of all ones, as wide as the command register has it. */
const EVERYBODY = { xapic: 0xff, x2apic: 0xffff_ffff } as const;

/** The pins that a machine's own interrupt lines lead to. */
const PINS = [REG.lvtLint0, REG.lvtLint1] as const;
type Pin = 0 | 1;

export interface LocalApicWires {
  /** The machine's time at this CPU, in nanoseconds. */
  now(): number;
  /** The CPU's time-stamp counter. */
  timestamp?(): bigint;
  send(ipi: Ipi): void;
  raiseNmi(): void;
  /** Something changed that bears on when the CPU must look again. */
  changed(): void;
  /** A level-triggered interrupt has been ended: the I/O APIC may send it again. */
  endOfInterrupt?(vector: number): void;
}

export interface LocalApicState {
  readonly mode: ApicMode;
  readonly registers: readonly (readonly [number, number])[];
  readonly requests: RequestState;
  readonly timer: TimerState;
  readonly errors: number;
  readonly pins: readonly boolean[];
}

export class LocalApic {
  readonly id: number;
  readonly #wires: LocalApicWires;
  readonly #model: ApicModel;
  #mode: ApicMode = 'xapic';
  /** Those that hold nothing but what is written. */
  readonly #registers = new Map<number, number>();
  readonly #requests = new Requests();
  readonly #timer: ApicTimer;
  /** Errors since the last write to the error status register. */
  #errors = 0;
  /** Which pins are asserted, whatever their polarity. */
  readonly #pins: [boolean, boolean] = [false, false];

  constructor(id: number, wires: LocalApicWires, model: ApicModel = CPU_MODELS.microvm.apic) {
    this.id = id;
    this.#wires = wires;
    this.#model = model;
    this.#timer = new ApicTimer({
      now: () => wires.now(),
      timestamp: () => wires.timestamp?.() ?? BigInt(wires.now()),
    });
    this.reset();
  }

  /** State after power-up or INIT (SDM 3A, 11.4.7.1); the mode stays. */
  reset(): void {
    this.#registers.clear();
    for (const lvt of LVT_ENTRIES.keys()) this.#registers.set(lvt, LVT.masked);
    this.#registers.set(REG.dfr, 0xffff_ffff);
    this.#registers.set(REG.svr, SVR.vector);
    this.#requests.reset();
    this.#timer.reset();
    this.#errors = 0;
  }

  /**
   * As firmware leaves it on the first CPU of a PC: what the 8259s ask for comes in at LINT0 ("virtual wire mode", MP Specification 1.4,
   * 3.6.2.2), NMIs at LINT1.
   */
  enterVirtualWireMode(): void {
    this.#set(REG.lvtLint0, LVT_MODE.external << LVT.modeShift);
    this.#set(REG.lvtLint1, LVT_MODE.nmi << LVT.modeShift);
  }

  /** IA32_APIC_BASE. */
  get base(): bigint {
    return apicBase(this.#mode, this.id === 0);
  }
  /** @returns false for #GP(0), as all writes of MSRs do */
  setBase(value: bigint): boolean {
    const mode = modeAfter(value, this.base, this.#mode);
    if (mode === undefined || (mode !== this.#mode && !this.#model.modes)) return false;
    if (mode === 'off') this.reset(); // it comes back as from power-up (SDM 3A, 11.4.3)
    this.#mode = mode;
    this.#wires.changed();
    return true;
  }
  /** IA32_APIC_BASE has not switched it off. */
  get isPresent(): boolean {
    return this.#mode !== 'off';
  }
  /** Software has switched it on: it takes interrupts. */
  get isEnabled(): boolean {
    return this.isPresent && (this.#get(REG.svr) & SVR.enabled) !== 0;
  }

  /** Whether LINT0 is wired through to the processor, as it is to one whose APIC is switched off (SDM 3A, 11.4.3). */
  get takesExternal(): boolean {
    if (!this.isPresent) return true;
    const lvt = this.#get(REG.lvtLint0);
    return (lvt & LVT.masked) === 0 && modeOfLvt(lvt) === LVT_MODE.external;
  }

  /** When `advance` has something to do next. */
  get deadline(): number {
    return this.#timer.firesAt;
  }

  /** When the timer will raise an interrupt that the processor's priority lets through; infinity: it will not. */
  get timerInterruptAt(): number {
    const lvt = this.#get(REG.lvtTimer);
    const taken = this.isEnabled && (lvt & LVT.masked) === 0;
    return taken && this.#requests.lets(lvt & LVT.vector) ? this.#timer.firesAt : Number.POSITIVE_INFINITY;
  }

  /** Lets the timer fire if its time has come. */
  advance(now: number): void {
    if (now < this.#timer.firesAt) return;
    const lvt = this.#get(REG.lvtTimer);
    if ((lvt & LVT.masked) === 0) this.accept(lvt & LVT.vector);
    this.#timer.rearm(now);
  }
  /** The time-stamp counter has been set. */
  timestampChanged(): void {
    if (this.#timer.tscDeadline === 0n) return;
    this.#timer.timestampChanged();
    this.#wires.changed();
  }
  /** IA32_TSC_DEADLINE. */
  get tscDeadline(): bigint {
    return this.#timer.tscDeadline;
  }
  set tscDeadline(value: bigint) {
    this.#timer.tscDeadline = value;
    this.#wires.changed();
  }

  /** A fixed interrupt arrives; one that is already requested merges with it. */
  accept(vector: number, isLevel = false): void {
    if (!this.isPresent) return;
    if (vector < LOWEST_LEGAL_VECTOR) this.#error(ESR.receiveIllegal);
    else if (this.isEnabled) this.#requests.add(vector, isLevel);
    this.#wires.changed();
  }

  #error(bit: number): void {
    this.#errors |= bit;
    const lvt = this.#get(REG.lvtError);
    if ((lvt & LVT.masked) === 0 && (lvt & LVT.vector) >= LOWEST_LEGAL_VECTOR) this.accept(lvt & LVT.vector);
  }

  /** The performance counter has overflowed: its LVT entry is delivered and masks itself (SDM 3A, 11.5.1). */
  performanceOverflow(): void {
    const lvt = this.#get(REG.lvtPerformance);
    if ((lvt & LVT.masked) !== 0) return;
    this.#set(REG.lvtPerformance, lvt | LVT.masked);
    this.#deliver(lvt);
  }

  /** An unmasked entry's event. What comes as ExtINT the 8259s deliver themselves. */
  #deliver(lvt: number): void {
    if (modeOfLvt(lvt) === LVT_MODE.nmi) this.#wires.raiseNmi();
    else if (modeOfLvt(lvt) === LVT_MODE.fixed) this.accept(lvt & LVT.vector);
  }

  /** A pin is asserted or not. With the APIC switched off LINT1 is the processor's NMI pin (SDM 3A, 11.4.3). */
  setPin(pin: Pin, asserted: boolean): void {
    const rises = asserted && !this.#pins[pin];
    this.#pins[pin] = asserted;
    if (!this.isPresent) {
      if (pin === 1 && rises) this.#wires.raiseNmi();
      return;
    }
    const lvt = this.#get(PINS[pin]);
    if (isLevelPin(PINS[pin], lvt)) this.#serveLevel(pin);
    else if (rises && (lvt & LVT.masked) === 0) this.#deliver(lvt);
  }

  /** A level is taken once, until its end of interrupt (SDM 3A, 11.5.1, "Remote IRR Flag"). */
  #serveLevel(pin: Pin): void {
    const lvt = this.#get(PINS[pin]);
    if (!isLevelPin(PINS[pin], lvt) || !this.#pins[pin] || (lvt & (LVT.masked | LVT.remoteIrr)) !== 0) return;
    this.#set(PINS[pin], lvt | LVT.remoteIrr);
    this.accept(lvt & LVT.vector, true);
  }

  /** The vector to deliver next, or -1. */
  pendingVector(): number {
    return this.#requests.next;
  }
  /** The task priority register; CR8 reaches it too. */
  get taskPriority(): number {
    return this.#requests.taskPriority;
  }
  set taskPriority(value: number) {
    this.#requests.taskPriority = value;
    this.#wires.changed();
  }
  /** The processor priority. */
  get priority(): number {
    return this.#requests.priority;
  }
  /** The CPU takes the interrupt. */
  acknowledge(vector: number): void {
    this.#requests.acknowledge(vector);
  }

  #endOfInterrupt(): void {
    const vector = this.#requests.end();
    if (vector < 0 || !this.#requests.tmr.has(vector)) return;
    const lvt = this.#get(REG.lvtLint0);
    if ((lvt & LVT.remoteIrr) !== 0 && (lvt & LVT.vector) === vector) {
      this.#set(REG.lvtLint0, lvt & ~LVT.remoteIrr);
      this.#serveLevel(0);
    }
    this.#wires.endOfInterrupt?.(vector);
  }

  /** Whether a logical destination names this APIC. */
  matchesLogical(destination: number): boolean {
    if (this.#mode === 'x2apic') return matchesX2Logical(destination, x2LogicalId(this.id));
    return matchesLogical(destination, this.#get(REG.ldr) >>> 24, this.#get(REG.dfr));
  }

  #get(register: number): number {
    return this.#registers.get(register) ?? 0;
  }
  #set(register: number, value: number): void {
    this.#registers.set(register, value >>> 0);
  }

  /** On the bus: registers are 32 bits wide on 16-byte boundaries; others read as zero and are an error. */
  read(offset: number): number {
    if (this.#mode !== 'xapic') return FLOATING;
    if (isXapicRegister(offset)) return this.#read(offset);
    this.#error(ESR.illegalRegister);
    return 0;
  }
  write(offset: number, value: number): void {
    if (this.#mode !== 'xapic') return;
    if (isXapicRegister(offset)) this.#write(offset, value);
    else this.#error(ESR.illegalRegister);
    this.#wires.changed();
  }

  /** As an MSR of x2APIC mode; `undefined` for #GP(0). */
  readMsr(msr: number): bigint | undefined {
    const offset = offsetOfMsr(msr);
    if (this.#mode !== 'x2apic' || !X2APIC_REGISTERS.get(offset)?.reads) return undefined;
    const high = offset === REG.icrLow ? BigInt(this.#get(REG.icrHigh)) : 0n;
    return (high << 32n) | BigInt(this.#read(offset));
  }
  writeMsr(msr: number, value: bigint): boolean {
    const offset = offsetOfMsr(msr);
    const { writable } = X2APIC_REGISTERS.get(offset) ?? {};
    if (this.#mode !== 'x2apic' || writable === undefined || (value & ~writable) !== 0n) return false;
    if (offset === REG.icrLow) this.#set(REG.icrHigh, Number(value >> 32n));
    this.#write(offset, Number(BigInt.asUintN(32, value)));
    this.#wires.changed();
    return true;
  }

  #read(offset: number): number {
    const word = (offset & 0x70) >> 4;
    switch (offset & ~0x7f) {
      case REG.isr:
        return this.#requests.isr.word(word);
      case REG.tmr:
        return this.#requests.tmr.word(word);
      case REG.irr:
        return this.#requests.irr.word(word);
    }
    switch (offset) {
      case REG.id:
        return this.#mode === 'x2apic' ? this.id : (this.id << 24) >>> 0;
      case REG.ldr:
        return this.#mode === 'x2apic' ? x2LogicalId(this.id) : this.#get(offset);
      case REG.version:
        return VERSION;
      case REG.tpr:
        return this.taskPriority;
      case REG.ppr:
        return this.priority;
      case REG.initialCount:
        return this.#timer.initialCount;
      case REG.currentCount:
        return this.#timer.currentCount;
      case REG.divide:
        return this.#timer.divide;
      default:
        return this.#get(offset);
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case REG.eoi:
        this.#endOfInterrupt();
        break;
      case REG.tpr:
        this.taskPriority = value & 0xff;
        break;
      case REG.svr:
        this.#set(offset, value & SVR.writable);
        if (!this.isEnabled)
          for (const lvt of LVT_ENTRIES.keys()) this.#set(lvt, this.#get(lvt) | LVT.masked);
        break;
      case REG.esr:
        this.#set(offset, this.#errors); // a write shows what has gathered since the last one (11.5.3)
        this.#errors = 0;
        break;
      case REG.icrLow:
        this.#set(offset, value & ~ICR.pending);
        this.#command(
          value,
          this.#mode === 'x2apic' ? this.#get(REG.icrHigh) : this.#get(REG.icrHigh) >>> 24,
        );
        break;
      case REG.selfIpi:
        this.#command(value | (1 << ICR.shorthandShift), 0);
        break;
      case REG.initialCount:
        this.#timer.initialCount = value >>> 0;
        break;
      case REG.divide:
        this.#timer.divide = value & DIVIDE_BITS;
        break;
      case REG.ldr:
      case REG.icrHigh:
        this.#set(offset, value & 0xff00_0000);
        break;
      case REG.dfr:
        this.#set(offset, value | 0x0fff_ffff);
        break;
      default:
        if (LVT_ENTRIES.has(offset)) this.#writeLvt(offset, value);
    }
  }

  /** While the APIC is disabled by software all entries stay masked (11.4.7.2). */
  #writeLvt(offset: number, value: number): void {
    const remoteIrr = this.#get(offset) & LVT.remoteIrr;
    const masked = this.isEnabled ? 0 : LVT.masked;
    this.#set(offset, (value & LVT_ENTRIES.get(offset)!) | masked | remoteIrr);
    if (offset === REG.lvtTimer) {
      const modes = this.#model.tscDeadline ? 3 : 1;
      this.#timer.setMode((value >> 17) & modes);
    } else if (offset === REG.lvtLint0) {
      if (!isLevelPin(offset, value)) this.#set(offset, this.#get(offset) & ~LVT.remoteIrr);
      this.#serveLevel(0);
    }
  }

  #command(low: number, target: number): void {
    const ipi = decodeCommand(low, target, EVERYBODY[this.#mode === 'x2apic' ? 'x2apic' : 'xapic']);
    if (ipi === undefined) return;
    if (hasIllegalVector(ipi)) this.#error(ESR.sendIllegal);
    else this.#wires.send(ipi);
  }

  capture(): LocalApicState {
    return {
      mode: this.#mode,
      registers: [...this.#registers],
      requests: this.#requests.capture(),
      timer: this.#timer.capture(),
      errors: this.#errors,
      pins: [...this.#pins],
    };
  }

  reinstate(state: LocalApicState): void {
    this.#mode = state.mode;
    this.#registers.clear();
    for (const [register, value] of state.registers) this.#registers.set(register, value);
    this.#requests.reinstate(state.requests);
    this.#timer.reinstate(state.timer);
    this.#errors = state.errors;
    for (const pin of [0, 1] as const) this.#pins[pin] = state.pins[pin]!;
  }
}
