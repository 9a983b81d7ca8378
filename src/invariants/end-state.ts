/** What tracers were told and given, as text without times and addresses. */
import type { Log } from './history.js';

/**
 * For each tracer what it asked and was called with. Cookies are named C1, C2, … as they appeared; C0 is 0.
 * `asked 1: 0 C1`: the request in task 1 returned 0 and the cookie C1; `called 1: C1 4`: with that cookie and 4 entries.
 */
export function describeLog(newest: Log | undefined): string {
  const lines: Log[] = [];
  for (let line = newest; line !== undefined; line = line.older) lines.push(line);
  const cookies: bigint[] = [0n];
  const tracers: string[] = [];
  const texts: string[] = [];
  for (let index = lines.length - 1; index >= 0; index--) {
    const { tracer, kind, pid, cookie, value } = lines[index]!;
    const name = `C${placeIn(cookies, cookie)}`;
    const place = placeIn(tracers, tracer);
    const text = kind === 'asked' ? `asked ${pid}: ${value} ${name}` : `called ${pid}: ${name} ${value}`;
    texts[place] = texts[place] === undefined ? `${tracer} ${text}` : `${texts[place]}, ${text}`;
  }
  return texts.sort().join('; ');
}

/** Where a value stands in a list; it is added where it does not. */
function placeIn<Value>(list: Value[], value: Value): number {
  const at = list.indexOf(value);
  return at < 0 ? list.push(value) - 1 : at;
}
