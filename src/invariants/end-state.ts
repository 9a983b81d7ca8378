/** What tracers were told and given, as text without times and addresses. */
import type { Log } from './history.js';

/**
 * For each tracer, in the order of names, what it asked and was called with. Cookies are named C1, C2, … as they appeared.
 * `asked 1: 0 C1`: the request in task 1 returned 0 and the cookie C1; `called 1: C1 4`: with that cookie and 4 entries.
 */
export function describeLog(newest: Log | undefined): string {
  const lines: Log[] = [];
  for (let line = newest; line !== undefined; line = line.older) lines.push(line);
  const cookies = new Map<bigint, string>([[0n, '0']]);
  const tracers = new Map<string, string[]>();
  for (const { tracer, kind, pid, cookie, value } of lines.reverse()) {
    const name = cookies.get(cookie) ?? `C${cookies.size}`;
    cookies.set(cookie, name);
    const text = kind === 'asked' ? `asked ${pid}: ${value} ${name}` : `called ${pid}: ${name} ${value}`;
    const told = tracers.get(tracer);
    if (told === undefined) tracers.set(tracer, [text]);
    else told.push(text);
  }
  return [...tracers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tracer, told]) => `${tracer} ${told.join(', ')}`)
    .join('; ');
}
