/**
 * The timer of a local APIC (SDM 3A, "APIC Timer", 11.5.4). It counts down on the machine's clock, one tick a nanosecond before division, or
 * waits for the time-stamp counter to reach a deadline.
 *
 * The idea: what it holds is a function of when it will fire, so nothing is done tick by tick.
 */

/** Bits 18 and 17 of its vector table entry; 3 is reserved and taken as one-shot. */
const MODE = { oneShot: 0, periodic: 1, deadline: 2 } as const;
const NEVER = Number.POSITIVE_INFINITY;

export interface TimerState {
  readonly mode: number;
  readonly initialCount: number;
  readonly divide: number;
  readonly firesAt: number;
  readonly tscDeadline: bigint;
}

export interface TimerWires {
  /** The machine's time at this CPU, in nanoseconds. */
  now(): number;
  /** Its time-stamp counter, which counts nanoseconds too. */
  timestamp(): bigint;
}

export class ApicTimer {
  readonly #wires: TimerWires;
  #mode: number = MODE.oneShot;
  #initialCount = 0;
  #divide = 0;
  #firesAt = NEVER;
  /** Zero: disarmed. */
  #tscDeadline = 0n;

  constructor(wires: TimerWires) {
    this.#wires = wires;
  }

  reset(): void {
    this.#mode = MODE.oneShot;
    this.#initialCount = 0;
    this.#divide = 0;
    this.#disarm();
  }
  #disarm(): void {
    this.#firesAt = NEVER;
    this.#tscDeadline = 0n;
  }

  /** When it fires next, in nanoseconds; infinity: never. */
  get firesAt(): number {
    return this.#firesAt;
  }

  /** It has fired. A periodic one goes on from when it should have. */
  rearm(now: number): void {
    const period = this.#initialCount * this.#divisor;
    const late = now - this.#firesAt;
    this.#disarm();
    if (this.#mode === MODE.periodic) this.#firesAt = now - (late % period) + period;
  }

  /**
   * From one-shot to periodic and back the count goes on; to and from deadlines the timer is disarmed ("TSC-Deadline Mode", 11.5.4.1).
   */
  setMode(mode: number): void {
    const { deadline } = MODE;
    if (mode !== this.#mode && (mode === deadline || this.#mode === deadline)) {
      this.#disarm();
      this.#initialCount = 0;
    }
    this.#mode = mode;
  }

  get #divisor(): number {
    const code = (this.#divide & 3) | ((this.#divide >> 1) & 4);
    return code === 7 ? 1 : 2 << code;
  }
  get divide(): number {
    return this.#divide;
  }
  /** The count goes on in steps of another length. */
  set divide(value: number) {
    const left = this.currentCount;
    this.#divide = value;
    if (this.#mode !== MODE.deadline) this.#start(left);
  }

  get initialCount(): number {
    return this.#initialCount;
  }
  /** A write starts the count; zero stops it. */
  set initialCount(value: number) {
    if (this.#mode === MODE.deadline) return;
    this.#initialCount = value;
    this.#start(value);
  }
  #start(count: number): void {
    this.#firesAt = count === 0 ? NEVER : this.#wires.now() + count * this.#divisor;
  }

  get currentCount(): number {
    if (this.#mode === MODE.deadline || this.#firesAt === NEVER) return 0;
    return Math.ceil((this.#firesAt - this.#wires.now()) / this.#divisor) >>> 0;
  }

  /** IA32_TSC_DEADLINE: zero when it is disarmed or has fired, and in other modes, in which a write does nothing. */
  get tscDeadline(): bigint {
    return this.#tscDeadline;
  }
  set tscDeadline(value: bigint) {
    if (this.#mode !== MODE.deadline) return;
    this.#tscDeadline = value;
    this.timestampChanged();
  }

  /** The time-stamp counter has been set, or its deadline. One that has passed fires at once; one behind the end of time never. */
  timestampChanged(): void {
    const left = Number(this.#tscDeadline - this.#wires.timestamp());
    const at = this.#wires.now() + Math.max(left, 0);
    this.#firesAt = this.#tscDeadline === 0n || at > Number.MAX_SAFE_INTEGER ? NEVER : at;
  }

  capture(): TimerState {
    return {
      mode: this.#mode,
      initialCount: this.#initialCount,
      divide: this.#divide,
      firesAt: this.#firesAt,
      tscDeadline: this.#tscDeadline,
    };
  }
  reinstate(state: TimerState): void {
    this.#mode = state.mode;
    this.#initialCount = state.initialCount;
    this.#divide = state.divide;
    this.#firesAt = state.firesAt;
    this.#tscDeadline = state.tscDeadline;
  }
}
