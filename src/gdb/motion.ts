/** How gdb moves the guest: on, by steps, and back. Each motion ends with the reason why the guest stands. */
import { setImmediate } from 'node:timers/promises';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Outcome } from '../../emu/machine.js';
import { IN_MID_INSTRUCTION } from '../schedule/recorder.js';
import type { Hit } from './points.js';
import type { Place, Timeline } from './timeline.js';

/** Moments between two looks at Ctrl-C. */
const SLICE = 200_000;

export type Stop =
  | { readonly kind: 'hit'; readonly cpu: number; readonly hit: Hit }
  | { readonly kind: 'step'; readonly cpu: number }
  | { readonly kind: 'interrupted'; readonly cpu: number }
  /** The guest has ended, or its budget is spent. */
  | { readonly kind: 'ended'; readonly cpu: number; readonly outcome: Outcome }
  /** The recorded run begins or ends here. */
  | { readonly kind: 'edge'; readonly cpu: number; readonly edge: 'begin' | 'end' };

export interface MotionOptions {
  /** Asked now and then; true ends a motion. */
  readonly interrupted: () => boolean;
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** The run stops where what has been recorded of it ends, once. */
  readonly stopsAtEnd: boolean;
}

export class Motion {
  readonly #timeline: Timeline;
  readonly #options: MotionOptions;
  #stopsAtEnd: boolean;
  /** What a step passes over, with all that its handler does. */
  readonly hidden = new Set<'nmi' | 'interrupt'>();

  constructor(timeline: Timeline, options: MotionOptions) {
    this.#timeline = timeline;
    this.#options = options;
    this.#stopsAtEnd = options.stopsAtEnd;
  }

  /** All CPUs run, in their turns. */
  async continue(): Promise<Stop> {
    this.#ready();
    for (;;) {
      const stop = this.#slice(SLICE);
      if (stop !== undefined) return stop;
      await setImmediate();
      if (this.#options.interrupted()) return this.#interrupted();
    }
  }

  /** One CPU executes an instruction, or takes what is pending before it; the others run when it is their turn. */
  async step(cpu: number): Promise<Stop> {
    const { machine, points } = this.#timeline;
    const target = machine.cpus[cpu]!;
    this.#ready();
    for (;;) {
      while (this.#timeline.isAtDecision) this.#timeline.advance(1);
      const before = target.retired;
      const alone = this.#timeline.nextAlone;
      if (alone !== undefined) {
        const stop = this.#one();
        if (stop !== undefined) return stop;
        if (alone === cpu) return { kind: 'step', cpu };
        continue;
      }
      const outcome = this.#timeline.settle();
      if (outcome !== undefined) return this.#ended(outcome);
      if (machine.inTurn === cpu) {
        const taken = this.#timeline.deliver(cpu);
        const end = this.#timeline.outcome; // nothing could take it
        if (end !== undefined) return this.#ended(end);
        if (taken !== undefined && !this.hidden.has(taken)) return { kind: 'step', cpu };
        const stop = taken === undefined ? this.#one() : await this.#handler(cpu);
        if (stop !== undefined) return stop;
        if (target.retired > before && taken === undefined) return { kind: 'step', cpu };
      } else {
        target.requestStop();
        points.mode = 'stop';
        const stop = this.#slice(SLICE);
        target.stopRequested = false;
        if (stop !== undefined) return stop;
      }
      await setImmediate();
      if (this.#options.interrupted()) return this.#interrupted();
    }
  }

  /** The next instruction, whatever breakpoint is on it. */
  #one(): Stop | undefined {
    const { points } = this.#timeline;
    points.mode = 'watch';
    try {
      return this.#slice(1);
    } finally {
      points.mode = 'stop';
    }
  }

  /** A handler has been entered that a step passes over: up to where it returns to. */
  async #handler(cpu: number): Promise<Stop | undefined> {
    const timeline = this.#timeline;
    const { machine, points } = timeline;
    const { moment } = timeline.place;
    const { state } = machine.cpus[cpu]!;
    const frame = machine.read(cpu, state.reg(GPR.rsp), FRAME_BYTES);
    if (frame === undefined) return undefined;
    const rip = frame.readBigUInt64LE(0);
    const rsp = frame.readBigUInt64LE(FRAME_RSP);
    let isBack = false;
    const remove = points.until(rip, ({ index, state: now }) => {
      isBack ||= index === cpu && now.reg(GPR.rsp) === rsp && timeline.momentOfHit > moment;
      return isBack;
    });
    try {
      for (;;) {
        const stop = this.#slice(SLICE);
        if (stop !== undefined || isBack) return stop;
        await setImmediate();
        if (this.#options.interrupted()) return this.#interrupted();
      }
    } finally {
      remove();
    }
  }

  /** Some CPUs run while the others stand still, which is a decision of its own: one instruction each in turn. */
  async alone(cpus: readonly number[], isStep: boolean): Promise<Stop> {
    const { machine } = this.#timeline;
    this.#ready();
    for (;;) {
      for (let round = 0; round < ROUNDS_PER_SLICE; round++)
        for (const cpu of cpus) {
          const isTaken = machine.cpus[cpu]!.takesEvent;
          const outcome = this.#timeline.decide(
            isTaken && isStep ? { kind: 'deliver', cpu } : { kind: 'cpu', cpu, count: 1 },
          );
          const stop = this.#stopped(outcome);
          if (stop !== undefined) return stop;
          if (isStep) return { kind: 'step', cpu };
        }
      await setImmediate();
      if (this.#options.interrupted()) return this.#interrupted();
    }
  }

  /** Back to the last place where a point is met, or to the beginning. */
  async reverseContinue(): Promise<Stop> {
    const timeline = this.#timeline;
    const { points } = timeline;
    points.install();
    for (let end = timeline.place.moment; ; ) {
      const start = timeline.goToSnapshotBefore(end);
      if (start === undefined) break;
      let last: { readonly hit: Hit; readonly place: Place } | undefined;
      points.listener = (hit) => {
        last = { hit, place: { moment: timeline.momentOfHit, delivered: hit.cpu } };
      };
      points.mode = 'note';
      try {
        while (timeline.place.moment < end) {
          timeline.advance(Math.min(SLICE, end - timeline.place.moment));
          await setImmediate();
          if (!this.#options.interrupted()) continue;
          timeline.goTo({ moment: start, delivered: undefined });
          return this.#interrupted();
        }
      } finally {
        points.mode = 'stop';
      }
      const found = last as { readonly hit: Hit; readonly place: Place } | undefined;
      if (found !== undefined) {
        timeline.goTo(found.place);
        return { kind: 'hit', cpu: found.hit.cpu, hit: found.hit };
      }
      end = start;
    }
    return this.#begin();
  }

  /** Back before the last instruction of a CPU, or before what it has taken last. */
  reverseStep(cpu: number): Stop {
    const timeline = this.#timeline;
    const { machine, place } = timeline;
    const here = place.moment;
    if (place.delivered === cpu) {
      timeline.goTo({ moment: here, delivered: undefined });
      if (timeline.deliver(cpu) !== undefined) {
        timeline.goTo({ moment: here, delivered: undefined });
        return { kind: 'step', cpu };
      }
    }
    if (IN_MID_INSTRUCTION.has(timeline.outcome?.kind ?? '')) {
      timeline.goTo({ moment: here - 1, delivered: undefined });
      return { kind: 'step', cpu };
    }
    const { retired } = machine.cpus[cpu]!;
    const isBefore = (moment: number): boolean => {
      timeline.goTo({ moment, delivered: undefined });
      return machine.cpus[cpu]!.retired < retired;
    };
    if (here === 0) return this.#begin();
    let low = here - 1;
    if (!isBefore(low)) {
      let high = low;
      for (let reach = 2; ; reach *= 2) {
        low = Math.max(here - reach, 0);
        if (isBefore(low)) break;
        if (low === 0) return this.#begin();
        high = low;
      }
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (isBefore(middle)) low = middle;
        else high = middle;
      }
    }
    timeline.goTo({ moment: low, delivered: cpu });
    return { kind: 'step', cpu };
  }

  #begin(): Stop {
    this.#timeline.goTo({ moment: 0, delivered: undefined });
    return { kind: 'edge', cpu: this.#cpu, edge: 'begin' };
  }

  #ready(): void {
    const { points } = this.#timeline;
    points.takeHit();
    points.mode = 'stop';
    points.install();
  }

  get #cpu(): number {
    return this.#timeline.machine.inTurn;
  }

  /** @returns why the guest stands, if it does */
  #slice(count: number): Stop | undefined {
    const timeline = this.#timeline;
    const wasAtEnd = timeline.isAtEnd;
    const left = this.#options.budget - timeline.machine.retired;
    if (left <= 0) return this.#ended({ kind: 'budget' });
    const toEnd = wasAtEnd || !this.#stopsAtEnd ? count : timeline.momentsToEnd;
    const stop = this.#stopped(timeline.advance(Math.min(count, left, toEnd)));
    if (stop !== undefined || wasAtEnd || !timeline.isAtEnd || !this.#stopsAtEnd) return stop;
    this.#stopsAtEnd = false;
    return { kind: 'edge', cpu: this.#cpu, edge: 'end' };
  }

  #stopped(outcome: Outcome | undefined): Stop | undefined {
    if (outcome !== undefined) return this.#ended(outcome);
    const hit = this.#timeline.points.takeHit();
    return hit && { kind: 'hit', cpu: hit.cpu, hit };
  }

  #ended(outcome: Outcome): Stop {
    return { kind: 'ended', cpu: 'cpu' in outcome ? outcome.cpu : this.#cpu, outcome };
  }

  #interrupted(): Stop {
    return { kind: 'interrupted', cpu: this.#cpu };
  }
}

/** Of an event's frame in 64-bit mode (SDM 3A, figure 6-9): RIP, CS, RFLAGS, RSP, SS. */
const FRAME_BYTES = 40;
const FRAME_RSP = 24;
/** As many instructions of each CPU as a slice has. */
const ROUNDS_PER_SLICE = 20_000;
