/** Snapshots of a run by their moments, a bounded number of them: the closer to where the run stands, the more. */
import type { Machine, MachineSnapshot } from '../../emu/machine.js';
import type { ConsoleGate } from './console-gate.js';

export interface Kept {
  readonly moment: number;
  readonly snapshot: MachineSnapshot;
  /** Bytes of the console up to it. */
  readonly console: number;
}

/** Moments between two snapshots of a run that goes forward. */
const EVERY = 1 << 19;
const MOST = 48;

export class Shelf {
  readonly #machine: Machine;
  readonly #gate: ConsoleGate;
  /** In the order of their moments. The first one stays. */
  readonly #kept: Kept[] = [];

  constructor(machine: Machine, gate: ConsoleGate) {
    this.#machine = machine;
    this.#gate = gate;
  }

  /** The last one that is not behind `moment`. */
  before(moment: number): Kept | undefined {
    return this.#kept.findLast((kept) => kept.moment <= moment);
  }

  /** Whether it is time for one. */
  isDue(moment: number): boolean {
    const last = this.before(moment);
    return last === undefined || moment - last.moment >= EVERY;
  }

  /** Keeps the machine, which stands at `moment`. */
  keep(moment: number): void {
    if (this.before(moment)?.moment === moment) return;
    const kept = { moment, snapshot: this.#machine.snapshot(), console: this.#gate.count };
    const at = this.#kept.findIndex((other) => other.moment > moment);
    this.#kept.splice(at < 0 ? this.#kept.length : at, 0, kept);
    if (this.#kept.length > MOST) this.#thinOut(moment);
  }

  restore({ snapshot, console }: Kept): void {
    this.#machine.restore(snapshot);
    for (const cpu of this.#machine.cpus) cpu.meetAgain();
    this.#gate.count = console;
  }

  /** The run behind `moment` is forgotten. */
  forgetAfter(moment: number): void {
    while ((this.#kept.at(-1)?.moment ?? moment) > moment) this.#machine.release(this.#kept.pop()!.snapshot);
  }

  /** Drops the snapshot whose loss makes the smallest gap, seen from `here`. */
  #thinOut(here: number): void {
    let dropped = 1;
    let least = Number.POSITIVE_INFINITY;
    for (let index = 1; index < this.#kept.length - 1; index++) {
      const gap = this.#kept[index + 1]!.moment - this.#kept[index - 1]!.moment;
      const loss = gap / (Math.abs(here - this.#kept[index]!.moment) + EVERY);
      if (loss >= least) continue;
      least = loss;
      dropped = index;
    }
    const [kept] = this.#kept.splice(dropped, 1);
    this.#machine.release(kept!.snapshot);
  }
}
