/**
 * What one CPU does by itself while the engine runs its code: it takes exceptions, enters the kernel by SYSCALL, answers CPUID,
 * and carries out the instructions that trap. When it runs, and what comes to it from outside, is the business of `Vcpu`.
 */
import type { LocalApic } from '../devices/local-apic.js';
import { type CpuState, GPR } from '../engine/cpu-state.js';
import type { Engine } from '../engine/engine.js';
import { PAGE_SIZE } from '../engine/host-memory.js';
import { exceptionWord, msrWord } from '../event-words.js';
import type { EventBus } from '../events.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { Paging } from '../memory/page-walk.js';
import { EXCEPTIONS, MSR, RFLAGS, VECTOR } from './architecture.js';
import { cpuid } from './cpuid.js';
import { DebugRegisters } from './debug-registers.js';
import { deliver, type SyscallTarget, syscall, syscallTarget } from './delivery.js';
import type { CpuEvent } from './delivery-fault.js';
import type { CpuModel } from './model.js';
import { readMsr, writeMsr } from './msr.js';
import { KeptMsrs, type MsrHost } from './msr-row.js';
import { pagingOfState } from './paging.js';
import { PerfCounters } from './perf-counter.js';
import { mayAccessPort } from './port-access.js';
import {
  decodeTrapped,
  executeReading,
  hasLock,
  LONGEST_INSTRUCTION,
  type Trapped,
  type TrappedHost,
} from './trapped.js';

export interface CoreParts {
  readonly index: number;
  readonly count: number;
  readonly model: CpuModel;
  readonly engine: Engine;
  readonly memory: GuestMemory;
  readonly events: EventBus;
}

/** RDPMC names the fixed counters from here on (SDM 2B, "RDPMC", table 4-16). */
const RDPMC_FIXED = 1 << 30;
const INT1 = 0xf1;
const ONE_BYTE_INTERRUPT: Readonly<Record<number, number>> = { 3: 0xcc, 4: 0xce };

export abstract class Core implements MsrHost, TrappedHost {
  readonly index: number;
  readonly model: CpuModel;
  readonly state: CpuState;
  readonly perf: PerfCounters;
  readonly debug = new DebugRegisters();
  readonly kept = new KeptMsrs();
  readonly lasting = new KeptMsrs();
  /** Set by the machine right after construction. */
  apic!: LocalApic;
  /** Guest time at this CPU when nothing of it is running, in nanoseconds. */
  time = 0;
  /** Instructions this CPU has executed. */
  retired = 0;
  /** The engine is running this CPU's code. */
  protected running = false;
  protected tscOffset = 0n;
  /** Instructions retired at the last exception. */
  protected exceptionAt = -1;
  protected readonly engine: Engine;
  protected readonly memory: GuestMemory;
  protected readonly events: EventBus;
  readonly #count: number;
  #target = syscallTarget();
  /** The state of `kept` that `#target` was made of. */
  #targetOf = 0;
  /** An instruction that became CPUID, the fault that it is to raise, and the state before it where a block may run on behind it. */
  #refusal:
    | { readonly rip: bigint; readonly vector: number; readonly before: Uint8Array | undefined }
    | undefined;

  constructor(parts: CoreParts) {
    this.index = parts.index;
    this.model = parts.model;
    this.perf = new PerfCounters(parts.model.perf);
    this.#count = parts.count;
    this.engine = parts.engine;
    this.memory = parts.memory;
    this.events = parts.events;
    this.state = parts.engine.newState();
  }

  /** What is pending has changed: a run under way ends at the next boundary. */
  abstract changed(): void;
  /** Lets the performance counters count up to now, and raise their LVT entry. */
  abstract settlePerf(): void;
  /** No handler can take the exception (SDM 3A, "Double Fault Exception", 6.15). */
  protected abstract shutDown(vector: number): void;

  /** The counters have been set up anew. */
  perfChanged(): void {
    this.changed();
  }

  /** Guest time at the instruction that is executing. */
  get now(): number {
    return this.running ? this.time + this.engine.retired : this.time;
  }

  /** Instructions that this CPU has begun before the one that is executing. */
  get begun(): number {
    return this.running ? this.retired + this.engine.retired : this.retired;
  }

  get paging(): Paging {
    return pagingOfState(this.state);
  }

  /** Linear address of an instruction; only outside of 64-bit mode is there a base to add. */
  protected codeAddress(rip: bigint): bigint {
    return this.state.longMode ? rip : rip + this.state.segment('cs').base;
  }

  /** Delivers an event at the present boundary, or shuts the CPU down when nothing can take it. */
  protected raise(event: CpuEvent): void {
    const rip = this.state.rip;
    const time = this.now;
    if (event.kind === 'exception' || event.kind === 'software') {
      const { vector, errorCode } = event;
      this.events.emit(
        { kind: 'exception', cpu: this.index, time, vector, errorCode, rip },
        exceptionWord(vector, errorCode),
        rip,
      );
    }
    const delivered = deliver(this.state, this.memory, event);
    if (delivered !== undefined) return;
    this.shutDown(event.vector);
    this.events.emit(
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
    if (this.begun === this.exceptionAt && !this.engine.countEvent()) {
      state.exceptionDelivered();
      return;
    }
    this.exceptionAt = this.begun;
    if (vector === VECTOR.DB && !state.softwareInterrupt) this.debug.singleStepped();
    if (state.softwareInterrupt)
      this.raise({ vector, kind: 'software', length: this.#softwareInterruptLength(vector) });
    else if (EXCEPTIONS[vector]?.errorCode)
      this.raise({ vector, kind: 'exception', errorCode: state.errorCode });
    else this.raise({ vector, kind: 'exception' });
  }

  /** INT3 and INTO have an opcode of one byte; INT n, which can raise the same vectors, has two. */
  #softwareInterruptLength(vector: number): number {
    const opcode = ONE_BYTE_INTERRUPT[vector];
    if (opcode === undefined) return 2;
    const last = BigInt.asUintN(64, this.codeAddress(this.state.rip) - 1n);
    return this.memory.read(this.paging, last, 1)?.[0] === opcode ? 1 : 2;
  }

  /** From the engine: SYSCALL. */
  syscall(): void {
    const { state } = this;
    if (!state.syscallEnabled || !state.in64BitMode) {
      this.raise({ vector: VECTOR.UD, kind: 'exception' });
      return;
    }
    const number = state.reg32(GPR.rax);
    const { events, index: cpu, now: time } = this;
    if (events.heard('syscall')) {
      const { rip } = state;
      events.emit({ kind: 'syscall', cpu, time, number, rip }, number, rip);
    } else events.note('syscall', cpu, time, number, state.ripLow);
    syscall(state, this.#syscallTarget);
  }

  /** From the port bus: whether the CPU may use a port. If not, nothing is to be done, and #GP follows the instruction. */
  mayAccessPort(port: number, size: number): boolean {
    const { state } = this;
    if (state.cpl === 0 || mayAccessPort(state, this.memory, this.paging, port, size)) return true;
    this.#refuseLater(VECTOR.GP, true);
    return false;
  }

  /**
   * The instruction under way runs out, and then raises `vector`.
   * @param hasEffect it changes registers as it runs out
   */
  #refuseLater(vector: number | undefined, hasEffect = false): void {
    if (vector === undefined) return;
    const before = this.engine.isExact && !hasEffect ? undefined : this.engine.copyOf(this.state);
    this.#refusal ??= { rip: this.state.rip, vector, before };
    this.changed();
  }

  /** Raises what an instruction was refused that has just run out without effect. */
  protected refuse(): void {
    if (this.#refusal === undefined) return;
    const { rip, vector, before } = this.#refusal;
    this.#refusal = undefined;
    if (before !== undefined) this.engine.replace(this.state, before);
    this.state.rip = rip;
    this.raise({ vector, kind: 'exception', ...(vector === VECTOR.GP && { errorCode: 0 }) });
  }

  get #syscallTarget(): SyscallTarget {
    const { kept } = this;
    if (this.#targetOf !== kept.changes) {
      this.#target = syscallTarget(kept.get(MSR.STAR), kept.get(MSR.LSTAR), kept.get(MSR.FMASK));
      this.#targetOf = kept.changes;
    }
    return this.#target;
  }

  /** From the engine: CPUID, or an instruction that was made one at translation. */
  cpuid(): void {
    const { state } = this;
    const reading = state.in64BitMode ? this.engine.readingAt(state.rip) : undefined; // elsewhere RIP lacks the base of CS
    if (reading !== undefined) {
      this.#refuseLater(executeReading(reading, this));
      return;
    }
    const code = this.#codeAtRip();
    const trapped = decodeTrapped(code, state.in64BitMode);
    if (trapped !== undefined || hasLock(code)) {
      this.#refuseLater(trapped === undefined ? VECTOR.UD : trapped.execute(this));
      return;
    }
    const answer = cpuid(state.reg32(GPR.rax), state.reg32(GPR.rcx), {
      index: this.index,
      count: this.#count,
      model: this.model,
      hasApic: this.apic.isPresent,
    });
    state.setReg32(GPR.rax, answer.eax);
    state.setReg32(GPR.rbx, answer.ebx);
    state.setReg32(GPR.rcx, answer.ecx);
    state.setReg32(GPR.rdx, answer.edx);
  }

  /** From the engine: #UD, or an instruction that traps at translation. */
  invalidInstruction(): void {
    const { state } = this;
    const code = this.#codeAtRip();
    const trapped = decodeTrapped(code, state.in64BitMode);
    if (code[0] === INT1) {
      state.rip = BigInt.asUintN(64, state.rip + 1n);
      this.raise({ vector: VECTOR.DB, kind: 'exception' });
    } else if (trapped === undefined) {
      this.raise({ vector: VECTOR.UD, kind: 'exception' });
    } else {
      this.#carryOut(trapped);
    }
  }

  #carryOut(trapped: Trapped): void {
    const { state } = this;
    const refusal = trapped.execute(this);
    if (refusal !== undefined) {
      const errorCode = refusal === VECTOR.GP ? { errorCode: 0 } : {};
      this.raise({ vector: refusal, kind: 'exception', ...errorCode });
      return;
    }
    state.exceptionDelivered();
    state.rip = BigInt.asUintN(64, state.rip + BigInt(trapped.length));
    if ((state.systemFlags & RFLAGS.TF) === 0) return;
    this.debug.singleStepped();
    this.raise({ vector: VECTOR.DB, kind: 'exception' });
  }

  /** Up to 15 bytes from RIP on; fewer where the next page is not mapped. */
  #codeAtRip(): Buffer {
    const { paging } = this;
    const address = this.codeAddress(this.state.rip);
    const onPage = PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1));
    return (
      this.memory.read(paging, address, LONGEST_INSTRUCTION) ??
      this.memory.read(paging, address, Math.min(onPage, LONGEST_INSTRUCTION)) ??
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
    this.events.emit(
      { kind: 'msr', cpu: this.index, time: this.now, direction, msr, value },
      msrWord(direction, msr),
      value,
    );
  }

  readCounter(index: number): bigint | undefined {
    const { counters, fixedCounters } = this.model.perf;
    const fixed = index - RDPMC_FIXED;
    if (fixed >= 0 ? fixed >= fixedCounters : index >= counters) return undefined;
    this.settlePerf();
    return this.perf.value(fixed >= 0 ? counters + fixed : index);
  }
  get timestamp(): bigint {
    return BigInt.asUintN(64, BigInt(this.now) + this.tscOffset);
  }
  set timestamp(value: bigint) {
    this.timestampOffset = value - BigInt(this.now);
  }
  get timestampOffset(): bigint {
    return BigInt.asUintN(64, this.tscOffset);
  }
  set timestampOffset(value: bigint) {
    this.tscOffset = value;
    this.apic.timestampChanged();
  }
  readEngineMsr(msr: number): bigint {
    return this.engine.readMsr(this.state, msr);
  }
  writeEngineMsr(msr: number, value: bigint): void {
    this.kept.set(msr, value);
    this.engine.writeMsr(this.state, msr, value);
  }
}
