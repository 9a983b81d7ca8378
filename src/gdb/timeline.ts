/**
 * A run as gdb walks on it, forth and back. It is a list of decisions, as in a schedule; the machine is deterministic, so any place of
 * it is reached again by going back to a snapshot and taking the decisions from there.
 *
 * Places are counted in *moments*: one for each instruction, and one for each decision that executes none. Time goes on between
 * two moments without an instruction where something that was pending is delivered, so a place also tells whether that has been done.
 */
import type { Machine, MachineSnapshot, Outcome } from '../../emu/machine.js';
import { applyChoice } from '../schedule/apply.js';
import { IN_MID_INSTRUCTION } from '../schedule/recorder.js';
import type { Choice } from '../schedule/schedule.js';
import type { ConsoleGate } from './console-gate.js';
import type { Points } from './points.js';

/** A change that gdb makes by itself, to memory or to a register. */
interface Edit {
  readonly kind: 'edit';
  apply(machine: Machine): void;
}
type Decision = Choice | Edit;

interface Step {
  /** Its first moment. */
  readonly from: number;
  readonly decision: Decision;
}

export interface Place {
  readonly moment: number;
  /** The CPU that has taken what was pending at it, if that has been done. */
  readonly delivered: number | undefined;
}

interface Kept {
  readonly moment: number;
  readonly snapshot: MachineSnapshot;
  /** Bytes of the console. */
  readonly console: number;
}

/** A place that can be gone back to even when the run has taken another way since. */
export interface Bookmark {
  readonly place: Place;
  readonly steps: readonly Step[];
}

/** Moments between two snapshots at first; where there get to be too many, the older ones are thinned out. */
const SNAPSHOT_EVERY = 1 << 19;
const MOST_SNAPSHOTS = 48;
/** Where a place was far from its snapshot, a new one is kept so many moments before it: who goes back goes back again. */
const FAR = 1 << 12;
const NEAR = 1 << 9;

export class Timeline {
  readonly machine: Machine;
  readonly points: Points;
  readonly #gate: ConsoleGate;
  #steps: Step[];
  #end: number;
  #now = 0;
  #delivered: number | undefined;
  /** The first is that of moment 0. */
  readonly #kept: Kept[] = [];
  #ended: { readonly moment: number; readonly outcome: Outcome } | undefined;
  /** Of the decision under way: instructions before it. */
  #retiredBefore = 0;
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
    let from = 0;
    this.#steps = future.map((decision) => {
      const step = { from, decision };
      from += lengthOf(decision);
      return step;
    });
    this.#end = from;
  }

  get place(): Place {
    return { moment: this.#now, delivered: this.#delivered };
  }
  /** Nothing has been decided yet about what comes next. */
  get isAtEnd(): boolean {
    return this.#now >= this.#end;
  }
  get momentsToEnd(): number {
    return Math.max(this.#end - this.#now, 0);
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
    for (const { from, decision } of this.#steps) {
      if (from >= this.#now) break;
      if (decision.kind === 'edit') return undefined;
      choices.push(
        'count' in decision ? { ...decision, count: Math.min(decision.count, this.#now - from) } : decision,
      );
    }
    if (this.#delivered !== undefined) choices.push({ kind: 'deliver', cpu: this.#delivered });
    return choices;
  }

  /** Goes forward by at most `count` moments; a hit or the guest's end may end it before. @returns the guest's end */
  advance(count: number): Outcome | undefined {
    this.#keep();
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
    const step = this.#stepAt(this.#now);
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
    const kept = this.#keptBefore(counted);
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
      if (outcome?.kind === 'reached') return outcome;
      this.#retiredBefore = this.machine.retired;
      this.#moved(1);
      if (outcome !== undefined) this.#ends(outcome);
      if (outcome !== undefined || this.points.hasHit) return outcome;
    }
    return undefined;
  }

  #moved(moments: number): void {
    this.#delivered = undefined;
    const before = this.#now;
    this.#now += moments;
    if (this.#now <= this.#end) return;
    const last = this.#steps.at(-1);
    if (last?.decision.kind === 'run') {
      const count = this.#now - last.from;
      this.#steps[this.#steps.length - 1] = { from: last.from, decision: { kind: 'run', count } };
    } else this.#steps.push({ from: before, decision: { kind: 'run', count: moments } });
    this.#end = this.#now;
  }

  #ends(outcome: Outcome): void {
    this.#ended = { moment: this.#now, outcome };
  }

  #stepAt(moment: number): Step | undefined {
    if (moment >= this.#end) return undefined;
    let low = 0;
    for (let high = this.#steps.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (this.#steps[middle]!.from <= moment) low = middle;
      else high = middle;
    }
    return this.#steps[low];
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
    const step = this.#stepAt(this.#now);
    return step !== undefined && !('count' in step.decision);
  }

  /** The CPU that executes alone next, if that is what comes next. */
  get nextAlone(): number | undefined {
    const decision = this.#stepAt(this.#now)?.decision;
    return decision?.kind === 'cpu' ? decision.cpu : undefined;
  }

  /** Decides what comes next; what had been decided about the time from here on is forgotten. */
  decide(decision: Decision): Outcome | undefined {
    const delivered = this.#delivered;
    const { outcome } = this;
    if (outcome !== undefined && outcome.kind !== 'hang') return outcome;
    this.#cut();
    if (delivered !== undefined) {
      this.#push({ kind: 'deliver', cpu: delivered });
      this.#now++;
      this.#delivered = undefined;
    }
    this.#push(decision);
    const end = this.advance(lengthOf(decision));
    if (!this.isAtEnd) this.#cut(); // a breakpoint has come first
    return end;
  }

  /** Changes the machine by hand. */
  edit(apply: (machine: Machine) => void): void {
    this.decide({ kind: 'edit', apply });
  }

  #push(decision: Decision): void {
    const last = this.#steps.at(-1);
    if (decision.kind === 'cpu' && last?.decision.kind === 'cpu' && last.decision.cpu === decision.cpu) {
      const count = last.decision.count + decision.count;
      this.#steps[this.#steps.length - 1] = { from: last.from, decision: { ...decision, count } };
    } else this.#steps.push({ from: this.#end, decision });
    this.#end += lengthOf(decision);
  }

  /** Forgets what comes after the present moment. */
  #cut(): void {
    this.#ended = undefined;
    this.#gate.cut();
    if (this.isAtEnd) return;
    const step = this.#stepAt(this.#now);
    this.#steps = this.#steps.filter(({ from }) => from < this.#now);
    const last = this.#steps.at(-1);
    if (step !== undefined && step === last && 'count' in last.decision)
      this.#steps[this.#steps.length - 1] = {
        from: last.from,
        decision: { ...last.decision, count: this.#now - last.from },
      };
    this.#end = this.#now;
    this.#release(({ moment }) => moment > this.#now);
  }

  /** Goes to a place of the run, in either direction; no point is met on the way. */
  goTo({ moment, delivered }: Place): void {
    const isBehind = moment > this.#now || (moment === this.#now && this.#delivered === undefined);
    const kept = this.#keptBefore(moment);
    if (!isBehind || (kept !== undefined && kept.moment > this.#now)) this.#restore(kept!);
    const { mode } = this.points;
    this.points.mode = 'pass';
    try {
      if (moment - this.#now > FAR) {
        this.#advanceTo(moment - NEAR);
        this.#keepHere();
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
    const kept = this.#keptBefore(moment - 1);
    if (kept === undefined) return undefined;
    this.#restore(kept);
    return kept.moment;
  }

  #keptBefore(moment: number): Kept | undefined {
    return this.#kept.findLast((kept) => kept.moment <= moment);
  }

  #restore({ snapshot, moment, console }: Kept): void {
    this.machine.restore(snapshot);
    for (const cpu of this.machine.cpus) cpu.meetAgain();
    this.#gate.count = console;
    this.#now = moment;
    this.#delivered = undefined;
    this.points.takeHit();
  }

  /** Keeps a snapshot where it is time for one. */
  #keep(): void {
    const last = this.#keptBefore(this.#now);
    if (last === undefined || this.#now - last.moment >= SNAPSHOT_EVERY) this.#keepHere();
  }

  #keepHere(): void {
    const isNoPlace = this.#delivered !== undefined || this.outcome !== undefined;
    if (!this.#isReversible || isNoPlace || this.#keptBefore(this.#now)?.moment === this.#now) return;
    const kept = { moment: this.#now, snapshot: this.machine.snapshot(), console: this.#gate.count };
    const at = this.#kept.findIndex(({ moment }) => moment > this.#now);
    this.#kept.splice(at < 0 ? this.#kept.length : at, 0, kept);
    if (this.#kept.length > MOST_SNAPSHOTS) this.#thinOut();
  }

  /** Drops the snapshot whose loss makes the smallest gap, seen from here: the further away, the fewer. */
  #thinOut(): void {
    let dropped = 1;
    let least = Number.POSITIVE_INFINITY;
    for (let index = 1; index < this.#kept.length - 1; index++) {
      const gap = this.#kept[index + 1]!.moment - this.#kept[index - 1]!.moment;
      const loss = gap / (Math.abs(this.#now - this.#kept[index]!.moment) + SNAPSHOT_EVERY);
      if (loss >= least) continue;
      least = loss;
      dropped = index;
    }
    const [kept] = this.#kept.splice(dropped, 1);
    this.machine.release(kept!.snapshot);
  }

  #release(isOld: (kept: Kept) => boolean): void {
    for (const kept of this.#kept.filter(isOld)) {
      this.machine.release(kept.snapshot);
      this.#kept.splice(this.#kept.indexOf(kept), 1);
    }
  }

  /** The present place, to come back to. */
  bookmark(): Bookmark {
    this.#keepHere();
    return { place: this.place, steps: this.#steps.slice() };
  }

  /** Goes back to a bookmark; what has been decided since about the time behind it is forgotten. */
  goBackTo({ place, steps }: Bookmark): void {
    const common = commonMoments(this.#steps, steps);
    this.#release(({ moment }) => moment > common);
    this.#restore(this.#keptBefore(Math.min(common, place.moment))!);
    this.#ended = undefined;
    this.#steps = steps.slice();
    const last = steps.at(-1);
    this.#end = last === undefined ? 0 : last.from + lengthOf(last.decision);
    this.goTo(place);
    if (this.isAtEnd) this.#gate.cut();
  }
}

const lengthOf = (decision: Decision): number => ('count' in decision ? decision.count : 1);

/** Moments for which two lists of decisions agree. */
function commonMoments(one: readonly Step[], other: readonly Step[]): number {
  let moments = 0;
  for (const [index, { from, decision }] of one.entries()) {
    const twin = other[index]?.decision;
    if (twin !== decision) {
      const isSameWay =
        (decision.kind === 'run' && twin?.kind === 'run') ||
        (decision.kind === 'cpu' && twin?.kind === 'cpu' && decision.cpu === twin.cpu);
      if (!isSameWay) return moments;
      if (lengthOf(twin) !== lengthOf(decision)) return from + Math.min(lengthOf(twin), lengthOf(decision));
    }
    moments = from + lengthOf(decision);
  }
  return moments;
}
