/**
 * One virtual CPU: its state in the engine, its local APIC and counters, and what it is doing. `runTo` is the heart of the
 * machine: it alternates between delivering what is pending at an instruction boundary and running up to the next boundary
 * at which something can become pending.
 */
import type { LocalApic } from '../devices/local-apic.js';
import { type CpuState, GPR } from '../engine/cpu-state.js';
import type { Engine, RunEnd } from '../engine/engine.js';
import { PAGE_SIZE } from '../engine/host-memory.js';
import type { EventBus } from '../events.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { type Paging, pagingOf } from '../memory/page-walk.js';
import { EXCEPTIONS, MSR, RFLAGS, VECTOR } from './architecture.js';
import { cpuid } from './cpuid.js';
import { DebugRegisters, type DebugState } from './debug-registers.js';
import { deliver, type SyscallTarget, syscall, syscallTarget } from './delivery.js';
import type { CpuEvent } from './delivery-fault.js';
import { KeptMsrs, type MsrHost, readMsr, writeMsr } from './msr.js';
import { PerfCounter, type PerfCounterState } from './perf-counter.js';
import { mayAccessPort, type RefusedAccess, takeBack } from './port-access.js';
import { enterRealMode } from './reset.js';
import { decodeTrapped, LONGEST_INSTRUCTION, type Trapped, type TrappedHost } from './trapped.js';

/** Executing; stopped by HLT; waiting for a start-up IPI after INIT; or stopped for good by a triple fault. */
export type Activity = 'running' | 'halted' | 'wait-for-sipi' | 'shutdown';

export interface VcpuParts {
  readonly index: number;
  readonly count: number;
  readonly engine: Engine;
  readonly memory: GuestMemory;
  readonly events: EventBus;
}

/** Why `runTo` came back before its time was over. */
export type VcpuStop = 'breakpoint' | 'bus-error' | 'shutdown' | 'requested' | 'budget';

export interface VcpuSnapshot {
  readonly state: Uint8Array;
  readonly kept: readonly (readonly [number, bigint])[];
  readonly perf: PerfCounterState;
  readonly debug: DebugState;
  readonly apic: ReturnType<LocalApic['capture']>;
  readonly activity: Activity;
  readonly nmiPending: boolean;
  readonly time: number;
  readonly retired: number;
  readonly tscOffset: bigint;
  readonly exceptionAt: number;
  readonly atBreakpoint: bigint | undefined;
}

const CS_CODE_STI = 0xfb;
const INT1 = 0xf1;
const ONE_BYTE_INTERRUPT: Readonly<Record<number, number>> = { 3: 0xcc, 4: 0xce };

export class Vcpu implements MsrHost, TrappedHost {
  readonly index: number;
  readonly state: CpuState;
  readonly perf = new PerfCounter();
  readonly debug = new DebugRegisters();
  readonly kept = new KeptMsrs();
  /** Set by the machine right after construction. */
  apic!: LocalApic;
  activity: Activity = 'wait-for-sipi';
  nmiPending = false;
  /** Guest time at this CPU when nothing of it is running, in nanoseconds. */
  time = 0;
  /** Instructions this CPU has executed. */
  retired = 0;
  /** The exception whose delivery ended in a shutdown. */
  shutdownVector = -1;
  /** Set to leave `runTo` at the next boundary. */
  stopRequested = false;
  #target = syscallTarget();
  /** The state of `kept` that `#target` was made of. */
  #targetOf = 0;
  #tscOffset = 0n;
  #running = false;
  /** Instructions retired at the last exception. */
  #exceptionAt = -1;
  /** The breakpoint that has ended the last run: the next one passes it. */
  #atBreakpoint: bigint | undefined;
  /** A port that the instruction under way may not use. */
  #refused: RefusedAccess | undefined;
  readonly #count: number;
  readonly #engine: Engine;
  readonly #memory: GuestMemory;
  readonly #events: EventBus;

  constructor(parts: VcpuParts) {
    this.index = parts.index;
    this.#count = parts.count;
    this.#engine = parts.engine;
    this.#memory = parts.memory;
    this.#events = parts.events;
    this.state = parts.engine.newState();
  }

  get isBootProcessor(): boolean {
    return this.index === 0;
  }

  /** Guest time at the instruction that is executing. */
  get now(): number {
    return this.#running ? this.time + this.#engine.retired : this.time;
  }

  /** Instructions that this CPU has begun before the one that is executing. */
  get #begun(): number {
    return this.#running ? this.retired + this.#engine.retired : this.retired;
  }

  get paging(): Paging {
    const { state } = this;
    return pagingOf({ cr0: state.cr(0), cr3: state.cr(3), cr4: state.cr(4), efer: state.efer });
  }

  /** What is pending has changed: a run under way ends at the next boundary. */
  changed(): void {
    if (this.#running) this.#engine.curtail();
  }
  settlePerf(): void {
    if (this.perf.advance(this.#begun)) this.apic.performanceOverflow();
  }
  perfChanged(): void {
    this.changed();
  }
  raiseNmi(): void {
    this.nmiPending = true; // one is latched, further ones merge with it (SDM 3A, "Handling Multiple NMIs", 6.7.1)
    this.changed();
  }
  requestStop(): void {
    this.stopRequested = true;
    this.changed();
  }

  /** INIT: back to the wait for a start-up IPI; memory and the engine's caches stay. */
  init(): void {
    this.activity = 'wait-for-sipi';
    this.nmiPending = false;
    this.kept.clear();
    this.debug.reset();
    this.apic.reset();
    this.changed();
  }

  /** A start-up IPI starts a CPU that waits for one, and is lost on any other (SDM 3A, 9.4.4). */
  startup(vector: number): void {
    if (this.activity !== 'wait-for-sipi') return;
    enterRealMode(this.state, vector);
    this.activity = 'running';
    this.#events.emit(
      { kind: 'start', cpu: this.index, time: this.now, rip: BigInt(vector << 12) },
      vector,
      0n,
    );
  }

  get #interruptible(): boolean {
    return (this.state.systemFlags & RFLAGS.IF) !== 0;
  }

  /** Whether something pending wakes a halted CPU. */
  get #wakes(): boolean {
    if (this.nmiPending && !this.state.nmiBlocked) return true;
    return this.#interruptible && this.apic.pendingVector() >= 0;
  }

  /** When a CPU that is not running will wake without help from outside; infinity: never. */
  get wakesAt(): number {
    return this.activity === 'halted' && this.#interruptible
      ? this.apic.timerInterruptAt
      : Number.POSITIVE_INFINITY;
  }

  /** Whether the CPU can do anything without help from outside before its APIC's deadline. */
  get idle(): boolean {
    return this.activity !== 'running' && !(this.activity === 'halted' && this.#wakes);
  }

  /**
   * Executes until this CPU's time reaches `until`, at most `budget` instructions.
   * @returns what ended it early, or `undefined`; `spent` instructions have been executed.
   */
  runTo(until: number, budget: number): { stop: VcpuStop | undefined; spent: number } {
    let spent = 0;
    while (this.time < until) {
      if (this.stopRequested) {
        this.stopRequested = false;
        return { stop: 'requested', spent };
      }
      this.apic.advance(this.time);
      this.settlePerf();
      if (this.activity !== 'running') {
        if (this.activity !== 'halted' || !this.#wakes) {
          this.time = Math.min(until, Math.max(this.apic.deadline, this.time + 1));
          continue;
        }
        this.activity = 'running';
      }
      if (spent >= budget) return { stop: 'budget', spent };
      const waiting = this.#deliverPending();
      if (this.#isShutdown()) return { stop: 'shutdown', spent };
      const horizon = Math.min(until, this.apic.deadline) - this.time;
      const limit = waiting ? 1 : Math.min(horizon, budget - spent, this.perf.deadline - this.retired);
      const { end, executed } = this.#execute(Math.max(limit, 1));
      spent += executed;
      this.#refuse();
      if (this.#isShutdown()) return { stop: 'shutdown', spent };
      if (end === 'breakpoint' || end === 'bus-error') return { stop: end, spent };
    }
    if (!this.stopRequested) return { stop: undefined, spent };
    this.stopRequested = false;
    return { stop: 'requested', spent };
  }

  /** Delivers what is pending and may be taken at the present boundary; executes nothing. @returns a shutdown that came of it. */
  deliver(): VcpuStop | undefined {
    this.apic.advance(this.time);
    this.settlePerf();
    if (this.activity === 'halted' && this.#wakes) this.activity = 'running';
    if (this.activity === 'running') this.#deliverPending();
    return this.#isShutdown() ? 'shutdown' : undefined;
  }

  #isShutdown(): boolean {
    return this.activity === 'shutdown';
  }

  #execute(limit: number): { end: RunEnd; executed: number } {
    this.#running = true;
    try {
      const result = this.#engine.run(this.state, limit, this.#atBreakpoint);
      this.#atBreakpoint = result.end === 'breakpoint' ? this.state.rip : undefined;
      this.time += result.executed;
      this.retired += result.executed;
      if (result.end === 'halt' && this.activity === 'running') {
        this.activity = 'halted';
        const rip = this.state.rip;
        this.#running = false;
        this.#events.emit({ kind: 'halt', cpu: this.index, time: this.time, rip }, 0, rip);
      }
      return result;
    } finally {
      this.#running = false;
    }
  }

  /**
   * Delivers the most urgent pending event that may be taken at this boundary (SDM 3A, "Priority Among Concurrent
   * Events", 6.9). @returns whether something pending is held back, so that the next boundary must be looked at too.
   */
  #deliverPending(): boolean {
    const { state } = this;
    if (this.nmiPending && !state.nmiBlocked && !(state.shadow && !this.#shadowOfSti())) {
      this.nmiPending = false;
      this.#events.emit({ kind: 'nmi', cpu: this.index, time: this.time, rip: state.rip }, 0, state.rip);
      this.#deliver({ vector: VECTOR.NMI, kind: 'nmi' });
    }
    const vector = this.apic.pendingVector();
    if (vector < 0 || this.#isShutdown()) return this.nmiPending;
    if (state.shadow || !this.#interruptible) return true;
    this.apic.acknowledge(vector);
    this.#events.emit(
      { kind: 'interrupt', cpu: this.index, time: this.time, vector, rip: state.rip },
      vector,
      state.rip,
    );
    this.#deliver({ vector, kind: 'external' });
    return this.nmiPending || this.apic.pendingVector() >= 0;
  }

  /**
   * The engine keeps one mark for both shadows, but only the one of MOV SS and POP SS holds back NMIs (SDM 3A, "Masking Exceptions
   * and Interrupts When Switching Stacks", 6.8.3; STI: SDM 2B). STI is one byte; it lies right before RIP.
   */
  #shadowOfSti(): boolean {
    const before = this.#memory.read(
      this.paging,
      BigInt.asUintN(64, this.#codeAddress(this.state.rip) - 1n),
      1,
    );
    return before?.[0] === CS_CODE_STI;
  }

  /** Linear address of an instruction; only outside of 64-bit mode is there a base to add. */
  #codeAddress(rip: bigint): bigint {
    return this.state.longMode ? rip : rip + this.state.segment('cs').base;
  }

  #deliver(event: CpuEvent): void {
    const rip = this.state.rip;
    const time = this.now;
    if (event.kind === 'exception' || event.kind === 'software') {
      const { vector, errorCode } = event;
      this.#events.emit(
        { kind: 'exception', cpu: this.index, time, vector, errorCode, rip },
        vector | ((errorCode ?? 0) << 8),
        rip,
      );
    }
    const delivered = deliver(this.state, this.#memory, event);
    if (delivered !== undefined) return;
    this.activity = 'shutdown';
    this.shutdownVector = event.vector;
    this.#events.emit(
      { kind: 'shutdown', cpu: this.index, time, rip, vector: event.vector },
      event.vector,
      rip,
    );
    this.changed();
  }

  /** From the engine: an exception or INT n. */
  exception(vector: number): void {
    const { state } = this;
    // A handler that cannot even be fetched raises exceptions without end and executes nothing: time must pass all the same.
    if (this.#begun === this.#exceptionAt && !this.#engine.countEvent()) {
      state.exceptionDelivered();
      return;
    }
    this.#exceptionAt = this.#begun;
    if (vector === VECTOR.DB && !state.softwareInterrupt) this.debug.singleStepped();
    if (state.softwareInterrupt)
      this.#deliver({ vector, kind: 'software', length: this.#softwareInterruptLength(vector) });
    else if (EXCEPTIONS[vector]?.errorCode)
      this.#deliver({ vector, kind: 'exception', errorCode: state.errorCode });
    else this.#deliver({ vector, kind: 'exception' });
  }

  /** INT3 and INTO have an opcode of one byte; INT n, which can raise the same vectors, has two. */
  #softwareInterruptLength(vector: number): number {
    const opcode = ONE_BYTE_INTERRUPT[vector];
    if (opcode === undefined) return 2;
    const last = BigInt.asUintN(64, this.#codeAddress(this.state.rip) - 1n);
    return this.#memory.read(this.paging, last, 1)?.[0] === opcode ? 1 : 2;
  }

  /** From the engine: SYSCALL. */
  syscall(): void {
    const { state } = this;
    if (!state.syscallEnabled || !state.in64BitMode) {
      this.#deliver({ vector: VECTOR.UD, kind: 'exception' });
      return;
    }
    const number = state.reg32(GPR.rax);
    const { rip } = state;
    this.#events.emit({ kind: 'syscall', cpu: this.index, time: this.now, number, rip }, number, rip);
    syscall(state, this.#syscallTarget);
  }

  /** From the port bus: whether the CPU may use a port. If not, nothing is to be done, and #GP follows the instruction. */
  mayAccessPort(port: number, size: number): boolean {
    const { state } = this;
    if (state.cpl === 0 || mayAccessPort(state, this.#memory, this.paging, port, size)) return true;
    this.#refused ??= { port, rax: state.reg(GPR.rax) };
    this.changed();
    return false;
  }

  #refuse(): void {
    if (this.#refused === undefined) return;
    takeBack(this.state, this.#memory, this.paging, this.#refused);
    this.#refused = undefined;
    this.#deliver({ vector: VECTOR.GP, kind: 'exception', errorCode: 0 });
  }

  get #syscallTarget(): SyscallTarget {
    const { kept } = this;
    if (this.#targetOf !== kept.changes) {
      this.#target = syscallTarget(kept.get(MSR.STAR), kept.get(MSR.LSTAR), kept.get(MSR.FMASK));
      this.#targetOf = kept.changes;
    }
    return this.#target;
  }

  /** From the engine: CPUID. */
  cpuid(): void {
    const { state } = this;
    const leaf = Number(BigInt.asUintN(32, state.reg(GPR.rax)));
    const answer = cpuid(leaf, this.index, this.#count);
    state.setReg(GPR.rax, BigInt(answer.eax));
    state.setReg(GPR.rbx, BigInt(answer.ebx));
    state.setReg(GPR.rcx, BigInt(answer.ecx));
    state.setReg(GPR.rdx, BigInt(answer.edx >>> 0));
  }

  /** From the engine: #UD, or an instruction that traps at translation. */
  invalidInstruction(): void {
    const { state } = this;
    const code = this.#codeAtRip();
    const trapped = decodeTrapped(code, state.in64BitMode);
    if (code[0] === INT1) {
      state.rip = BigInt.asUintN(64, state.rip + 1n);
      this.#deliver({ vector: VECTOR.DB, kind: 'exception' });
    } else if (trapped === undefined) {
      this.#deliver({ vector: VECTOR.UD, kind: 'exception' });
    } else {
      this.#carryOut(trapped);
    }
  }

  #carryOut(trapped: Trapped): void {
    const { state } = this;
    const refusal = trapped.execute(this);
    if (refusal !== undefined) {
      const errorCode = refusal === VECTOR.GP ? { errorCode: 0 } : {};
      this.#deliver({ vector: refusal, kind: 'exception', ...errorCode });
      return;
    }
    state.exceptionDelivered();
    state.rip = BigInt.asUintN(64, state.rip + BigInt(trapped.length));
    if ((state.systemFlags & RFLAGS.TF) === 0) return;
    this.debug.singleStepped();
    this.#deliver({ vector: VECTOR.DB, kind: 'exception' });
  }

  /** Up to 15 bytes from RIP on; fewer where the next page is not mapped. */
  #codeAtRip(): Buffer {
    const { paging } = this;
    const address = this.#codeAddress(this.state.rip);
    const onPage = PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1));
    return (
      this.#memory.read(paging, address, LONGEST_INSTRUCTION) ??
      this.#memory.read(paging, address, Math.min(onPage, LONGEST_INSTRUCTION)) ??
      Buffer.alloc(0)
    );
  }

  readMsr(msr: number): bigint | undefined {
    const value = readMsr(this, msr);
    if (value !== undefined) this.#msrEvent('read', msr, value);
    return value;
  }
  writeMsr(msr: number, value: bigint): boolean {
    const accepted = writeMsr(this, msr, value);
    if (accepted) this.#msrEvent('write', msr, value);
    return accepted;
  }
  #msrEvent(direction: 'read' | 'write', msr: number, value: bigint): void {
    this.#events.emit({ kind: 'msr', cpu: this.index, time: this.now, direction, msr, value }, msr, value);
  }

  get counter(): bigint {
    this.settlePerf();
    return this.perf.value;
  }
  get timestamp(): bigint {
    return BigInt.asUintN(64, BigInt(this.now) + this.#tscOffset);
  }
  set timestamp(value: bigint) {
    this.#tscOffset = value - BigInt(this.now);
  }
  readEngineMsr(msr: number): bigint {
    return this.#engine.readMsr(this.state, msr);
  }
  writeEngineMsr(msr: number, value: bigint): void {
    this.kept.set(msr, value);
    this.#engine.writeMsr(this.state, msr, value);
  }

  capture(): VcpuSnapshot {
    this.#engine.settle(this.state);
    return {
      state: this.state.bytes.slice(),
      kept: [...this.kept],
      perf: this.perf.capture(),
      debug: this.debug.capture(),
      apic: this.apic.capture(),
      activity: this.activity,
      nmiPending: this.nmiPending,
      time: this.time,
      retired: this.retired,
      tscOffset: this.#tscOffset,
      exceptionAt: this.#exceptionAt,
      atBreakpoint: this.#atBreakpoint,
    };
  }

  reinstate(snapshot: VcpuSnapshot): void {
    this.#engine.replace(this.state, snapshot.state);
    this.kept.clear();
    for (const [msr, value] of snapshot.kept) this.kept.set(msr, value);
    this.perf.reinstate(snapshot.perf);
    this.debug.reinstate(snapshot.debug);
    this.apic.reinstate(snapshot.apic);
    this.activity = snapshot.activity;
    this.nmiPending = snapshot.nmiPending;
    this.time = snapshot.time;
    this.retired = snapshot.retired;
    this.stopRequested = false;
    this.#tscOffset = snapshot.tscOffset;
    this.#exceptionAt = snapshot.exceptionAt;
    this.#atBreakpoint = snapshot.atBreakpoint;
  }
}
