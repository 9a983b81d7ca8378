/**
 * One virtual CPU: a core with its local APIC, what it is doing, and what is pending at it. `runTo` is the heart of the
 * machine: it alternates between delivering what is pending at an instruction boundary and running up to the next boundary
 * at which something can become pending.
 */
import type { LocalApic } from '../devices/local-apic.js';
import type { Board } from '../devices/pc-board.js';
import type { RunEnd } from '../engine/client.js';
import { RFLAGS, VECTOR } from './architecture.js';
import { Core } from './core.js';
import type { DebugState } from './debug-registers.js';
import type { PerfState } from './perf-counter.js';
import { enterRealMode } from './reset.js';

/** Executing; stopped by HLT; waiting for a start-up IPI after INIT; or stopped for good by a triple fault. */
export type Activity = 'running' | 'halted' | 'wait-for-sipi' | 'shutdown';

/** Why `runTo` came back before its time was over. */
export type VcpuStop = 'breakpoint' | 'bus-error' | 'shutdown' | 'requested' | 'budget';

export interface VcpuSnapshot {
  readonly state: Uint8Array;
  readonly kept: readonly (readonly [number, bigint])[];
  readonly lasting: readonly (readonly [number, bigint])[];
  readonly perf: PerfState;
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

export class Vcpu extends Core {
  /** What stands beside the local APIC, at the first CPU of a PC; set like it. */
  board: Board | undefined;
  activity: Activity = 'wait-for-sipi';
  nmiPending = false;
  /** The exception whose delivery ended in a shutdown. */
  shutdownVector = -1;
  /** Set to leave `runTo` at the next boundary. */
  stopRequested = false;
  /** The breakpoint that has ended the last run: the next one passes it. */
  #atBreakpoint: bigint | undefined;

  /** What is pending has changed: a run under way ends at the next boundary. */
  changed(): void {
    if (this.running) this.engine.curtail();
  }
  protected shutDown(vector: number): void {
    this.activity = 'shutdown';
    this.shutdownVector = vector;
  }
  settlePerf(): void {
    if (this.perf.settle(this.begun)) this.apic.performanceOverflow();
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
    this.events.emit(
      { kind: 'start', cpu: this.index, time: this.now, rip: BigInt(vector << 12) },
      vector,
      0n,
    );
  }

  get #interruptible(): boolean {
    return (this.state.systemFlags & RFLAGS.IF) !== 0;
  }

  /** The 8259s ask for an interrupt, and LINT0 lets them. */
  get #external(): boolean {
    return this.board?.intr === true && this.apic.takesExternal;
  }
  get #interruptPending(): boolean {
    return this.apic.pendingVector() >= 0 || this.#external;
  }

  /** Whether something pending wakes a halted CPU. */
  get #wakes(): boolean {
    if (this.nmiPending && !this.state.nmiBlocked) return true;
    return this.#interruptible && this.#interruptPending;
  }

  /** When a clock beside this CPU has something to do next. */
  get #deadline(): number {
    const { board } = this;
    return board === undefined ? this.apic.deadline : Math.min(this.apic.deadline, board.deadline);
  }
  /** Lets the clocks beside this CPU do what is due. */
  #advance(): void {
    this.apic.advance(this.time);
    this.board?.advance(this.time);
    if (this.perf.advance(this.begun)) this.apic.performanceOverflow();
  }

  /** When a CPU that is not running will wake without help from outside; infinity: never. */
  get wakesAt(): number {
    if (this.activity !== 'halted' || !this.#interruptible) return Number.POSITIVE_INFINITY;
    const timer = this.apic.timerInterruptAt;
    return this.board === undefined ? timer : Math.min(timer, this.board.deadline);
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
      this.#advance();
      if (this.activity !== 'running') {
        if (this.activity !== 'halted' || !this.#wakes) {
          this.time = Math.min(until, Math.max(this.#deadline, this.time + 1));
          continue;
        }
        this.activity = 'running';
      }
      if (spent >= budget) return { stop: 'budget', spent };
      const waiting = this.#deliverPending();
      if (this.#isShutdown()) return { stop: 'shutdown', spent };
      const horizon = Math.min(until, this.#deadline) - this.time;
      const limit = Math.max(Math.min(horizon, budget - spent, this.perf.deadline - this.retired), 1);
      const { end, executed } = waiting ? this.#executeHolding(limit) : this.#execute(limit);
      spent += executed;
      this.refuse();
      if (this.#isShutdown()) return { stop: 'shutdown', spent };
      if (end === 'breakpoint' || end === 'bus-error') return { stop: end, spent };
    }
    if (!this.stopRequested) return { stop: undefined, spent };
    this.stopRequested = false;
    return { stop: 'requested', spent };
  }

  /** Delivers what is pending and may be taken at the present boundary; executes nothing. @returns a shutdown that came of it. */
  deliver(): VcpuStop | undefined {
    this.#advance();
    if (this.activity === 'halted' && this.#wakes) this.activity = 'running';
    if (this.activity === 'running') this.#deliverPending();
    return this.#isShutdown() ? 'shutdown' : undefined;
  }

  get #takesNmi(): boolean {
    const { state } = this;
    return this.nmiPending && !state.nmiBlocked && !(state.shadow && !this.#shadowOfSti());
  }

  /** Whether an event would be delivered at the present boundary, before the next instruction. */
  get takesEvent(): boolean {
    this.#advance();
    const { state } = this;
    if (this.activity !== 'running') return this.activity === 'halted' && this.#wakes;
    if (this.#takesNmi) return true;
    return !state.shadow && this.#interruptible && this.#interruptPending;
  }

  /** The breakpoint that has ended the last run is met again by the next one, for who has come to watch since. */
  meetAgain(): void {
    this.#atBreakpoint = undefined;
  }

  #isShutdown(): boolean {
    return this.activity === 'shutdown';
  }

  /** Executes while something is held back: up to the next boundary at which it may be taken. */
  #executeHolding(limit: number): { end: RunEnd; executed: number } {
    if (limit === 1 || this.state.shadow || !this.state.in64BitMode) return this.#execute(1);
    const result = this.#execute(limit, true);
    return result.end === 'guard' && result.executed === 0 ? this.#execute(1) : result;
  }

  #execute(limit: number, guarded = false): { end: RunEnd; executed: number } {
    this.running = true;
    try {
      const result = guarded
        ? this.engine.runGuarded(this.state, limit, this.#atBreakpoint)
        : this.engine.run(this.state, limit, this.#atBreakpoint);
      this.#atBreakpoint = result.end === 'breakpoint' ? this.state.rip : undefined;
      this.time += result.executed;
      this.retired += result.executed;
      if (result.end === 'halt' && this.activity === 'running') {
        this.activity = 'halted';
        const rip = this.state.rip;
        this.running = false;
        this.events.emit({ kind: 'halt', cpu: this.index, time: this.time, rip }, 0, rip);
      }
      return result;
    } finally {
      this.running = false;
    }
  }

  /**
   * Delivers the most urgent pending event that may be taken at this boundary (SDM 3A, "Priority Among Concurrent
   * Events", 6.9). @returns whether something pending is held back, so that the next boundary must be looked at too.
   */
  #deliverPending(): boolean {
    const { state } = this;
    if (this.#takesNmi) {
      this.nmiPending = false;
      this.events.emit({ kind: 'nmi', cpu: this.index, time: this.time, rip: state.rip }, 0, state.rip);
      this.raise({ vector: VECTOR.NMI, kind: 'nmi' });
    }
    const requested = this.apic.pendingVector();
    if ((requested < 0 && !this.#external) || this.#isShutdown()) return this.nmiPending;
    if (state.shadow || !this.#interruptible) return true;
    const vector = this.#acknowledge(requested);
    this.events.emit(
      { kind: 'interrupt', cpu: this.index, time: this.time, vector, rip: state.rip },
      vector,
      state.rip,
    );
    this.raise({ vector, kind: 'external' });
    return this.nmiPending || this.#interruptPending;
  }

  /** The local APIC's own requests come before those of the 8259s. @returns the vector */
  #acknowledge(requested: number): number {
    if (requested < 0) return this.board!.acknowledge();
    this.apic.acknowledge(requested);
    return requested;
  }

  /**
   * The engine keeps one mark for both shadows, but only the one of MOV SS and POP SS holds back NMIs (SDM 3A, "Masking Exceptions
   * and Interrupts When Switching Stacks", 6.8.3; STI: SDM 2B). STI is one byte; it lies right before RIP.
   */
  #shadowOfSti(): boolean {
    const before = this.memory.read(
      this.paging,
      BigInt.asUintN(64, this.codeAddress(this.state.rip) - 1n),
      1,
    );
    return before?.[0] === CS_CODE_STI;
  }

  capture(): VcpuSnapshot {
    return {
      state: this.engine.copyOf(this.state),
      kept: [...this.kept],
      lasting: [...this.lasting],
      perf: this.perf.capture(),
      debug: this.debug.capture(),
      apic: this.apic.capture(),
      activity: this.activity,
      nmiPending: this.nmiPending,
      time: this.time,
      retired: this.retired,
      tscOffset: this.tscOffset,
      exceptionAt: this.exceptionAt,
      atBreakpoint: this.#atBreakpoint,
    };
  }

  reinstate(snapshot: VcpuSnapshot): void {
    this.engine.replace(this.state, snapshot.state);
    this.kept.clear();
    for (const [msr, value] of snapshot.kept) this.kept.set(msr, value);
    this.lasting.clear();
    for (const [msr, value] of snapshot.lasting) this.lasting.set(msr, value);
    this.perf.reinstate(snapshot.perf);
    this.debug.reinstate(snapshot.debug);
    this.apic.reinstate(snapshot.apic);
    this.activity = snapshot.activity;
    this.nmiPending = snapshot.nmiPending;
    this.time = snapshot.time;
    this.retired = snapshot.retired;
    this.stopRequested = false;
    this.tscOffset = snapshot.tscOffset;
    this.exceptionAt = snapshot.exceptionAt;
    this.#atBreakpoint = snapshot.atBreakpoint;
  }
}
