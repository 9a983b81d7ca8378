/**
 * Whose turn it is. One retired instruction is one nanosecond. The CPUs run in rounds; in a round each gets one turn of a fixed length, one
 * after the other, so all clocks stay within one turn of each other. A CPU that halts sleeps until its timer or the end of its
 * turn; when all sleep, time moves to the next timer at once.
 *
 * A PC's CPUs share one clock instead: a turn begins where the one before it has ended, whose ever it was, and a CPU that sleeps has
 * none. So no CPU reads a time-stamp that is behind another's, which kernels check before they trust it.
 */
import type { Vcpu } from './cpu/vcpu.js';

/** On one CPU the end of a turn has no effect on the run; this only bounds how long one call into the engine takes. */
const TURN_OF_ONE_CPU = 1_000_000;
/** Rounds in which every CPU sleeps through the clocks' events, after which nothing is taken to wake one. */
const HANG_ROUNDS = 100_000;

/** What a turn needs to know of a CPU. */
type Sleeper = Pick<Vcpu, 'time' | 'activity' | 'takesEvent' | 'wakesAt' | 'idle'>;

export interface TurnState {
  readonly cursor: number;
  readonly end: number;
}

export class Turns {
  readonly #cpus: readonly Sleeper[];
  readonly #length: number;
  readonly #isShared: boolean;
  /** Index of the CPU whose turn it is. */
  cursor = 0;
  /** Its time when its turn is over, in nanoseconds. */
  end: number;
  /** Rounds since a CPU last executed something. */
  #idleRounds = 0;

  /** @param isShared the CPUs share one clock */
  constructor(cpus: readonly Sleeper[], length: number, isShared: boolean) {
    this.#cpus = cpus;
    this.#length = cpus.length === 1 ? TURN_OF_ONE_CPU : length;
    this.#isShared = isShared;
    this.end = this.#length;
  }

  /** A CPU has executed something. */
  worked(): void {
    this.#idleRounds = 0;
  }

  /** The next turn. @returns the time that all CPUs have slept through before it; undefined when none will ever run again */
  next(): number | undefined {
    if (this.#isShared) return this.#nextShared();
    this.cursor++;
    return this.cursor < this.#cpus.length ? 0 : this.#nextRound();
  }

  #nextShared(): number | undefined {
    const cpus = this.#cpus;
    const awake = Math.max(this.end, ...cpus.map((cpu) => cpu.time));
    let clock = awake;
    for (;;) {
      for (let passed = 0; passed < cpus.length; passed++) {
        this.cursor = (this.cursor + 1) % cpus.length;
        const cpu = cpus[this.cursor]!;
        cpu.time = clock;
        if (cpu.activity !== 'running' && !cpu.takesEvent) continue;
        this.end = clock + this.#length;
        return clock - awake;
      }
      const wake = Math.min(...cpus.map((cpu) => cpu.wakesAt));
      if (wake === Number.POSITIVE_INFINITY || ++this.#idleRounds > HANG_ROUNDS) return undefined;
      clock = Math.max(clock, wake);
    }
  }

  #nextRound(): number | undefined {
    const cpus = this.#cpus;
    this.cursor = 0;
    const awake = this.end;
    let start = awake;
    if (cpus.every((cpu) => cpu.idle)) {
      const wake = Math.min(...cpus.map((cpu) => cpu.wakesAt));
      if (wake === Number.POSITIVE_INFINITY) return undefined;
      start = Math.max(start, wake);
      for (const cpu of cpus) cpu.time = Math.max(cpu.time, start);
    }
    this.end = start + this.#length;
    return start - awake;
  }

  capture(): TurnState {
    return { cursor: this.cursor, end: this.end };
  }
  reinstate({ cursor, end }: TurnState): void {
    this.cursor = cursor;
    this.end = end;
  }
}
