/**
 * Watches a guest kernel of this project: at breakpoints on its routines, at the events that lead out of user mode, and at the first
 * user instruction behind them. It keeps the history and asks each rule; it changes nothing in the guest.
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { EventKind } from '../../emu/events.js';
import type { Machine } from '../../emu/machine.js';
import type { Monitor, Violation } from '../sweep/monitor.js';
import { describeLog } from './end-state.js';
import {
  type Ask,
  type Entry,
  entryOf,
  type Flight,
  type History,
  mayHaveAsked,
  withCookie,
  withEntry,
  withoutTask,
} from './history.js';
import { KernelView, type TaskAt } from './kernel-view.js';
import { Routines } from './routines.js';
import type { Invariant, Seen } from './rules/rule.js';
import { INVARIANTS } from './rules/table.js';
import { behindSyscall, leaving, type UserRegisters } from './user-registers.js';

const USER_CPL = 3;
/** Events that can lead out of user mode. */
const WAYS_IN: ReadonlySet<EventKind> = new Set(['syscall', 'interrupt', 'nmi', 'exception']);

/** The rules that look at one kind of sight. */
const rulesOf = (kind: Exclude<keyof Invariant, 'id'>): readonly Invariant[] =>
  INVARIANTS.filter((invariant) => invariant[kind] !== undefined);
const RULES = {
  request: rulesOf('request'),
  call: rulesOf('call'),
  user: rulesOf('user'),
  taskExit: rulesOf('taskExit'),
  point: rulesOf('point'),
} as const;

export class Watcher implements Monitor<History> {
  readonly #machine: Machine;
  readonly #view: KernelView;
  readonly #routines: Routines;
  #history: History;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#view = new KernelView(machine);
    this.#routines = new Routines(this.#view);
    this.#history = {
      ...{ entries: [], nextEntry: 0, flights: [], tracers: [], given: [], violations: [] },
      counts: machine.cpus.map((cpu) => (this.#view.cpu(cpu.index)?.count ?? -1) | 1),
      ...{ inUser: 0, log: undefined },
    };
    const works = this.#view.tracers();
    if (typeof works !== 'string') for (const work of works) this.#register(work);
    for (const cpu of machine.cpus) this.#meet(cpu);
    this.#layBreakpoints();
    machine.events.witness((kind, cpu, _time, word) => {
      if (kind === 'shutdown')
        this.#report('no-splat', machine.cpus[cpu]!, 'expected no triple fault, found one');
      if (WAYS_IN.has(kind) && machine.cpus[cpu]!.state.cpl === USER_CPL)
        this.#leavesUser(machine.cpus[cpu]!, kind === 'syscall' ? word : undefined);
    });
    machine.onUserCode((cpu) => this.#userCode(cpu));
  }

  get violations(): readonly Violation[] {
    return this.#history.violations;
  }
  settled(): boolean {
    return this.#history.entries.every(({ asks }) => asks.every(({ answered }) => answered));
  }
  endState(): string {
    return describeLog(this.#history.log);
  }
  capture(): History {
    return this.#history;
  }
  reinstate(history: History): void {
    this.#history = history;
  }

  #layBreakpoints(): void {
    const { begins, returns, calls } = this.#routines;
    const at = (address: bigint, look: (cpu: Vcpu) => void): void => {
      this.#machine.breakpoint(address, (cpu) => {
        look(cpu);
        return false;
      });
    };
    for (const routine of ['request', 'init', 'cancel'] as const) {
      at(begins(routine), (cpu) => this.#begins(routine, cpu));
      for (const address of returns(routine)) at(address, (cpu) => this.#returns(cpu));
    }
    for (const address of calls) at(address, (cpu) => this.#calls(cpu));
    at(begins('reset'), (cpu) => this.#forgets(cpu));
    at(begins('taskExit'), (cpu) => this.#taskExit(cpu));
    for (const name of ['do_nmi', 'warn', 'panic'] as const) at(begins(name), (cpu) => this.#see(cpu, name));
  }

  /** A CPU as it stands when the watch begins. */
  #meet(cpu: Vcpu): void {
    const own = this.#view.cpu(cpu.index);
    const task = own && this.#view.task(own.task);
    if (task === undefined || cpu.state.cpl === USER_CPL || cpu.activity !== 'running') return;
    const { rip } = cpu.state;
    const isBusy = this.#routines.isInside(cpu, task);
    this.#history = withEntry(this.#history, {
      ...this.#unseen(task, isBusy),
      registers: this.#registersAt(cpu, task),
      forgotten: this.#routines.isReset(rip),
    });
    if (rip === this.#routines.begins('request')) this.#begins('request', cpu);
  }

  /** What the task on a CPU had in user mode, if its pt_regs is complete or the CPU still holds it. */
  #registersAt(cpu: Vcpu, task: TaskAt): UserRegisters | undefined {
    if (cpu.state.rip === this.#routines.begins('syscall')) return behindSyscall(cpu);
    const rsp = cpu.state.reg(GPR.rsp);
    const isComplete = rsp > task.stack && rsp <= task.stackTop - BigInt(this.#view.layout.PT_SIZE);
    return isComplete ? this.#view.ptRegs(task) : undefined;
  }

  /** The entry of a task that entered before the watch began. @param isBusy the mechanism is at work: its state says nothing certain */
  #unseen(task: TaskAt, isBusy: boolean): Entry {
    const number = this.#history.nextEntry;
    this.#history = { ...this.#history, nextEntry: number + 1 };
    const anybody = isBusy || (task.mask === undefined && task.pending);
    return {
      ...{ number, task: task.address, pid: task.pid, isOver: false, asks: [], calls: [], forgotten: false },
      registers: this.#view.ptRegs(task),
      cookie: (task.cookie & 0xffff_ffffn) === 0n ? 0n : task.cookie,
      before: anybody ? -1n : (task.mask ?? 0n),
    };
  }

  /** Looks at a CPU in the kernel; undefined while the kernel has given it no variables. */
  #see(cpu: Vcpu, name: string): Seen | undefined {
    const own = this.#view.cpu(cpu.index);
    const task = own && this.#view.task(own.task);
    if (own === undefined || task === undefined) return undefined;
    const seen: Seen = { view: this.#view, cpu, own, task, history: this.#history };
    this.#judge('point', { ...seen, name });
    return seen;
  }

  #judge<Kind extends keyof typeof RULES>(
    kind: Kind,
    seen: Parameters<NonNullable<Invariant[Kind]>>[0],
  ): void {
    for (const rule of RULES[kind]) {
      const sentence = (rule[kind] as (seen: unknown) => string | undefined)(seen);
      if (sentence !== undefined) this.#report(rule.id, seen.cpu, sentence);
    }
  }

  /** Of each invariant the first violation is kept. */
  #report(id: string, cpu: Vcpu, sentence: string): void {
    const { violations } = this.#history;
    if (violations.some((violation) => violation.id === id)) return;
    const violation = { id, sentence, cpu: cpu.index, time: cpu.now };
    this.#history = { ...this.#history, violations: [...violations, violation] };
  }

  #entryOf(task: TaskAt, isBusy = false): Entry {
    return entryOf(this.#history, task.address) ?? this.#unseen(task, isBusy);
  }

  #leavesUser(cpu: Vcpu, syscall: number | undefined): void {
    const task = this.#view.cpu(cpu.index)?.task;
    const at = task === undefined ? undefined : this.#view.task(task);
    if (at === undefined) return;
    const history = this.#history;
    const last = entryOf(history, at.address);
    const inUser = history.inUser & ~(1 << cpu.index);
    if (last !== undefined && !last.isOver) return; // no user instruction since: the same entry goes on
    const entry: Entry = {
      ...{ number: history.nextEntry, task: at.address, pid: at.pid, isOver: false },
      ...{ registers: leaving(cpu, syscall), asks: [], calls: [], cookie: 0n, forgotten: false, before: 0n },
    };
    this.#history = withEntry({ ...history, inUser, nextEntry: history.nextEntry + 1 }, entry);
  }

  /** Of each entry the first user instruction is looked at. */
  #userCode(cpu: Vcpu): boolean {
    const bit = 1 << cpu.index;
    if ((this.#history.inUser & bit) !== 0) return false;
    const own = this.#view.cpu(cpu.index);
    const task = own && this.#view.task(own.task);
    if (own === undefined || task === undefined) return false;
    const known = entryOf(this.#history, task.address);
    const entry = known ?? { ...this.#unseen(task, true), registers: undefined };
    this.#judge('user', { view: this.#view, cpu, own, task, history: this.#history, entry });
    const over = { ...entry, isOver: true, asks: [] };
    this.#history = withEntry({ ...this.#history, inUser: this.#history.inUser | bit }, over);
    return false;
  }

  /** The kernel is about to forget the entry: what comes now may be given another cookie. */
  #forgets(cpu: Vcpu): void {
    const seen = this.#see(cpu, 'unwind_reset_info');
    const entry = seen && entryOf(this.#history, seen.task.address);
    if (entry !== undefined && !entry.forgotten)
      this.#history = withEntry(this.#history, { ...entry, forgotten: true });
  }

  #begins(routine: Flight['routine'], cpu: Vcpu): void {
    const seen = this.#see(cpu, `unwind_deferred_${routine}`);
    if (seen === undefined) return;
    const { state } = cpu;
    const rsp = state.reg(GPR.rsp);
    const flight = { rsp, routine, work: state.reg(GPR.rdi), cookieAt: state.reg(GPR.rsi) };
    const others = this.#history.flights.filter((other) => other.rsp !== rsp);
    this.#history = withEntry({ ...this.#history, flights: [...others, flight] }, this.#entryOf(seen.task));
  }

  #returns(cpu: Vcpu): void {
    const rsp = cpu.state.reg(GPR.rsp);
    const flight = this.#history.flights.find((each) => each.rsp === rsp);
    if (flight === undefined) return;
    this.#history = {
      ...this.#history,
      flights: this.#history.flights.filter((each) => each !== flight),
    };
    const result = cpu.state.reg32(GPR.rax) | 0;
    if (flight.routine === 'request') this.#asked(cpu, flight, result);
    else if (flight.routine === 'cancel') this.#unregister(flight.work);
    else if (result === 0) this.#register(flight.work);
  }

  #asked(cpu: Vcpu, { work, cookieAt }: Flight, result: number): void {
    const seen = this.#see(cpu, 'unwind_deferred_request');
    if (seen === undefined) return;
    const cookie = this.#view.word(cookieAt) ?? 0n;
    const entry = this.#entryOf(seen.task);
    const tracer = this.#nameOf(work);
    this.#log({ tracer, pid: entry.pid, cookie, kind: 'asked', value: result });
    if (result < 0) return;
    this.#judge('request', { ...seen, history: this.#history, entry, tracer, work, result, cookie });
    const wasCalled =
      entry.calls.some((call) => call.work === work && call.cookie === cookie) ||
      (mayHaveAsked(entry, this.#bitOf(work)) && cookie === entry.cookie);
    const ask: Ask = { work, cookie, answered: result > 0 && wasCalled };
    const forgotten = entry.forgotten && cookie === entry.cookie;
    this.#history = withCookie(
      withEntry(this.#history, { ...entry, asks: [...entry.asks, ask], cookie, forgotten }),
      entry,
      cookie,
    );
  }

  #calls(cpu: Vcpu): void {
    const seen = this.#see(cpu, 'a call of a tracer');
    if (seen === undefined) return;
    const { state } = cpu;
    const work = state.reg(GPR.rdi);
    const cookie = state.reg(GPR.rdx);
    const trace = this.#view.trace(state.reg(GPR.rsi));
    const entry = this.#entryOf(seen.task, true);
    const tracer = this.#nameOf(work);
    const about = { entry, tracer, work, cookie, trace };
    this.#judge('call', {
      ...seen,
      ...about,
      isRegistered: this.#history.tracers.some((each) => each.work === work),
      mayHaveAsked: mayHaveAsked(entry, this.#bitOf(work)),
    });
    this.#log({ tracer, pid: entry.pid, cookie, kind: 'called', value: trace.length });
    const asks = entry.asks.map((ask) => (ask.work === work ? { ...ask, answered: true } : ask));
    this.#history = withCookie(
      withEntry(this.#history, { ...entry, asks, calls: [...entry.calls, { work, cookie }] }),
      entry,
      cookie,
    );
  }

  /** trace_task_exit. */
  #taskExit(cpu: Vcpu): void {
    const seen = this.#see(cpu, 'trace_task_exit');
    if (seen === undefined) return;
    const entry = this.#entryOf(seen.task);
    this.#judge('taskExit', { ...seen, history: this.#history, entry });
    this.#history = withoutTask(this.#history, seen.task.address);
  }

  #register(work: bigint): void {
    const { tracers } = this.#history;
    const symbol = this.#nameOf(work);
    const alike = tracers.filter(({ name }) => name === symbol || name.startsWith(`${symbol}#`)).length;
    const name = alike === 0 ? symbol : `${symbol}#${alike + 1}`;
    this.#history = { ...this.#history, tracers: [...tracers, { work, name }] };
  }
  #unregister(gone: bigint): void {
    const tracers = this.#history.tracers.filter(({ work }) => work !== gone);
    this.#history = { ...this.#history, tracers };
  }
  #nameOf(work: bigint): string {
    const known = this.#history.tracers.find((tracer) => tracer.work === work);
    if (known !== undefined) return known.name;
    const callback = this.#view.word(work + this.#view.layout.WORK_func);
    return callback === undefined ? 'a tracer' : (this.#view.symbols.resolve(callback)?.name ?? 'a tracer');
  }
  #bitOf(work: bigint): bigint | undefined {
    const { workBit } = this.#view.layout;
    return workBit === undefined
      ? undefined
      : BigInt(this.#view.bytes(work + workBit, 4)?.readInt32LE() ?? -1);
  }

  #log(line: Omit<NonNullable<History['log']>, 'older'>): void {
    this.#history = { ...this.#history, log: { ...line, older: this.#history.log } };
  }
}
