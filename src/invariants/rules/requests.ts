/** Who is called: those who asked, all of them, once. */
import type { EndSeen, Invariant } from './rule.js';

function unanswered(end: string, { entry, history }: EndSeen): string | undefined {
  for (const { work, answered } of entry.asks) {
    if (answered) continue;
    const name = history.tracers.find((tracer) => tracer.work === work)?.name ?? 'a cancelled tracer';
    return `expected ${name} to be called for its request in task ${entry.start.pid} before ${end}, found no call`;
  }
  return undefined;
}

export const answered: Invariant = {
  id: 'answered',
  user: (seen) => unanswered('user code', seen),
  taskExit: (seen) => unanswered('the task is gone', seen),
};

export const once: Invariant = {
  id: 'once',
  call({ entry, tracer, work, cookie }) {
    if (!entry.wasCalled(work, cookie)) return undefined;
    return `expected one call of ${tracer} for one entry of task ${entry.start.pid}, found a second one`;
  },
};

export const asked: Invariant = {
  id: 'asked',
  call({ entry, tracer, work, isRegistered, mayHaveAsked }) {
    if (!isRegistered) return `expected no call of ${tracer} after it was cancelled, found one`;
    if (mayHaveAsked || entry.asks.some((ask) => ask.work === work)) return undefined;
    return `expected no call of ${tracer}, which has not asked in this entry of task ${entry.start.pid}, found one`;
  },
};
