/** Runs a schedule again and compares the run with what was recorded. */
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Machine, Outcome } from '../../emu/machine.js';
import { applyChoice } from '../schedule/apply.js';
import { Comparison, type Difference } from '../schedule/comparison.js';
import { endOf } from '../schedule/recorder.js';
import type { Choice, Schedule, ScheduleEnd } from '../schedule/schedule.js';
import { SLICE } from './run.js';

export interface ReplayOptions {
  /** The log that was recorded with the schedule: its next line, undefined behind the last. */
  readonly log?: (() => string | undefined) | undefined;
  /** Asked between slices; true ends the replay. */
  readonly interrupted?: () => boolean;
}

/** What a replay has come to; `end` is how the machine stands now. */
export type Replay =
  | { readonly kind: 'same'; readonly end: ScheduleEnd }
  | { readonly kind: 'interrupted'; readonly end: ScheduleEnd }
  | { readonly kind: 'event'; readonly end: ScheduleEnd; readonly difference: Difference }
  | { readonly kind: 'end'; readonly end: ScheduleEnd; readonly recorded: ScheduleEnd };

/** The kinds of end that a guest comes to by itself; at all others it could have gone on. */
const ENDS_OF_GUESTS: ReadonlySet<string> = new Set<Outcome['kind']>([
  'poweroff',
  'debug-exit',
  'reset',
  'triple-fault',
  'hang',
  'bus-error',
]);

/**
 * Takes the choices of a schedule. @param machine as `openSchedule` gives it; what watches it has been attached
 * @throws ScheduleError for a choice that is not possible on this machine, or a line of the log that is no event.
 */
export async function replay(
  machine: Machine,
  { choices, end: recorded }: Schedule,
  { log, interrupted = () => false }: ReplayOptions = {},
): Promise<Replay> {
  const comparison = log && new Comparison(machine, log);
  const outcome = await takeChoices(machine, choices, interrupted);
  const isInterrupted = outcome?.kind === 'stopped';
  const difference = comparison?.finish({ isComplete: !isInterrupted });
  const open = recorded === undefined || ENDS_OF_GUESTS.has(recorded.kind) ? 'stopped' : recorded.kind;
  const end = endOf(machine, outcome?.kind ?? open);
  if (difference !== undefined) return { kind: 'event', end, difference };
  if (isInterrupted) return { kind: 'interrupted', end };
  return recorded === undefined || isDeepStrictEqual(recorded, end)
    ? { kind: 'same', end }
    : { kind: 'end', end, recorded };
}

/** @returns how the guest or its watchers have ended the run; undefined when all choices have been taken. */
async function takeChoices(
  machine: Machine,
  choices: readonly Choice[],
  interrupted: () => boolean,
): Promise<Outcome | undefined> {
  for (const choice of choices)
    for (const slice of slicesOf(choice)) {
      const outcome = applyChoice(machine, slice);
      if (outcome !== undefined) return outcome;
      await setImmediate();
      if (interrupted()) return { kind: 'stopped' };
    }
  return undefined;
}

/** A choice in parts that leave room for signals; taken one after the other they are the same. */
function* slicesOf(choice: Choice): Generator<Choice> {
  if ('count' in choice)
    for (let left = choice.count; left > 0; left -= SLICE) yield { ...choice, count: Math.min(left, SLICE) };
  else yield choice;
}
