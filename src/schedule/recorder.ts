/** Writes down what is decided about a run while it goes on, so that it can be done again. */
import type { Machine, Outcome } from '../../emu/machine.js';
import type { Choice, GuestSpec, Schedule, ScheduleEnd } from './schedule.js';

/** Outcomes of a guest that an instruction has ended which did not complete. */
export const IN_MID_INSTRUCTION: ReadonlySet<string> = new Set<Outcome['kind']>([
  'triple-fault',
  'bus-error',
]);

export class Recorder {
  readonly #machine: Machine;
  readonly #choices: Choice[] = [];
  /** Instructions up to the last choice. */
  #since = 0;

  /** @param machine before its first instruction */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Passes input on to the machine, which stands between two runs. */
  input(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#run(this.#machine.retired);
    const last = this.#choices.at(-1);
    if (last?.kind === 'input') {
      this.#choices.pop();
      this.#choices.push({ kind: 'input', bytes: Buffer.concat([last.bytes, bytes]) });
    } else this.#choices.push({ kind: 'input', bytes });
    this.#machine.input(bytes);
  }

  /** The run up to here, which has ended in `outcome`. */
  finish(guest: GuestSpec, outcome: Outcome): Schedule {
    const end = endOf(this.#machine, outcome.kind);
    this.#run(end.retired + (IN_MID_INSTRUCTION.has(outcome.kind) ? 1 : 0));
    return { guest, choices: this.#choices, end };
  }

  #run(until: number): void {
    if (until > this.#since) this.#choices.push({ kind: 'run', count: until - this.#since });
    this.#since = until;
  }
}

/** How a machine stands that has ended in `kind`. */
export const endOf = ({ retired, events }: Machine, kind: string): ScheduleEnd => ({
  kind,
  retired,
  hash: events.hash.digest,
});
