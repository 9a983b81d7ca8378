/** What a cookie is: the name of one entry of one task. */
import { countOf, cpuOf } from '../history.js';
import { type CallSeen, hex, type Invariant, type RequestSeen } from './rule.js';

/** The cookie was first seen in another entry. */
function isOfAnother({ history, entry, cookie }: RequestSeen | CallSeen): boolean {
  const first = cookie === 0n ? undefined : history.entryOfCookie(cookie);
  return first !== undefined && first !== entry.number;
}

export const cookieNamesEntry: Invariant = {
  id: 'cookie-names-entry',
  request(seen) {
    const { entry, tracer, cookie } = seen;
    const { pid } = entry.start;
    if (isOfAnother(seen))
      return `expected a cookie of this entry of task ${pid} for ${tracer}, found ${hex(cookie)} of another entry`;
    if (cookie === 0n || entry.cookie === 0n || entry.forgotten || cookie === entry.cookie) return undefined;
    return `expected the cookie ${hex(entry.cookie)} of this entry of task ${pid} for ${tracer}, found ${hex(cookie)}`;
  },
  call(seen) {
    const { entry, tracer, work, cookie } = seen;
    const { pid } = entry.start;
    if (isOfAnother(seen))
      return `expected ${tracer} to be called with a cookie of this entry of task ${pid}, found ${hex(cookie)} of another entry`;
    if (cookie === 0n) return undefined;
    for (const ask of entry.asks)
      if (ask.work === work && !ask.answered && ask.cookie !== cookie && ask.cookie !== 0n)
        return `expected ${tracer} to be called with ${hex(ask.cookie)}, as its request in task ${pid} was told, found ${hex(cookie)}`;
    return undefined;
  },
};

export const cookieNotZero: Invariant = {
  id: 'cookie-not-zero',
  request({ entry, tracer, cookie }) {
    if (cookie !== 0n) return undefined;
    return `expected a cookie for ${tracer}, whose request in task ${entry.start.pid} was granted, found 0`;
  },
  call({ entry, tracer, cookie }) {
    if (cookie !== 0n) return undefined;
    return `expected ${tracer} to be called with the cookie of this entry of task ${entry.start.pid}, found 0`;
  },
};

/** How counts go on from a CPU's counter, whether a version keeps the last one given out there or one less. */
const nextCount = (counter: number): number => (counter + 2) | 1;

export const countsNeverRepeat: Invariant = {
  id: 'counts-never-repeat',
  request({ history, entry, cookie, cpu }) {
    if (cookie === 0n || cookie === entry.cookie || history.entryOfCookie(cookie) !== undefined)
      return undefined;
    const newest = history.counts[cpuOf(cookie)];
    if (newest === undefined)
      return `expected the low half of a cookie to name a CPU, found ${hex(cookie)} on CPU ${cpu.index}`;
    if (countOf(cookie) > newest) return undefined;
    return `expected a new cookie of CPU ${cpuOf(cookie)} to have a count above ${newest}, found ${countOf(cookie)}`;
  },
  user({ view, history, cpu }) {
    const newest = history.counts[cpu.index]!;
    const counter = view.count(cpu.index);
    if (nextCount(counter) > newest) return undefined;
    return `expected the counter of CPU ${cpu.index} to have reached ${newest}, the newest count given out there, found ${counter}`;
  },
};
