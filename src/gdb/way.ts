/**
 * The way that a run takes: its decisions, as in a schedule, each from some moment on. There is one moment for each instruction, and one
 * for each decision that executes none.
 */
import type { Machine } from '../../emu/machine.js';
import type { Choice } from '../schedule/schedule.js';

/** A change that gdb makes by itself, to memory or to a register. */
interface Edit {
  readonly kind: 'edit';
  apply(machine: Machine): void;
}
export type Decision = Choice | Edit;

interface Step {
  /** Its first moment. */
  readonly from: number;
  readonly decision: Decision;
}

/** Moments that a decision takes. */
export const lengthOf = (decision: Decision): number => ('count' in decision ? decision.count : 1);

/** The same decision, if it takes longer, for so many moments. */
const shortened = (decision: Decision, moments: number): Decision =>
  'count' in decision ? { ...decision, count: Math.min(decision.count, moments) } : decision;

/** Whether two decisions differ in their length at most. */
function areAlike(one: Decision, other: Decision): boolean {
  if (one.kind === 'cpu' && other.kind === 'cpu') return one.cpu === other.cpu;
  return one === other || (one.kind === 'run' && other.kind === 'run');
}

export class Way {
  readonly #steps: Step[];

  constructor(decisions: Iterable<Decision> = []) {
    this.#steps = [];
    for (const decision of decisions) this.#steps.push({ from: this.end, decision });
  }

  /** The first moment about which nothing has been decided. */
  get end(): number {
    const last = this.#steps.at(-1);
    return last === undefined ? 0 : last.from + lengthOf(last.decision);
  }

  /** What has been decided about a moment. */
  at(moment: number): Step | undefined {
    if (moment >= this.end) return undefined;
    let low = 0;
    for (let high = this.#steps.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (this.#steps[middle]!.from <= moment) low = middle;
      else high = middle;
    }
    return this.#steps[low];
  }

  /** Decides what comes at the end; the same for longer is one decision. */
  push(decision: Decision): void {
    const last = this.#steps.at(-1);
    if (
      last !== undefined &&
      'count' in last.decision &&
      'count' in decision &&
      areAlike(last.decision, decision)
    ) {
      const count = last.decision.count + decision.count;
      this.#steps[this.#steps.length - 1] = { from: last.from, decision: { ...decision, count } };
    } else this.#steps.push({ from: this.end, decision });
  }

  /** The decisions about the time before a moment. */
  *before(moment: number): Generator<Decision> {
    for (const { from, decision } of this.#steps) {
      if (from >= moment) return;
      yield shortened(decision, moment - from);
    }
  }

  copy(): Way {
    return new Way(this.before(this.end));
  }

  /** Moments for which this way is another one. */
  commonWith(other: Way): number {
    let moments = 0;
    for (const [index, { from, decision }] of this.#steps.entries()) {
      const twin = other.#steps[index]?.decision;
      if (twin === undefined || !areAlike(decision, twin)) return moments;
      moments = from + Math.min(lengthOf(decision), lengthOf(twin));
      if (lengthOf(decision) !== lengthOf(twin)) return moments;
    }
    return moments;
  }
}
