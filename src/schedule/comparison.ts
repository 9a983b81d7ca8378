/** Compares a run with the log of an earlier one, event by event, and stops it at the first that differs. */
import type { Machine } from '../../emu/machine.js';
import { type LoggedEvent, logEvents, parseEvent } from './event-log.js';
import { type CpuRegisters, registersOf } from './registers.js';

/** Where two runs part. */
export interface Difference {
  /** Number of the event, from 1. */
  readonly event: number;
  /** undefined: nothing more was recorded. */
  readonly recorded: LoggedEvent | undefined;
  /** undefined: the run has ended. */
  readonly found: LoggedEvent | undefined;
  /** Of the CPU that `found` is about; where that has no place, behind the instruction that it belongs to. */
  readonly registers: CpuRegisters | undefined;
}

export class Comparison {
  readonly #machine: Machine;
  readonly #next: () => string | undefined;
  readonly #end: () => void;
  #count = 0;
  #difference: Difference | undefined;

  /**
   * Begins to compare. @param next the next line of the log, undefined behind the last.
   * @param machine before its first instruction; it is stopped when an event differs
   */
  constructor(machine: Machine, next: () => string | undefined) {
    this.#machine = machine;
    this.#next = next;
    this.#end = logEvents(machine, (line, cpu) => this.#event(line, cpu));
  }

  #event(found: string, cpu: number): void {
    if (this.#difference !== undefined) return;
    this.#count++;
    const recorded = this.#next();
    if (recorded === found) return;
    this.#machine.stop();
    this.#difference = {
      event: this.#count,
      recorded: recorded === undefined ? undefined : parseEvent(recorded),
      found: parseEvent(found),
      registers: registersOf(this.#machine.cpus[cpu]!.state),
    };
  }

  /**
   * To be called when the run is over; a complete run reaches the end of the log.
   * @returns where it has parted from the log, if it has. @throws ScheduleError for a line that is no event.
   */
  finish({ isComplete }: { isComplete: boolean }): Difference | undefined {
    this.#end();
    const difference = this.#difference ?? (isComplete ? this.#rest() : undefined);
    const found = difference?.found;
    if (difference === undefined || found === undefined || found.rip !== undefined) return difference;
    return { ...difference, registers: registersOf(this.#machine.cpus[found.cpu]!.state) };
  }

  /** What was recorded behind the end of the run. */
  #rest(): Difference | undefined {
    const recorded = this.#next();
    if (recorded === undefined) return undefined;
    const event = this.#count + 1;
    return { event, recorded: parseEvent(recorded), found: undefined, registers: undefined };
  }
}
