/** What a sweep is asked: the stretch of a guest's run, and what strikes there. */
import type { Machine } from '../../emu/machine.js';
import { applyChoice, mayCall } from '../schedule/apply.js';
import type { Choice } from '../schedule/schedule.js';

/** What comes at a boundary. */
export type Injection =
  | { readonly kind: 'nmi' }
  | { readonly kind: 'irq'; readonly vector: number }
  /** The CPU calls a routine that preserves all registers, as if a call stood before its next instruction. */
  | { readonly kind: 'call'; readonly symbol: string };

/** Stands for a place in the window's names: the next instruction that the CPU executes in user mode. */
export const USER = 'user';

export interface Question {
  /** Where the window begins: a symbol, `symbol+0x12`, or `user`. */
  readonly from: string;
  /** Where it ends; undefined: when the function that it begins in has returned. */
  readonly to: string | undefined;
  /** Which arrival at `from` opens the window; the first is 1. */
  readonly occurrence: number;
  readonly cpu: number;
  readonly injection: Injection;
  /** Injections of a run at most: 1 to 3. */
  readonly depth: number;
  /** Instructions that the window may have, and again those of a run behind its last injection. */
  readonly bound: number;
  /** Whether boundaries are left out whose end state is another's; `--no-prune` turns it off. */
  readonly prune: boolean;
}

/** The injection as a schedule's choice. */
export function choiceOf(injection: Injection, cpu: number): Choice {
  switch (injection.kind) {
    case 'nmi':
      return { kind: 'nmi', cpu };
    case 'irq':
      return { kind: 'irq', cpu, vector: injection.vector };
    case 'call':
      return { kind: 'call', cpu, symbol: injection.symbol };
  }
}

/** Whether the injection makes sense where the CPU stands: events always do, calls in the kernel only. */
export function mayStrike(machine: Machine, { injection, cpu }: Question): boolean {
  return injection.kind !== 'call' || mayCall(machine.cpus[cpu]!);
}

export function strike(machine: Machine, { injection, cpu }: Question): void {
  applyChoice(machine, choiceOf(injection, cpu));
}
