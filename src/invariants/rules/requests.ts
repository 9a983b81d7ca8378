/** Who is called: those who asked, all of them, once. */
import type { Ask } from '../history.js';
import type { EndSeen, Invariant } from './rule.js';

function unanswered(end: string, { entry, history }: EndSeen): string | undefined {
  const ask = entry.asks.find(({ answered }) => !answered);
  if (ask === undefined) return undefined;
  return `expected ${nameOf(ask, history.tracers)} to be called for its request in task ${entry.pid} before ${end}, found no call`;
}

const nameOf = ({ work }: Ask, tracers: EndSeen['history']['tracers']): string =>
  tracers.find((tracer) => tracer.work === work)?.name ?? 'a cancelled tracer';

export const answered: Invariant = {
  id: 'answered',
  user: (seen) => unanswered('user code', seen),
  taskExit: (seen) => unanswered('the task is gone', seen),
};

export const once: Invariant = {
  id: 'once',
  call({ entry, tracer, work, cookie }) {
    const again = entry.calls.some((call) => call.work === work && call.cookie === cookie);
    return again
      ? `expected one call of ${tracer} for one entry of task ${entry.pid}, found a second one`
      : undefined;
  },
};

export const asked: Invariant = {
  id: 'asked',
  call({ entry, tracer, work, isRegistered, mayHaveAsked }) {
    if (!isRegistered) return `expected no call of ${tracer} after it was cancelled, found one`;
    if (mayHaveAsked || entry.asks.some((ask) => ask.work === work)) return undefined;
    return `expected no call of ${tracer}, which has not asked in this entry of task ${entry.pid}, found one`;
  },
};
