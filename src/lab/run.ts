/** Runs a guest to its end in slices, so that the process can hear signals and take input in between. */
import { setImmediate } from 'node:timers/promises';
import type { Machine, Outcome } from '../../emu/machine.js';

/**
 * Instructions between two looks at signals and input: 1 ms of a busy guest, some 50 ms of an idle one, which does little
 * but go to sleep and wake up. Slices do not change the run.
 */
export const SLICE = 200_000;

export interface RunOptions {
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** Asked between slices; true ends the run as `stopped`. */
  readonly interrupted?: () => boolean;
}

export async function runToEnd(machine: Machine, { budget, interrupted }: RunOptions): Promise<Outcome> {
  let left = budget;
  while (left > 0) {
    const before = machine.retired;
    const outcome = machine.run({ budget: Math.min(SLICE, left) });
    if (outcome.kind !== 'budget') return outcome;
    left -= machine.retired - before;
    await setImmediate();
    if (interrupted?.()) return { kind: 'stopped' };
  }
  return { kind: 'budget' };
}
