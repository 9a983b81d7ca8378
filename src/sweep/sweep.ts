/**
 * An event at every instruction boundary of a window, each in a run of its own: back to a snapshot just before the boundary,
 * on to it, strike, and on until the struck CPU goes on in user mode with nothing left to do. With depth 2 and 3 the boundaries behind a
 * strike, its handler's among them, are struck again. It knows no kernel: a window is two names of any image, and what
 * must hold is a plug-in's business (`Monitor`).
 *
 * A sweep is divided into units: unit 0 is the undisturbed run, unit N the window's N-th boundary with all that begins there. They
 * are independent, so they can be done in any order, by several machines.
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import type { Machine, MachineSnapshot, Outcome } from '../../emu/machine.js';
import type { Disassembler } from '../asm/capstone.js';
import type { Monitor, Violation } from './monitor.js';
import { type Question, strike } from './question.js';
import { countRun, emptyTally, type RunResult, type Strike, type Tally } from './tally.js';
import { type Boundary, type Frame, Window } from './window.js';

/** A snapshot is taken anew when the next boundary is so many instructions behind the last one: it costs as much as some 15,000. */
const STRIDE = 64;

/** What a run breaks that is not the same when it is made again. */
export const DETERMINISTIC = 'deterministic';

export interface SweepSetup {
  readonly machine: Machine;
  readonly question: Question;
  readonly decoder: Disassembler;
  /** Instructions in which the guest must come to the window. */
  readonly budget: number;
  /** Called at the window's beginning. */
  readonly watch?: (machine: Machine) => Monitor;
  /** What the guest has printed so far; cut back when the machine goes back. */
  readonly console: number[];
  /** Makes each run a second time, all the way from the window's beginning, and compares the two. */
  readonly isChecked?: boolean;
}

/** The machine and who watches it, at one moment. */
interface Moment {
  readonly machine: MachineSnapshot;
  readonly monitor: unknown;
  readonly console: number;
  /** Instructions since the window's beginning. */
  readonly at: number;
}

/** The guest has ended before the place where it was to be struck. */
class EndedEarly extends Error {}

export class Sweep {
  readonly question: Question;
  readonly window: Window;
  /** Of the first injection. */
  readonly boundaries: readonly Boundary[];
  readonly #machine: Machine;
  readonly #cpu: Vcpu;
  readonly #monitor: Monitor | undefined;
  readonly #console: number[];
  readonly #isChecked: boolean;
  readonly #start: Moment;
  readonly #isCut: boolean;
  #tally: Tally;
  /** Where a unit begins: just before its boundary. */
  #rolling: Moment;
  /** Guest time of the last strike while its event has not been taken. */
  #waiting = -1;
  #held = false;
  /** Since it was last about to execute user code, the struck CPU has gone to sleep when nothing was left to do. */
  #isAtRest = false;
  /** The run under way ends at user code; the way to a boundary may lead through it. */
  #isJudging = false;

  /** Leads the machine to the window. @throws WindowError when it does not come there. */
  constructor({ machine, question, decoder, budget, watch, console, isChecked = false }: SweepSetup) {
    this.question = question;
    this.#machine = machine;
    this.#console = console;
    this.#isChecked = isChecked;
    this.#tally = emptyTally(question.depth);
    this.window = Window.reach(machine, question, decoder, budget);
    this.#cpu = machine.cpus[question.cpu]!;
    this.#monitor = watch?.(machine);
    this.#start = this.#moment();
    this.#rolling = this.#start;
    const { boundaries, complete } = this.window.walk();
    this.boundaries = boundaries;
    this.#isCut = !complete;
    const { injection, cpu } = question;
    if (injection.kind !== 'call')
      machine.events.on(injection.kind === 'nmi' ? 'nmi' : 'interrupt', (event) => {
        if (
          event.cpu !== cpu ||
          ('vector' in event && injection.kind === 'irq' && event.vector !== injection.vector)
        )
          return;
        this.#held ||= this.#waiting >= 0 && event.time > this.#waiting;
        this.#waiting = -1;
      });
    machine.events.on('halt', (event) => {
      this.#isAtRest ||= event.cpu === cpu && (this.#monitor?.settled() ?? false);
    });
    machine.onUserCode((at) => {
      if (at.index !== cpu) return false;
      this.#isAtRest = false;
      return this.#isJudging && (this.#monitor?.settled() ?? true);
    });
  }

  /** How many units there are. */
  get units(): number {
    return this.boundaries.length + 1;
  }

  /** Does one unit, best in ascending order. It comes to rest after each run, for a unit of depth 3 can take minutes. */
  *unit(index: number): Generator<void, Tally> {
    const tally = emptyTally(this.question.depth);
    this.#tally = tally;
    if (index === 0) {
      tally.cut = this.#isCut;
      this.#restore(this.#start);
      this.#judge([]);
      return tally;
    }
    const boundary = this.boundaries[index - 1]!;
    yield* this.#strikeAt(boundary, [], () => this.#roll(boundary.at));
    return tally;
  }

  /** One run with injections at given places. It is not counted. */
  run(strikes: readonly Strike[]): RunResult {
    this.#lead(strikes);
    return this.#settle(strikes);
  }

  /**
   * The simplest run that breaks one of the same invariants: without the injections that are not needed, each of the others at the latest
   * point that still does.
   */
  simplest(broken: RunResult): RunResult {
    const ids = new Set(broken.violations.map(({ id }) => id));
    const breaks = (strikes: readonly Strike[]): RunResult | undefined => {
      try {
        const result = this.run(strikes);
        return result.violations.some(({ id }) => ids.has(id)) ? result : undefined;
      } catch (error) {
        if (error instanceof EndedEarly) return undefined; // without the others the guest does not come to the last one
        throw error;
      }
    };
    let best = broken;
    for (let index = best.strikes.length - 1; index >= 0; index--)
      best = breaks(best.strikes.toSpliced(index, 1)) ?? best;
    for (let index = best.strikes.length - 1; index >= 0; index--) {
      const next = best.strikes[index + 1]?.at ?? Number.POSITIVE_INFINITY;
      const later = this.#boundariesBehind(best.strikes.slice(0, index))
        .filter((boundary) => boundary.at > best.strikes[index]!.at && boundary.at < next)
        .filter(({ skip }) => skip !== 'uncallable' && skip !== 'same')
        .reverse();
      for (const { at, delivered } of later) {
        const result = breaks(best.strikes.with(index, { at, delivered }));
        if (result === undefined) continue;
        best = result;
        break;
      }
    }
    return best;
  }

  /** Where the next injection may fall. */
  #boundariesBehind(strikes: readonly Strike[]): readonly Boundary[] {
    if (strikes.length === 0) return this.boundaries;
    return this.window.walk(this.#lead(strikes)).boundaries;
  }

  /** Goes the way of a run up to its last injection. @returns the frame of that one, if it is a call */
  #lead(strikes: readonly Strike[]): Frame | undefined {
    this.#restore(this.#start);
    let frame: Frame | undefined;
    for (const each of strikes) {
      this.#goTo(each);
      const { state } = this.#cpu;
      if (this.question.injection.kind === 'call') frame = { rip: state.rip, rsp: state.reg(GPR.rsp) };
      this.#strike();
    }
    return frame;
  }

  *#strikeAt(boundary: Boundary, before: readonly Strike[], back: () => void): Generator<void> {
    const { depth } = this.question;
    const level = before.length;
    const counts = this.#tally.levels[level]!;
    counts.boundaries++;
    if (boundary.skip !== undefined) {
      counts.skipped[boundary.skip]++;
      return;
    }
    back();
    this.#goTo(boundary);
    const strikes = [...before, { at: boundary.at, delivered: boundary.delivered }];
    const interrupted = { rip: this.#cpu.state.rip, rsp: this.#cpu.state.reg(GPR.rsp) };
    this.#strike();
    const here = strikes.length < depth ? this.#moment() : undefined;
    this.#judge(strikes);
    counts.injected++;
    if (this.#held) counts.held++;
    yield;
    if (here === undefined) return;
    let from = here;
    try {
      this.#restore(here);
      const walk = this.window.walk(this.question.injection.kind === 'call' ? interrupted : undefined);
      if (!walk.complete) this.#tally.cut = true;
      for (const next of walk.boundaries) {
        const isSame = next.at === boundary.at && !next.delivered;
        yield* this.#strikeAt(isSame ? { ...next, skip: 'same' } : next, strikes, () => {
          from = this.#rollOn(from, next.at, here);
        });
      }
    } finally {
      if (from !== here) this.#machine.release(from.machine);
      this.#machine.release(here.machine);
    }
  }

  /** Goes to a moment at or just before `at` in the undisturbed window. */
  #roll(at: number): void {
    if (at < this.#rolling.at) this.#rolling = this.#start;
    this.#rolling = this.#rollOn(this.#rolling, at, this.#start);
  }

  /** Restores `from`, or a later moment if `at` is far behind it. `kept` is never released. */
  #rollOn(from: Moment, at: number, kept: Moment): Moment {
    this.#restore(from);
    if (at - from.at < STRIDE) return from;
    this.#run(at - from.at);
    const later = this.#moment();
    if (from !== kept) this.#machine.release(from.machine);
    return later;
  }

  #run(count: number): void {
    const outcome = this.#machine.run({ budget: count });
    if (outcome.kind !== 'budget')
      throw new EndedEarly(`internal: the way to a boundary ended early (${outcome.kind})`);
  }

  #goTo({ at, delivered }: Strike): void {
    const left = at - this.#at;
    if (left > 0) this.#run(left);
    if (delivered) this.#machine.deliver(this.question.cpu);
  }

  #strike(): void {
    if (this.question.injection.kind !== 'call') {
      this.#waiting = this.#cpu.time;
      this.#held = false;
    }
    strike(this.#machine, this.question);
  }

  get #at(): number {
    return this.#machine.retired - this.window.start;
  }

  /** Runs on until things have settled, and counts what has come of it. */
  #judge(strikes: readonly Strike[]): void {
    const before = this.#at;
    const result = this.#settle(strikes);
    this.#tally.instructions += result.retired - before;
    const isHeld = this.#held;
    const difference = this.#isChecked ? this.#differences(result) : [];
    this.#held = isHeld;
    countRun(this.#tally, { ...result, violations: [...result.violations, ...difference] });
  }

  #settle(strikes: readonly Strike[]): RunResult {
    this.#isJudging = true;
    const outcome = this.#machine.run({ budget: this.question.bound });
    this.#isJudging = false;
    const end = outcome.kind === 'reached' ? 'user' : outcome.kind;
    const violations = [...(this.#monitor?.violations ?? []), ...this.#ownViolations(outcome)];
    const { digest: hash } = this.#machine.events.hash;
    return { strikes, state: this.#stateName(end, violations), violations, retired: this.#at, end, hash };
  }

  /** Makes a run again. */
  #differences(first: RunResult): Violation[] {
    const again = this.run(first.strikes);
    const parts = (['end', 'retired', 'hash', 'state'] as const).filter(
      (part) => first[part] !== again[part],
    );
    const { index: cpu, time } = this.#cpu;
    return parts.slice(0, 1).map((part) => ({
      id: 'deterministic',
      sentence: `expected the same run twice, found ${part} ${first[part]} and ${again[part]}`,
      cpu,
      time,
    }));
  }

  /** What every image must keep, whatever it is. */
  #ownViolations(outcome: Outcome): Violation[] {
    const { index: cpu, time } = this.#cpu;
    const broken = (id: string, sentence: string): Violation[] => [{ id, sentence, cpu, time }];
    switch (outcome.kind) {
      case 'reached':
        return this.#cpu.state.nmiBlocked
          ? broken(
              'event-delivered',
              `expected user code to go on with NMIs let in, found them still blocked${this.#cpu.nmiPending ? ' and one waiting' : ''}`,
            )
          : [];
      case 'budget':
        // On several CPUs it may have nothing to run any more, while the others go on.
        if (this.#isAtRest) return [];
        return broken(
          'exit-reached',
          `expected user mode within ${this.question.bound} instructions, found the CPU at ${this.#machine.symbols.format(this.#cpu.state.rip)}`,
        );
      case 'hang':
        return broken('exit-reached', 'expected user mode, found every CPU halted with nothing to wake one');
      case 'triple-fault':
      case 'bus-error':
        return broken(
          'no-fault',
          `expected no ${outcome.kind}, found one at ${this.#machine.symbols.format(outcome.rip)}`,
        );
      case 'reset':
        return broken('no-fault', 'expected the guest to run on, found that it has reset itself');
      default:
        return [];
    }
  }

  #stateName(end: string, violations: readonly Violation[]): string {
    const told = this.#monitor?.endState() ?? this.#registers();
    const broken = violations.map(({ id }) => `!${id}`);
    const printed = Buffer.from(this.#console.slice(this.#start.console)).toString('utf8');
    return [end, told, ...broken, ...(printed === '' ? [] : [JSON.stringify(printed)])].join(' ');
  }

  /** Where nobody knows better: the struck CPU's general registers. */
  #registers(): string {
    const { state } = this.#cpu;
    const values = GPR_NAMES.map((name) => `${name}=${state.reg(GPR[name]).toString(16)}`);
    return [`rip=${state.rip.toString(16)}`, ...values].join(' ');
  }

  #moment(): Moment {
    return {
      machine: this.#machine.snapshot(),
      monitor: this.#monitor?.capture(),
      console: this.#console.length,
      at: this.#at,
    };
  }

  #restore(moment: Moment): void {
    this.#machine.restore(moment.machine);
    this.#monitor?.reinstate(moment.monitor);
    this.#console.length = moment.console;
    this.#waiting = -1;
    this.#held = false;
    this.#isAtRest = false;
  }
}
