/**
 * What must hold while a guest runs, watched from outside. The sweep knows this interface and no invariant; an invariant knows
 * its guest and no sweep.
 */
import type { Machine } from '../../emu/machine.js';

/** One rule that a run has broken. */
export interface Violation {
  /** Id of the invariant. */
  readonly id: string;
  /** What was expected and what was found, in one sentence without a full stop. */
  readonly sentence: string;
  readonly cpu: number;
  /** Guest time at that CPU, in nanoseconds. */
  readonly time: number;
}

/** Watches one machine, from where it stands on. */
export interface Monitor<State = unknown> {
  /** What has been broken since the start or the last `reinstate`, in order. */
  readonly violations: readonly Violation[];
  /**
   * Whether all is done that what has happened so far obliges the guest to do. Asked when the struck CPU is about to go on in user
   * mode; false lets the run go on, to the next time or until its bound.
   */
  settled(): boolean;
  /**
   * What the run has come to, as a tracer's user could tell: runs of equal names are one end state. Without times and addresses
   * of code, which differ between runs that differ in nothing else.
   */
  endState(): string;
  /** What the monitor remembers; `reinstate` goes back to it, any number of times, when the machine goes back too. */
  capture(): State;
  reinstate(state: State): void;
}

/** Something that can be watched: a set of invariants for some kind of image. */
export interface MonitorPlugin {
  /** As the command line names it. */
  readonly name: string;
  /** Whether the image is of the kind that it knows. */
  fits(machine: Machine): boolean;
  /** Begins to watch; all breakpoints that it needs are laid here, once, for each new one costs all translated code. */
  attach(machine: Machine): Monitor;
}
