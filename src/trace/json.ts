import type { DeferredEvent } from './deferred.js';
import type { Location } from './maps.js';
import type { StackEvent } from './stacks.js';
import type { CallEvent } from './syscalls.js';

/** Words that are counts or amounts, not addresses. */
const DECIMAL: ReadonlySet<string> = new Set(['time', 'duration', 'period', 'lost', 'returned']);

/**
 * One event as one line of JSON, from the same objects that the text writers print.
 *
 * The shape is that of the type: `CallEvent` (syscalls.ts) for system calls, `StackEvent` (stacks.ts) for samples, `DeferredEvent` (deferred.ts); `kind`
 * tells which. A system call with its user stack has it as `stack`. Addresses, cookies and arguments are strings of the form `"0x401000"`, so that no reader rounds them.
 * Times and durations (nanoseconds), periods, counts and what a call returned are numbers, or strings of decimal
 * digits beyond 2^53.
 */
export function jsonLine(
  event: (CallEvent | StackEvent | DeferredEvent) & { readonly stack?: readonly Location[] },
): string {
  return `${JSON.stringify(event, (key, value) => (typeof value === 'bigint' ? word(key, value) : value))}\n`;
}

function word(key: string, value: bigint): string | number {
  if (!DECIMAL.has(key)) return `0x${value.toString(16)}`;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}
