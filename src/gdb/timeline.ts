/**
 * A run as gdb walks on it, forth and back. The machine is deterministic, so any place of its way is reached again by going back
 * to a snapshot and taking the decisions from there. Between two moments of the way something that was pending may be delivered
 * without an instruction, so a place also tells whether that has been done.
 */
import type { Machine, Outcome } from '../../emu/machine.js';
import { applyChoice } from '../schedule/apply.js';
import { IN_MID_INSTRUCTION } from '../schedule/recorder.js';
import type { Choice } from '../schedule/schedule.js';
import type { ConsoleGate } from './console-gate.js';
import type { Points } from './points.js';
import { type Kept, Shelf } from './shelf.js';
import { type Decision, lengthOf, Way } from './way.js';

export interface Place {
  readonly moment: number;
  /** The CPU that has taken what was pending at it, if that has been done. */
  readonly delivered: number | undefined;
}

/** A place that can be gone back to even when the run has taken another way since. */
export interface Bookmark {
  readonly place: Place;
  readonly way: Way;
}

/** Where a place was far from its snapshot, a new one is kept so many moments before it: who goes back goes back again. */
const FAR = 1 << 12;
const NEAR = 1 << 9;

export class Timeline {
  readonly machine: Machine;
  readonly points: Points;
  readonly #gate: ConsoleGate;
  readonly #shelf: Shelf;
  #way: Way;
  #now = 0;
  #delivered: number | undefined;
  #ended: { readonly moment: number; readonly outcome: Outcome } | undefined;
  /** Of the decision under way: instructions before it. */
  #retiredBefore = 0;
  /** Instructions before the last NMI or interrupt was taken. */
  #deliveredAt = -1;
  readonly #isReversible: boolean;

  /**
   * @param machine before its first instruction
   * @param future decisions that are taken when the run comes there
   * @param isReversible false: no snapshots are kept, and the run can only go forward
   */
  constructor(
    { machine, points, gate }: { machine: Machine; points: Points; gate: ConsoleGate },
    { future = [], isReversible = true }: { future?: readonly Choice[]; isReversible?: boolean } = {},
  ) {
    this.machine = machine;
    this.points = points;
    this.#gate = gate;
    this.#isReversible = isReversible;
    this.#shelf = new Shelf(machine, gate);
    this.#way = new Way(future);
    machine.events.witness((kind) => {
      if (kind === 'nmi' || kind === 'interrupt') this.#deliveredAt = machine.retired;
    });
  }

  get place(): Place {
    return { moment: this.#now, delivered: this.#delivered };
  }
  /** Nothing has been decided yet about what comes next. */
  get isAtEnd(): boolean {
    return this.#now >= this.#way.end;
  }
  get momentsToEnd(): number {
    return Math.max(this.#way.end - this.#now, 0);
  }
  /** How the guest has ended here, if it has. */
  get outcome(): Outcome | undefined {
    return this.#ended?.moment === this.#now ? this.#ended.outcome : undefined;
  }
  /** The moment in the middle of a run: for who hears of a hit. */
  get momentOfHit(): number {
    return this.#now + this.machine.retired - this.#retiredBefore;
  }

  /** What has been decided up to here; undefined where gdb has changed memory or registers, which no schedule can say. */
  choices(): Choice[] | undefined {
    const choices: Choice[] = [];
    for (const decision of this.#way.before(this.#now)) {
      if (decision.kind === 'edit') return undefined;
      choices.push(decision);
    }
    if (this.#delivered !== undefined) choices.push({ kind: 'deliver', cpu: this.#delivered });
    return choices;
  }

  /** Goes forward by at most `count` moments; a hit or the guest's end may end it before. @returns the guest's end */
  advance(count: number): Outcome | undefined {
    if (this.#shelf.isDue(this.#now)) this.#keep();
    const target = this.#now + count;
    while (this.#now < target) {
      const outcome = this.#advance(target - this.#now);
      if (outcome !== undefined && outcome.kind !== 'reached' && outcome.kind !== 'stopped') return outcome;
      if (outcome !== undefined || this.points.hasHit) return undefined;
    }
    return undefined;
  }

  #advance(limit: number): Outcome | undefined {
    if (this.outcome !== undefined) return this.outcome;
    this.#retiredBefore = this.machine.retired;
    const step = this.#way.at(this.#now);
    const decision: Decision = step?.decision ?? { kind: 'run', count: limit };
    const left = step === undefined ? limit : Math.min(limit, step.from + lengthOf(decision) - this.#now);
    switch (decision.kind) {
      case 'run':
        return this.#run(left);
      case 'cpu':
        return this.#alone(decision.cpu, left);
      case 'edit':
        decision.apply(this.machine);
        this.#moved(1);
        return undefined;
      default: {
        const outcome = applyChoice(this.machine, decision);
        this.#moved(1);
        if (outcome !== undefined) this.#ends(outcome);
        return outcome;
      }
    }
  }

  #run(count: number): Outcome | undefined {
    const { machine } = this;
    const outcome = machine.run({ budget: count });
    const executed = machine.retired - this.#retiredBefore;
    if (executed > 0) this.#moved(executed);
    if (outcome.kind === 'budget') return undefined;
    if (outcome.kind === 'reached' || outcome.kind === 'stopped') {
      if (outcome.kind === 'stopped') this.settle();
      else this.#stoodBefore(outcome.cpu);
      return outcome;
    }
    if (outcome.kind === 'hang' && !this.isAtEnd) return undefined; // a decision comes that may wake it
    if (executed < count && IN_MID_INSTRUCTION.has(outcome.kind))
      this.#endsInMidInstruction(outcome, executed);
    else this.#ends(outcome);
    return outcome;
  }

  /** An instruction that does not complete has a moment as well, whether the machine has counted it or not: which, is found by trying. */
  #endsInMidInstruction(outcome: Outcome, executed: number): void {
    const counted = this.#now;
    const kept = this.#shelf.before(counted);
    if (executed === 0 || kept === undefined) {
      this.#moved(1);
      this.#ends(outcome);
      return;
    }
    this.#restore(kept);
    const { mode } = this.points;
    this.points.mode = 'pass';
    this.advance(counted - kept.moment);
    if (this.outcome === undefined) this.advance(1);
    this.points.mode = mode;
  }

  #alone(cpu: number, count: number): Outcome | undefined {
    for (let done = 0; done < count; done++) {
      const outcome = this.machine.step(cpu);
      if (outcome?.kind === 'reached') {
        this.#stoodBefore(cpu);
        return outcome;
      }
      this.#retiredBefore = this.machine.retired;
      this.#moved(1);
      if (outcome !== undefined) this.#ends(outcome);
      if (outcome !== undefined || this.points.hasHit) return outcome;
    }
    return undefined;
  }

  /** A breakpoint is met when what was pending has been delivered: whether there was any belongs to the place. */
  #stoodBefore(cpu: number): void {
    if (this.#deliveredAt === this.machine.retired) this.#delivered = cpu;
  }

  #moved(moments: number): void {
    this.#delivered = undefined;
    this.#now += moments;
    const more = this.#now - this.#way.end;
    if (more > 0) this.#way.push({ kind: 'run', count: more });
  }

  #ends(outcome: Outcome): void {
    this.#ended = { moment: this.#now, outcome };
  }

  /** Lets guest time pass up to the next instruction of any CPU, executing none. @returns the guest's end */
  settle(): Outcome | undefined {
    if (this.outcome !== undefined) return this.outcome;
    const outcome = this.machine.run({ budget: 0 });
    if (outcome.kind === 'budget') return undefined;
    if (outcome.kind !== 'stopped') this.#ends(outcome);
    return this.outcome;
  }

  /** The CPU takes what is pending before its next instruction. @returns what it was */
  deliver(cpu: number): 'nmi' | 'interrupt' | undefined {
    if (this.outcome !== undefined || this.#delivered !== undefined) return undefined;
    let taken: 'nmi' | 'interrupt' | undefined;
    const end = this.machine.events.witness((kind) => {
      if (kind === 'nmi' || kind === 'interrupt') taken ??= kind;
    });
    const outcome = this.machine.deliver(cpu);
    end();
    if (outcome !== undefined) this.#endsInMidInstruction(outcome, 0);
    else if (taken !== undefined) this.#delivered = cpu;
    return taken;
  }

  /** What follows is a decision that executes nothing. */
  get isAtDecision(): boolean {
    const step = this.#way.at(this.#now);
    return step !== undefined && !('count' in step.decision);
  }

  /** The CPU that executes alone next, if that is what comes next. */
  get nextAlone(): number | undefined {
    const decision = this.#way.at(this.#now)?.decision;
    return decision?.kind === 'cpu' ? decision.cpu : undefined;
  }

  /** Decides what comes next; what had been decided about the time from here on is forgotten. */
  decide(decision: Decision): Outcome | undefined {
    const delivered = this.#delivered;
    const { outcome } = this;
    if (outcome !== undefined && outcome.kind !== 'hang') return outcome;
    this.#cut();
    if (delivered !== undefined) {
      this.#way.push({ kind: 'deliver', cpu: delivered });
      this.#now++;
      this.#delivered = undefined;
    }
    this.#way.push(decision);
    const end = this.advance(lengthOf(decision));
    if (!this.isAtEnd) this.#cut(); // a breakpoint has come first
    return end;
  }

  /** Changes the machine by hand. */
  edit(apply: (machine: Machine) => void): void {
    this.decide({ kind: 'edit', apply });
  }

  /** Forgets what comes after the present moment. */
  #cut(): void {
    this.#ended = undefined;
    this.#gate.cut();
    if (this.isAtEnd) return;
    this.#way = new Way(this.#way.before(this.#now));
    this.#shelf.forgetAfter(this.#now);
  }

  /** Goes to a place of the run, in either direction; no point is met on the way. */
  goTo({ moment, delivered }: Place): void {
    const isBehind = moment > this.#now || (moment === this.#now && this.#delivered === undefined);
    const kept = this.#shelf.before(moment);
    if (!isBehind || (kept !== undefined && kept.moment > this.#now)) this.#restore(kept!);
    const { mode } = this.points;
    this.points.mode = 'pass';
    try {
      if (moment - this.#now > FAR) {
        this.#advanceTo(moment - NEAR);
        this.#keep();
      }
      this.#advanceTo(moment);
      if (delivered !== undefined) this.deliver(delivered);
    } finally {
      this.points.mode = mode;
    }
  }

  #advanceTo(moment: number): void {
    if (moment > this.#now) this.advance(moment - this.#now);
    if (this.#now !== moment)
      throw new Error(`internal: expected to come to moment ${moment} again, found the run at ${this.#now}`);
  }

  /** Goes to the last place before `moment` that has a snapshot. @returns its moment, or undefined where there is none */
  goToSnapshotBefore(moment: number): number | undefined {
    const kept = this.#shelf.before(moment - 1);
    if (kept === undefined) return undefined;
    this.#restore(kept);
    return kept.moment;
  }

  #restore(kept: Kept): void {
    this.#shelf.restore(kept);
    this.#now = kept.moment;
    this.#delivered = undefined;
    this.#deliveredAt = -1;
    this.points.takeHit();
  }

  /** Keeps a snapshot, where this is a place for one. */
  #keep(): void {
    if (this.#isReversible && this.#delivered === undefined && this.outcome === undefined)
      this.#shelf.keep(this.#now);
  }

  /** The present place, to come back to. */
  bookmark(): Bookmark {
    this.#keep();
    return { place: this.place, way: this.#way.copy() };
  }

  /** Goes back to a bookmark; what has been decided since about the time behind it is forgotten. */
  goBackTo({ place, way }: Bookmark): void {
    const common = this.#way.commonWith(way);
    this.#shelf.forgetAfter(common);
    this.#restore(this.#shelf.before(Math.min(common, place.moment))!);
    this.#ended = undefined;
    this.#way = way.copy();
    this.goTo(place);
    if (this.isAtEnd) this.#gate.cut();
  }
}
