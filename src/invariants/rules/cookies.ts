/** What a cookie is: the name of one entry of one task. */
import { countOf, cpuOf, entryOfCookie } from '../history.js';
import type { CallSeen, Invariant, RequestSeen } from './rule.js';

const hex = (cookie: bigint): string => `0x${cookie.toString(16)}`;

/** The cookie was first seen in another entry. */
function isOfAnother({ history, entry, cookie }: RequestSeen | CallSeen): boolean {
  const first = cookie === 0n ? undefined : entryOfCookie(history, cookie);
  return first !== undefined && first !== entry.number;
}

export const cookieNamesEntry: Invariant = {
  id: 'cookie-names-entry',
  request(seen) {
    const { entry, tracer, cookie } = seen;
    if (isOfAnother(seen))
      return `expected a cookie of this entry of task ${entry.pid} for ${tracer}, found ${hex(cookie)} of another entry`;
    if (cookie === 0n || entry.cookie === 0n || entry.forgotten || cookie === entry.cookie) return undefined;
    return `expected the cookie ${hex(entry.cookie)} of this entry of task ${entry.pid} for ${tracer}, found ${hex(cookie)}`;
  },
  call(seen) {
    const { entry, tracer, work, cookie } = seen;
    if (isOfAnother(seen))
      return `expected ${tracer} to be called with a cookie of this entry of task ${entry.pid}, found ${hex(cookie)} of another entry`;
    const other = entry.asks.find((ask) => ask.work === work && !ask.answered && ask.cookie !== cookie);
    if (cookie === 0n || other === undefined || other.cookie === 0n) return undefined;
    return `expected ${tracer} to be called with ${hex(other.cookie)}, as its request in task ${entry.pid} was told, found ${hex(cookie)}`;
  },
};

export const cookieNotZero: Invariant = {
  id: 'cookie-not-zero',
  request({ entry, tracer, cookie }) {
    if (cookie !== 0n) return undefined;
    return `expected a cookie for ${tracer}, whose request in task ${entry.pid} was granted, found 0`;
  },
  call({ entry, tracer, cookie }) {
    if (cookie !== 0n) return undefined;
    return `expected ${tracer} to be called with the cookie of this entry of task ${entry.pid}, found 0`;
  },
};

/** How counts go on from a CPU's counter, whether a version keeps the last one given out there or one less. */
const nextCount = (counter: number): number => (counter + 2) | 1;

export const countsNeverRepeat: Invariant = {
  id: 'counts-never-repeat',
  request({ history, entry, cookie, cpu }) {
    const isNew = cookie !== 0n && cookie !== entry.cookie && entryOfCookie(history, cookie) === undefined;
    if (!isNew) return undefined;
    const newest = history.counts[cpuOf(cookie)];
    if (newest === undefined)
      return `expected the low half of a cookie to name a CPU, found ${hex(cookie)} on CPU ${cpu.index}`;
    if (countOf(cookie) > newest) return undefined;
    return `expected a new cookie of CPU ${cpuOf(cookie)} to have a count above ${newest}, found ${countOf(cookie)}`;
  },
  user({ history, cpu, own }) {
    const newest = history.counts[cpu.index]!;
    if (nextCount(own.count) > newest) return undefined;
    return `expected the counter of CPU ${cpu.index} to have reached ${newest}, the newest count given out there, found ${own.count}`;
  },
};
