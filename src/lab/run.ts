/** Runs a guest to its end in slices, so that the process can hear signals and take input in between. */
import { setImmediate } from 'node:timers/promises';
import type { Machine, Outcome } from '../../emu/machine.js';

/**
 * Instructions between two looks at signals and input: 1 ms of a busy guest, some 50 ms of an idle one, which does little
 * but go to sleep and wake up. Slices do not change the run.
 */
export const SLICE = 200_000;

/** A guest that sleeps for less than this is not worth a look, in nanoseconds. */
const SHORT_SLEEP = 1_000_000;

export interface RunOptions {
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** Asked between slices; true ends the run as `stopped`. */
  readonly interrupted?: () => boolean;
  /**
   * Called when all CPUs of a free-running machine have slept through so many nanoseconds, which have taken the host no time. What it waits
   * for is waited for: a guest that waits for its user need not keep the host busy.
   */
  readonly asleep?: (nanoseconds: number) => Promise<void>;
}

export async function runToEnd(
  machine: Machine,
  { budget, interrupted, asleep }: RunOptions,
): Promise<Outcome> {
  let left = budget;
  while (left > 0) {
    const before = machine.retired;
    let slept = 0;
    const listen = (time: number): boolean => {
      slept += time;
      return slept >= SHORT_SLEEP;
    };
    const outcome = machine.run({
      budget: Math.min(SLICE, left),
      ...(machine.freeRunning && asleep !== undefined && { asleep: listen }),
    });
    const isAsleep = outcome.kind === 'stopped' && slept >= SHORT_SLEEP;
    if (outcome.kind !== 'budget' && !isAsleep) return outcome;
    left -= machine.retired - before;
    if (isAsleep) await asleep?.(slept);
    else await setImmediate();
    if (interrupted?.()) return { kind: 'stopped' };
  }
  return { kind: 'budget' };
}
