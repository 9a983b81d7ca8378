/** A guest under gdb from its first instruction to its end: it waits for gdb, is moved by it, and runs free when gdb lets it. */
import type { Machine, Outcome } from '../../emu/machine.js';
import type { Choice, GuestSpec } from '../schedule/schedule.js';
import type { Listener } from './connection.js';
import type { ConsoleGate } from './console-gate.js';
import { Monitor } from './monitor.js';
import { Motion } from './motion.js';
import { Points } from './points.js';
import { Session, type SessionParts } from './session.js';
import { Timeline } from './timeline.js';

export interface DebuggerOptions {
  readonly listener: Listener;
  /** What the machine's console has been given. */
  readonly gate: ConsoleGate;
  /** What `monitor schedule` says of the guest. */
  readonly guest: GuestSpec;
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** Decisions that are recorded already: the guest stops for gdb behind the last one. */
  readonly recorded?: readonly Choice[];
  /** What watches the machine bears to see a part of the run again. */
  readonly isReversible: boolean;
  readonly endingOf: SessionParts['endingOf'];
  /** Asked now and then; true ends the run as `stopped`. */
  readonly interrupted: () => boolean;
  /** gdb has come, or has gone without a word. */
  readonly onGdb?: (event: 'attached' | 'lost' | 'detached') => void;
}

const POLL_MS = 50;

export class Debugger {
  readonly #timeline: Timeline;
  readonly #motion: Motion;
  readonly #options: DebuggerOptions;
  #session: Session | undefined;
  #isInterruptedByGdb: () => boolean = () => false;
  /** Input that has come while the run stood in its past. */
  readonly #input: Uint8Array[] = [];

  /** @param machine before its first instruction */
  constructor(machine: Machine, options: DebuggerOptions) {
    const { gate, recorded, isReversible, budget } = options;
    this.#options = options;
    this.#timeline = new Timeline(
      { machine, points: new Points(machine), gate },
      { isReversible, ...(recorded && { future: recorded }) },
    );
    this.#motion = new Motion(this.#timeline, {
      budget,
      stopsAtEnd: recorded !== undefined,
      interrupted: () => this.#isInterrupted(),
    });
  }

  /** Bytes for the guest's serial port; they arrive where the run has not been decided yet. */
  input(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#input.push(bytes);
  }

  #giveInput(): void {
    if (!this.#timeline.isAtEnd || this.#input.length === 0) return;
    const bytes = Buffer.concat(this.#input.splice(0));
    this.#timeline.decide({ kind: 'input', bytes });
  }

  #isInterrupted(): boolean {
    this.#giveInput();
    return this.#isInterruptedByGdb() || this.#options.interrupted();
  }

  /** @returns how the guest has ended; `stopped` where gdb has killed it, or the user has interrupted */
  async run(): Promise<Outcome> {
    const { listener, interrupted, onGdb = () => {} } = this.#options;
    const waits = new AbortController();
    const timer = setInterval(() => {
      if (interrupted()) waits.abort();
    }, POLL_MS);
    try {
      for (;;) {
        const connection = await listener.next(waits.signal);
        if (connection === undefined) return { kind: 'stopped' };
        onGdb('attached');
        this.#isInterruptedByGdb = () => connection.takeInterrupt() || !connection.isOpen;
        this.#giveInput();
        this.#session = new Session(connection, this.#sessionParts());
        const farewell = await this.#session.talk(waits.signal);
        connection.close();
        this.#isInterruptedByGdb = () => false;
        if (farewell.kind === 'killed' || interrupted()) return { kind: 'stopped' };
        if (farewell.kind === 'ended') return farewell.outcome;
        onGdb(farewell.kind);
        const outcome = farewell.kind === 'detached' ? await this.#free() : undefined;
        if (outcome !== undefined) return outcome;
      }
    } finally {
      clearInterval(timer);
    }
  }

  #monitor: Monitor | undefined;
  #sessionParts(): SessionParts {
    const timeline = this.#timeline;
    const motion = this.#motion;
    const { isReversible, guest, endingOf } = this.#options;
    this.#monitor ??= new Monitor({
      timeline,
      motion,
      guest,
      isReversible,
      cpu: () => this.#session?.cpu ?? 0,
    });
    return { timeline, motion, monitor: this.#monitor, isReversible, endingOf };
  }

  /** Runs without gdb until the guest ends, or another gdb comes. */
  async #free(): Promise<Outcome | undefined> {
    const { listener, interrupted } = this.#options;
    this.#timeline.points.clear();
    this.#isInterruptedByGdb = () => listener.hasNew;
    const stop = await this.#motion.continue();
    this.#isInterruptedByGdb = () => false;
    if (stop.kind === 'ended') return stop.outcome;
    if (stop.kind === 'edge') return { kind: 'stopped' };
    return interrupted() ? { kind: 'stopped' } : undefined;
  }
}
