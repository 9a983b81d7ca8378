/**
 * Watches a guest kernel of this project: at breakpoints on its routines, at the events that lead out of user mode, and at the first
 * user instruction behind them. It keeps the history and asks each rule; it changes nothing in the guest. A breakpoint costs
 * each instruction of a run about a nanosecond, hit or not, so there are few.
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { EventKind } from '../../emu/events.js';
import type { Machine } from '../../emu/machine.js';
import type { Monitor, Violation } from '../sweep/monitor.js';
import { describeLog } from './end-state.js';
import { type Entry, type EntryStart, type Flight, History, type Log } from './history.js';
import { KernelView, type TaskAt } from './kernel-view.js';
import { Routines } from './routines.js';
import type { Invariant } from './rules/rule.js';
import { INVARIANTS } from './rules/table.js';
import { behindSyscall, leaving, type UserRegisters } from './user-registers.js';

const USER_CPL = 3;
/** Events that can lead out of user mode. */
const WAYS_IN: ReadonlySet<EventKind> = new Set(['syscall', 'interrupt', 'nmi', 'exception']);
/** The first serial port's data register, written with one byte, as the event's word has it. */
const CONSOLE_OUT = 0x11_03f8;
const NEWLINE = 10;

type Look = Exclude<keyof Invariant, 'id'>;
type SeenBy<Kind extends Look> = Parameters<NonNullable<Invariant[Kind]>>[0];
interface Rule<Kind extends Look> {
  readonly id: string;
  readonly look: (seen: SeenBy<Kind>) => string | undefined;
}
/** The rules that have an eye for one kind of sight. */
function rulesFor<Kind extends Look>(kind: Kind): readonly Rule<Kind>[] {
  return INVARIANTS.flatMap((invariant) => {
    const look = invariant[kind] as Rule<Kind>['look'] | undefined;
    return look === undefined ? [] : [{ id: invariant.id, look }];
  });
}
const ON_REQUEST = rulesFor('request');
const ON_CALL = rulesFor('call');
const IN_USER = rulesFor('user');
const ON_TASK_EXIT = rulesFor('taskExit');
const AT_POINT = rulesFor('point');
const ON_LINE = rulesFor('line');

export class Watcher implements Monitor<History> {
  readonly #machine: Machine;
  readonly #view: KernelView;
  readonly #routines: Routines;
  #history = new History();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#view = new KernelView(machine);
    this.#routines = new Routines(this.#view);
    this.#history.counts = machine.cpus.map(({ index }) => {
      const count = this.#view.count(index);
      return count === 0 ? 0 : count | 1;
    });
    const works = this.#view.tracers();
    if (typeof works !== 'string') for (const work of works) this.#register(work);
    for (const cpu of machine.cpus) this.#meet(cpu);
    this.#layBreakpoints();
    machine.events.witness((kind, cpu, _time, word, value) =>
      this.#event(kind, machine.cpus[cpu]!, word, value),
    );
    machine.onUserCode((cpu) => this.#userCode(cpu));
  }

  get violations(): readonly Violation[] {
    return this.#history.violations;
  }
  settled(): boolean {
    return this.#history.entries.every(
      (entry) => entry.asks.every(({ answered }) => answered) || this.#isPutOff(entry),
    );
  }
  /** The task sleeps or waits for a CPU, and its way out cannot miss the work: it is queued and the exit loop will be told. */
  #isPutOff({ start }: Entry): boolean {
    const runs = this.#machine.cpus.some(({ index }) => this.#view.own('current_task', index) === start.task);
    const task = runs ? undefined : this.#view.task(start.task);
    return task?.pending === true && task.works !== 0n && task.mustNotify;
  }
  endState(): string {
    return describeLog(this.#history.log);
  }
  capture(): History {
    return this.#history.clone();
  }
  reinstate(history: History): void {
    this.#history = history.clone();
  }

  #layBreakpoints(): void {
    const routines = this.#routines;
    const at = (address: bigint, look: (cpu: Vcpu) => void): void => {
      this.#machine.breakpoint(address, (cpu) => {
        look(cpu);
        return false;
      });
    };
    for (const routine of ['request', 'cancel'] as const) {
      at(routines.begins(routine), (cpu) => this.#begins(routine, cpu));
      for (const address of routines.returns(routine)) at(address, (cpu) => this.#returns(cpu));
    }
    for (const address of routines.calls) at(address, (cpu) => this.#calls(cpu));
    at(routines.begins('init'), (cpu) => this.#registers(cpu));
    at(routines.begins('reset'), (cpu) => this.#forgets(cpu));
    at(routines.begins('do_nmi'), (cpu) => void this.#stop(cpu, 'do_nmi'));
    at(routines.begins('taskExit'), (cpu) => this.#taskExit(cpu));
  }

  #event(kind: EventKind, cpu: Vcpu, word: number, value: number): void {
    if (kind === 'port' && word === CONSOLE_OUT) this.#print(cpu, value);
    else if (WAYS_IN.has(kind) && cpu.state.cpl === USER_CPL)
      this.#leavesUser(cpu, kind === 'syscall' ? word : undefined);
  }

  #print(cpu: Vcpu, byte: number): void {
    const history = this.#history;
    if (byte !== NEWLINE) {
      history.line += String.fromCharCode(byte);
      return;
    }
    this.#judge(ON_LINE, history.line, cpu);
    history.line = '';
  }

  #judge<Kind extends Look>(rules: readonly Rule<Kind>[], seen: SeenBy<Kind>, cpu: Vcpu): void {
    for (const { id, look } of rules) {
      const sentence = look(seen);
      if (sentence !== undefined) this.#report(id, cpu, sentence);
    }
  }
  /** Of each invariant the first violation is kept. */
  #report(id: string, cpu: Vcpu, sentence: string): void {
    const { violations } = this.#history;
    if (violations.some((violation) => violation.id === id)) return;
    this.#history.violations = [...violations, { id, sentence, cpu: cpu.index, time: cpu.now }];
  }

  /** A CPU as it stands when the watch begins. */
  #meet(cpu: Vcpu): void {
    const task = this.#view.own('current_task', cpu.index);
    const at = task && this.#view.task(task);
    if (!at || cpu.state.cpl === USER_CPL || cpu.activity !== 'running') return;
    const entry = this.#unseen(at, this.#registersAt(cpu, at), this.#routines.isInside(cpu, at.stackTop));
    entry.forgotten = this.#routines.isReset(cpu.state.rip);
    if (cpu.state.rip === this.#routines.begins('request')) this.#begins('request', cpu);
  }

  /** What the task on a CPU had in user mode, if its pt_regs is complete or the CPU still holds it. */
  #registersAt(cpu: Vcpu, task: TaskAt): UserRegisters | undefined {
    if (cpu.state.rip === this.#routines.begins('syscall')) return behindSyscall(cpu);
    const { THREAD_SIZE, PT_SIZE } = this.#view.layout;
    const rsp = cpu.state.reg(GPR.rsp);
    const isComplete = rsp > task.stackTop - THREAD_SIZE && rsp <= task.stackTop - BigInt(PT_SIZE);
    return isComplete ? this.#view.ptRegs(task) : undefined;
  }

  /** The entry of a task that entered before the watch began. @param isBusy the mechanism is at work: its state says nothing certain */
  #unseen(task: TaskAt, registers: UserRegisters | undefined, isBusy: boolean): Entry {
    const isAnybody = isBusy || (task.mask === undefined && task.pending);
    const hasCookie = (task.cookie & 0xffff_ffffn) !== 0n;
    return this.#history.enter({
      ...startOf(task, registers),
      before: isAnybody ? -1n : (task.mask ?? 0n),
      cookie: hasCookie ? task.cookie : 0n,
    });
  }

  /** The entry of a CPU's current task; undefined while the kernel has given the CPU no variables. */
  #entryOn(cpu: Vcpu, isBusy = false): Entry | undefined {
    const task = this.#view.own('current_task', cpu.index);
    const known = task && this.#history.entryOf(task);
    if (known) return known;
    const at = task && this.#view.task(task);
    return at ? this.#unseen(at, this.#view.ptRegs(at), isBusy) : undefined;
  }

  /** A CPU stands at a point of the kernel. @returns its task's entry */
  #stop(cpu: Vcpu, name: string, isBusy?: boolean): Entry | undefined {
    const entry = this.#entryOn(cpu, isBusy);
    if (entry !== undefined) this.#judge(AT_POINT, { view: this.#view, cpu, name, entry }, cpu);
    return entry;
  }

  #leavesUser(cpu: Vcpu, syscall: number | undefined): void {
    const history = this.#history;
    history.inUser &= ~(1 << cpu.index);
    const task = this.#view.own('current_task', cpu.index);
    if (task === undefined) return;
    const last = history.entryOf(task);
    if (last !== undefined && !last.isOver) return; // no user instruction since: the same entry goes on
    const known = last?.start ?? this.#view.task(task);
    if (known === undefined) return;
    const { pid, stackTop } = known;
    history.enter({ task, pid, stackTop, registers: leaving(cpu, syscall), before: 0n, cookie: 0n });
  }

  /** Of each entry the first user instruction is looked at. */
  #userCode(cpu: Vcpu): boolean {
    const history = this.#history;
    const bit = 1 << cpu.index;
    if ((history.inUser & bit) !== 0) return false;
    const address = this.#view.own('current_task', cpu.index);
    const task = address && this.#view.task(address);
    if (!task) return false;
    const entry = history.entryOf(task.address) ?? this.#unseen(task, undefined, true);
    this.#judge(IN_USER, { view: this.#view, cpu, history, entry, task }, cpu);
    history.inUser |= bit;
    entry.isOver = true;
    entry.asks = [];
    return false;
  }

  /** The kernel is about to forget the entry: what comes now may be given another cookie. */
  #forgets(cpu: Vcpu): void {
    const entry = this.#stop(cpu, 'unwind_reset_info');
    if (entry !== undefined) entry.forgotten = true;
  }

  #begins(routine: Flight['routine'], cpu: Vcpu): void {
    if (this.#stop(cpu, `unwind_deferred_${routine}`) === undefined) return;
    const { state } = cpu;
    const rsp = state.reg(GPR.rsp);
    const work = state.reg(GPR.rdi);
    const { flights } = this.#history;
    const at = flights.findIndex((flight) => flight.rsp === rsp);
    flights[at < 0 ? flights.length : at] = { rsp, routine, work, cookieAt: state.reg(GPR.rsi) };
    if (routine === 'cancel' && work !== 0n) this.#release(work);
  }

  /** A work is being registered; it has its name when it is seen next. */
  #registers(cpu: Vcpu): void {
    const history = this.#history;
    const again = cpu.state.reg(GPR.rdi);
    history.tracers = history.tracers.filter(({ work }) => work !== again);
    history.cancelled = history.cancelled.filter((work) => work !== again);
  }

  /** A tracer is being cancelled: nobody owes it a call any more. */
  #release(gone: bigint): void {
    this.#nameOf(gone);
    for (const { asks } of this.#history.entries)
      for (const ask of asks) if (ask.work === gone) ask.answered = true;
  }

  #returns(cpu: Vcpu): void {
    const { flights } = this.#history;
    const rsp = cpu.state.reg(GPR.rsp);
    const at = flights.findIndex((flight) => flight.rsp === rsp);
    const [flight] = at < 0 ? [] : flights.splice(at, 1);
    if (flight?.routine === 'request') this.#asks(cpu, flight, cpu.state.reg32(GPR.rax) | 0);
    else if (flight !== undefined) this.#cancel(flight.work);
  }

  #asks(cpu: Vcpu, { work, cookieAt }: Flight, result: number): void {
    const entry = this.#stop(cpu, 'unwind_deferred_request');
    if (entry === undefined) return;
    const history = this.#history;
    const cookie = this.#view.word(cookieAt) ?? 0n;
    const tracer = this.#nameOf(work);
    this.#log('asked', tracer, entry, cookie, result);
    if (result < 0) return;
    this.#judge(ON_REQUEST, { view: this.#view, cpu, history, entry, tracer, work, cookie }, cpu);
    entry.asks.push({ work, cookie, answered: result > 0 && this.#wasServed(entry, work, cookie) });
    if (cookie !== entry.cookie) entry.forgotten = false;
    entry.cookie = cookie;
    history.note(cookie, entry);
  }

  /** Whether a tracer has been called with a cookie in this entry, or may have been before the watch began. */
  #wasServed(entry: Entry, work: bigint, cookie: bigint): boolean {
    if (entry.wasCalled(work, cookie)) return true;
    return entry.start.cookie === cookie && entry.mayHaveAsked(this.#bitOf(work, entry));
  }

  #calls(cpu: Vcpu): void {
    const entry = this.#stop(cpu, 'the call of a tracer', true);
    if (entry === undefined) return;
    const history = this.#history;
    const view = this.#view;
    const { state } = cpu;
    const work = state.reg(GPR.rdi);
    const cookie = state.reg(GPR.rdx);
    const trace = view.trace(state.reg(GPR.rsi));
    const tracer = this.#nameOf(work);
    const isRegistered = !history.cancelled.includes(work);
    const mayHaveAsked = entry.mayHaveAsked(this.#bitOf(work, entry));
    const walked = this.#walk(entry, cpu);
    const seen = {
      view,
      cpu,
      history,
      entry,
      tracer,
      work,
      cookie,
      isRegistered,
      mayHaveAsked,
      trace,
      walked,
    };
    this.#judge(ON_CALL, seen, cpu);
    this.#log('called', tracer, entry, cookie, trace.length);
    entry.calls.push({ work, cookie });
    for (const ask of entry.asks) if (ask.work === work) ask.answered = true;
    history.note(cookie, entry);
  }

  /** The host's walk of an entry's user stack; it is made once, when the first tracer is called. */
  #walk(entry: Entry, cpu: Vcpu): readonly bigint[] | undefined {
    const { registers, task } = entry.start;
    if (entry.walked !== undefined || registers === undefined) return entry.walked;
    const at = this.#view.task(task);
    entry.walked = at && this.#view.walk(at, registers, cpu);
    return entry.walked;
  }

  /** trace_task_exit. */
  #taskExit(cpu: Vcpu): void {
    const entry = this.#stop(cpu, 'trace_task_exit');
    const task = entry && this.#view.task(entry.start.task);
    if (task === undefined || entry === undefined) return;
    const history = this.#history;
    this.#judge(ON_TASK_EXIT, { view: this.#view, cpu, history, entry, task }, cpu);
    history.entries = history.entries.filter((each) => each !== entry);
  }

  #register(work: bigint): string {
    const { tracers } = this.#history;
    const callback = this.#view.word(work + this.#view.layout.WORK_func) ?? 0n;
    const symbol = this.#view.symbols.resolve(callback)?.name ?? 'a tracer';
    const alike = tracers.filter(({ name }) => name === symbol || name.startsWith(`${symbol}#`)).length;
    const name = alike === 0 ? symbol : `${symbol}#${alike + 1}`;
    this.#history.tracers = [...tracers, { work, name }];
    return name;
  }
  #cancel(gone: bigint): void {
    const history = this.#history;
    for (const entry of history.entries) {
      entry.asks = entry.asks.filter(({ work }) => work !== gone);
      entry.calls = entry.calls.filter(({ work }) => work !== gone);
    }
    history.cancelled = [...history.cancelled, gone];
    history.tracers = history.tracers.filter(({ work }) => work !== gone);
  }
  /** The name of a tracer; one that has registered since the watch began is met so. */
  #nameOf(work: bigint): string {
    for (const tracer of this.#history.tracers) if (tracer.work === work) return tracer.name;
    return this.#history.cancelled.includes(work) ? 'a cancelled tracer' : this.#register(work);
  }
  /** A tracer's bit of the mask, where it matters: in an entry that began before the watch. */
  #bitOf(work: bigint, { start }: Entry): bigint | undefined {
    const { workBit } = this.#view.layout;
    if (workBit === undefined || start.before === 0n) return undefined;
    return BigInt(this.#view.bytes(work + workBit, 4)?.readInt32LE() ?? -1);
  }

  #log(kind: Log['kind'], tracer: string, entry: Entry, cookie: bigint, value: number): void {
    const { pid } = entry.start;
    this.#history.log = { tracer, pid, kind, cookie, value, older: this.#history.log };
  }
}

const startOf = (
  { address, pid, stackTop }: TaskAt,
  registers: UserRegisters | undefined,
): Pick<EntryStart, 'task' | 'pid' | 'stackTop' | 'registers'> => ({
  task: address,
  pid,
  stackTop,
  registers,
});
