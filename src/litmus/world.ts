/**
 * A litmus test as a World: what can happen next is that some CPU executes one instruction, with or without an event that
 * strikes it right before. An event is taken together with the first instruction of its handler, and IRET is a step of the handler.
 */
import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import { RFLAGS } from '../../emu/cpu/architecture.js';
import type { Vcpu, VcpuSnapshot } from '../../emu/cpu/vcpu.js';
import type { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import type { World } from '../explore/explore.js';
import { AT, enter, IRQ_VECTOR, newBoard, perCpuPage, writable } from './board.js';
import type { Valuation } from './condition.js';
import { locationName } from './condition.js';
import type { Handler, PlacedVariable, Program } from './program.js';
import { REGISTERS } from './registers.js';
import type { Location, Value } from './test.js';

/** One thing that can happen. */
export interface Step {
  /** The CPU that executes an instruction; -1: nothing happens any more, though an event might still strike. */
  readonly cpu: number;
  /** The event that strikes it before, by its place in `program.handlers`. */
  readonly strike?: number;
}

/** What the search changes besides the machine: numbers only, so that copying is cheap. */
interface Progress {
  /** Steps by CPU. */
  readonly steps: number[];
  /** Strikes by handler. */
  readonly struck: number[];
  /** By handler: 1 when a boundary of its window has been passed without a strike. */
  readonly passed: number[];
  /** By CPU: what the read-modify-write under way has loaded. */
  readonly loaded: (bigint | undefined)[];
  /** By CPU: 1 when it has met an exception. */
  readonly faulted: number[];
  /** 1 when the run has been ended though an event might still strike. */
  readonly ended: number[];
}

export interface LitmusSnapshot {
  readonly memory: Buffer;
  readonly cpus: readonly VcpuSnapshot[];
  readonly progress: Progress;
}

const END_OF_RUN: Step = { cpu: -1 };
const APIC_EOI = 0xb0;

export class LitmusWorld implements World<Step, LitmusSnapshot> {
  readonly machine: Machine;
  /** The final states that have been met, by the outcome that names them; values are those of `locations`. */
  readonly states = new Map<string, FinalState>();
  readonly #program: Program;
  readonly #locations: readonly Location[];
  readonly #writable: { readonly from: number; readonly size: number };
  readonly #ends: readonly number[];
  #progress: Progress;
  #executedAt: number | undefined;
  /** Of the CPUs that have done nothing since. */
  readonly #captures: (VcpuSnapshot | undefined)[] = [];

  /** @param locations what tells final states apart. */
  constructor(program: Program, locations: readonly Location[]) {
    const { cpus, columns, handlers } = program;
    this.#program = program;
    this.#locations = locations;
    this.#writable = writable(cpus);
    this.machine = newBoard(cpus);
    this.#progress = {
      steps: Array(cpus).fill(0),
      struck: Array(handlers.length).fill(0),
      passed: Array(handlers.length).fill(0),
      loaded: Array(cpus).fill(undefined),
      faulted: Array(cpus).fill(0),
      ended: [0],
    };
    for (const { address, bytes } of columns) this.machine.memory.writePhysical(phys(address), bytes);
    const code = columns.filter(({ kind }) => kind === 'code').sort((a, b) => a.cpu - b.cpu);
    this.#ends = code.map(({ end }) => end);
    for (const { cpu, address } of code) {
      const handler = (kind: 'nmi' | 'irq'): number | undefined =>
        columns.find((column) => column.cpu === cpu && column.kind === kind)?.address;
      enter(this.machine, cpu, address, { nmi: handler('nmi'), irq: handler('irq') });
    }
    for (const variable of program.variables.values()) this.#initialise(variable);
    for (const { cpu, name, value } of program.test.registers) {
      const { gpr, size } = REGISTERS.get(name)!;
      this.machine.cpus[cpu]!.state.setReg(gpr, BigInt.asUintN(8 * size, this.#valueOf(value)));
    }
  }

  #initialise(variable: PlacedVariable): void {
    const { size, values, perCpu } = variable;
    for (let cpu = 0; cpu < (perCpu ? this.#program.cpus : 1); cpu++) {
      const address = variable.address + perCpuPage(cpu) - perCpuPage(0);
      for (const [index, value] of values.entries())
        this.#write(address + size * index, size, this.#valueOf(value));
    }
  }

  #valueOf(value: Value): bigint {
    return typeof value === 'bigint' ? value : BigInt(this.#program.variables.get(value.addressOf)!.address);
  }

  choices(): readonly Step[] {
    const { handlers, test } = this.#program;
    const { ended, steps, loaded, struck } = this.#progress;
    if (ended[0] === 1) return [];
    const choices: Step[] = [];
    let mayEnd = true;
    for (const { index: cpu } of this.machine.cpus) {
      if (this.#isFaulted(cpu) || steps[cpu]! >= test.bound) continue;
      if (this.#canRun(cpu)) {
        choices.push({ cpu });
        mayEnd = false;
      }
      if (loaded[cpu] !== undefined) continue;
      for (const [strike, handler] of handlers.entries()) {
        if (handler.cpu !== cpu || struck[strike]! >= handler.most || !this.#isOpen(handler)) continue;
        choices.push({ cpu, strike });
        mayEnd &&= struck[strike]! >= handler.least;
      }
    }
    if (mayEnd && choices.length > 0) choices.push(END_OF_RUN);
    return choices;
  }

  #isFaulted(cpu: number): boolean {
    return this.#progress.faulted[cpu] === 1;
  }

  #isOpen({ cpu, window }: Handler): boolean {
    if (window === undefined) return true;
    const rip = Number(this.machine.cpus[cpu]!.state.rip);
    return rip >= window.from && rip <= window.to;
  }

  /** Whether a CPU has something to execute without a further strike: code before its end, or a handler that can be entered. */
  #canRun(cpu: number): boolean {
    const vcpu = this.machine.cpus[cpu]!;
    if (vcpu.activity === 'running' && !this.#isAtEnd(cpu)) return true;
    return (vcpu.nmiPending && !vcpu.state.nmiBlocked) || this.#takesInterrupt(vcpu);
  }

  #takesInterrupt(vcpu: Vcpu): boolean {
    return vcpu.apic.pendingVector() >= 0 && (vcpu.state.systemFlags & RFLAGS.IF) !== 0;
  }

  take({ cpu, strike }: Step): void {
    const progress = this.#progress;
    if (cpu < 0) {
      progress.ended[0] = 1;
      return;
    }
    this.#captures[cpu] = undefined;
    progress.steps[cpu]!++;
    if (progress.loaded[cpu] !== undefined) this.#finishReadModifyWrite(cpu);
    else {
      this.#meetEvents(cpu, strike);
      if (!this.#isFaulted(cpu)) this.#begin(cpu);
    }
    if (Number(this.machine.cpus[cpu]!.state.rip) === AT.fault) progress.faulted[cpu] = 1;
  }

  /**
   * Takes a step and tells which instruction it has executed, or which half of one.
   * @returns undefined when it has executed none.
   */
  observe(step: Step): { address: number; half?: 'load' | 'store' } | undefined {
    if (step.cpu < 0) return undefined;
    const isStore = this.#progress.loaded[step.cpu] !== undefined;
    this.#executedAt = undefined;
    this.take(step);
    if (this.#progress.loaded[step.cpu] !== undefined)
      return { address: Number(this.machine.cpus[step.cpu]!.state.rip), half: 'load' };
    if (this.#executedAt === undefined) return undefined;
    return { address: this.#executedAt, ...(isStore ? { half: 'store' } : {}) };
  }

  /** Lets the event of this step arrive, and the CPU take what it may. */
  #meetEvents(cpu: number, strike: number | undefined): void {
    const { struck, passed } = this.#progress;
    for (const [index, handler] of this.#program.handlers.entries()) {
      if (handler.cpu !== cpu) continue;
      if (index === strike) {
        this.machine.inject(cpu, handler.kind === 'nmi' ? { nmi: true } : { vector: IRQ_VECTOR });
        struck[index]!++;
      } else if (passed[index] === 0 && this.#isOpen(handler)) passed[index] = 1;
    }
    this.#deliver(cpu);
    // A CPU at its end spins there: one turn lifts the shadow of an STI before it.
    if (this.#isAtEnd(cpu) && this.#canRun(cpu)) {
      this.#execute(cpu);
      this.#deliver(cpu);
    }
  }

  #isAtEnd(cpu: number): boolean {
    const { activity, state } = this.machine.cpus[cpu]!;
    return activity === 'running' && Number(state.rip) === this.#ends[cpu];
  }

  /** The interrupt controller takes every interrupt for ended as soon as it is delivered, so a handler need not. */
  #deliver(cpu: number): void {
    if (this.machine.deliver(cpu) !== undefined) this.#progress.faulted[cpu] = 1;
    this.machine.cpus[cpu]!.apic.write(APIC_EOI, 0);
  }

  #begin(cpu: number): void {
    if (this.#isAtEnd(cpu)) return;
    const { state } = this.machine.cpus[cpu]!;
    const operand = this.#program.unlocked.get(Number(state.rip));
    const loaded = operand && this.#read(operand.address(state), operand.size);
    if (loaded === undefined) this.#execute(cpu);
    else this.#progress.loaded[cpu] = loaded;
  }

  /** The second half: the instruction runs whole, on the value that its first half has found. */
  #finishReadModifyWrite(cpu: number): void {
    const { state } = this.machine.cpus[cpu]!;
    const { address, size } = this.#program.unlocked.get(Number(state.rip))!;
    this.#write(address(state), size, this.#progress.loaded[cpu]!);
    this.#progress.loaded[cpu] = undefined;
    this.#execute(cpu);
  }

  #execute(cpu: number): void {
    this.#executedAt = Number(this.machine.cpus[cpu]!.state.rip);
    if (this.machine.step(cpu) !== undefined) this.#progress.faulted[cpu] = 1;
  }

  /** A word of what can be written; undefined elsewhere, where the instruction will fault by itself. */
  #read(address: number, size: number): bigint | undefined {
    const { from, size: length } = this.#writable;
    if (address < from || address + size > from + length) return undefined;
    const bytes = this.machine.memory.readPhysical(phys(address), size)!;
    return BigInt(`0x${bytes.reverse().toString('hex')}`);
  }

  #write(address: number, size: number, value: bigint): void {
    const hex = BigInt.asUintN(8 * size, value)
      .toString(16)
      .padStart(2 * size, '0');
    this.machine.memory.writePhysical(phys(address), Buffer.from(hex, 'hex').reverse());
  }

  snapshot(): LitmusSnapshot {
    return {
      memory: this.#memory(),
      cpus: this.machine.cpus.map(({ index }) => this.#capture(index)),
      progress: copyOf(this.#progress),
    };
  }

  #memory(): Buffer {
    return this.machine.memory.readPhysical(phys(this.#writable.from), this.#writable.size)!;
  }

  /** A step changes one CPU, so of the others there is a capture already. */
  #capture(cpu: number): VcpuSnapshot {
    const capture = this.#captures[cpu] ?? this.machine.cpus[cpu]!.capture();
    this.#captures[cpu] = capture;
    return capture;
  }

  restore({ memory, cpus, progress }: LitmusSnapshot): void {
    this.machine.memory.writePhysical(phys(this.#writable.from), memory);
    for (const [index, capture] of cpus.entries()) {
      if (this.#captures[index] === capture) continue;
      this.machine.cpus[index]!.reinstate(capture);
      this.#captures[index] = capture;
    }
    this.#progress = copyOf(progress);
  }

  /** All that the future depends on: what can be written, the whole of each CPU, and how far the run is. */
  identity(): string {
    const { steps, struck, passed, loaded, faulted } = this.#progress;
    const hash = createHash('sha1').update(this.#memory());
    for (const { index } of this.machine.cpus) hash.update(digestOf(this.#capture(index)));
    return hash.update([steps, struck, passed, loaded, faulted].join(';')).digest('base64');
  }

  /** A run in which an event had a chance and did not strike often enough does not count: another run has that strike. */
  outcome(): string | undefined {
    const { struck, passed } = this.#progress;
    const lacks = this.#program.handlers.some(
      ({ least }, index) => struck[index]! < least && passed[index] === 1,
    );
    if (lacks) return undefined;
    const values = new Map(
      this.#locations.map((location) => [locationName(location), this.#valueAt(location)]),
    );
    for (const { index: cpu } of this.machine.cpus) {
      for (const kind of ['fault', 'hang'] as const) {
        const location: Location = { kind, cpu };
        values.set(locationName(location), this.#valueAt(location));
      }
    }
    const name = [...values].map(([location, value]) => `${location}=${value}`).join(' ');
    if (!this.states.has(name)) this.states.set(name, new FinalState(this.#program, values));
    return name;
  }

  #valueAt(location: Location): bigint {
    switch (location.kind) {
      case 'register': {
        const { gpr, size } = REGISTERS.get(location.name)!;
        return BigInt.asUintN(8 * size, this.machine.cpus[location.cpu]!.state.reg(gpr));
      }
      case 'memory': {
        const { address, size } = this.#program.variables.get(location.name)!;
        const page = location.cpu === undefined ? 0 : perCpuPage(location.cpu) - perCpuPage(0);
        return this.#read(address + page + size * location.index, size)!;
      }
      case 'fault':
        return BigInt(this.#isFaulted(location.cpu));
      case 'hang':
        return BigInt(!this.#isFaulted(location.cpu) && !this.#isAtEnd(location.cpu));
    }
  }

  close(): void {
    this.machine.close();
  }
}

const digests = new WeakMap<VcpuSnapshot, string>();

function digestOf(capture: VcpuSnapshot): string {
  let digest = digests.get(capture);
  if (digest === undefined) {
    digest = createHash('sha1').update(serialize(capture)).digest('base64');
    digests.set(capture, digest);
  }
  return digest;
}

const copyOf = ({ steps, struck, passed, loaded, faulted, ended }: Progress): Progress => ({
  steps: [...steps],
  struck: [...struck],
  passed: [...passed],
  loaded: [...loaded],
  faulted: [...faulted],
  ended: [...ended],
});

/** What a run has left behind. */
export class FinalState implements Valuation {
  readonly values: ReadonlyMap<string, bigint>;
  readonly #program: Program;

  constructor(program: Program, values: ReadonlyMap<string, bigint>) {
    this.#program = program;
    this.values = values;
  }

  read(location: Location): bigint {
    return this.values.get(locationName(location))!;
  }

  width(location: Location): number {
    if (location.kind === 'register') return REGISTERS.get(location.name)!.size;
    if (location.kind === 'memory') return this.#program.variables.get(location.name)!.size;
    return 1;
  }

  addressOf(variable: string): bigint {
    return BigInt(this.#program.variables.get(variable)!.address);
  }
}
