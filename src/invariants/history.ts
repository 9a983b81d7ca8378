/**
 * What a watcher remembers of the run. Everything here is replaced and never changed, so that remembering a moment, and
 * going back to it, is a reference.
 */
import type { Violation } from '../sweep/monitor.js';
import type { UserRegisters } from './user-registers.js';

/** A registered tracer. */
export interface Tracer {
  /** Address of its unwind_work. */
  readonly work: bigint;
  /** The symbol of its callback; numbered where several tracers share one. */
  readonly name: string;
}

/** A request that was granted. */
export interface Ask {
  readonly work: bigint;
  readonly cookie: bigint;
  readonly answered: boolean;
}

/** A callback. */
export interface Call {
  readonly work: bigint;
  readonly cookie: bigint;
}

/** From the first event that leads a task out of user mode to its next instruction there. */
export interface Entry {
  /** Tells entries apart. */
  readonly number: number;
  readonly task: bigint;
  readonly pid: number;
  /** The task executes user code again. */
  readonly isOver: boolean;
  /** Undefined where neither the CPU nor a complete pt_regs showed them. */
  readonly registers: UserRegisters | undefined;
  readonly asks: readonly Ask[];
  readonly calls: readonly Call[];
  /** The cookie given last; 0: none yet. */
  readonly cookie: bigint;
  /** The kernel has begun to forget the entry (unwind_reset_info) since that cookie was given. */
  readonly forgotten: boolean;
  /** Bits of the tracers that may have asked before the watch began: -1 where it may be anybody, 0 where the entry was seen from its start. */
  readonly before: bigint;
}

/** A cookie and the entry that it was first seen in. */
interface Given {
  readonly cookie: bigint;
  readonly entry: number;
}

/** A call that has not returned; the stack pointer, with which it will return, names it. */
export interface Flight {
  readonly rsp: bigint;
  readonly routine: 'request' | 'init' | 'cancel';
  readonly work: bigint;
  /** Of a request: where the cookie goes. */
  readonly cookieAt: bigint;
}

/** One line of what tracers were told and given, newest first. */
export interface Log {
  readonly tracer: string;
  readonly pid: number;
  readonly cookie: bigint;
  /** `asked`: what the request returned; `called`: entries of the trace. */
  readonly kind: 'asked' | 'called';
  readonly value: number;
  readonly older: Log | undefined;
}

export interface History {
  /** The last entry of each task. */
  readonly entries: readonly Entry[];
  readonly nextEntry: number;
  readonly flights: readonly Flight[];
  readonly tracers: readonly Tracer[];
  /** The newest cookies of the run, of all tasks. */
  readonly given: readonly Given[];
  /** For each CPU the highest count of a cookie that was made there. */
  readonly counts: readonly number[];
  /** One bit per CPU: it executes user code, and what must hold there has been looked at. */
  readonly inUser: number;
  readonly log: Log | undefined;
  readonly violations: readonly Violation[];
}

/** How many cookies are remembered; a count that comes back later than that is still not new. */
const REMEMBERED = 64;

export const entryOf = (history: History, task: bigint): Entry | undefined =>
  history.entries.find((entry) => entry.task === task);

/** With this entry in place of the task's last one. */
export function withEntry(history: History, entry: Entry): History {
  const entries = history.entries.slice();
  const index = entries.findIndex(({ task }) => task === entry.task);
  entries[index < 0 ? entries.length : index] = entry;
  return { ...history, entries };
}

export const withoutTask = (history: History, gone: bigint): History => ({
  ...history,
  entries: history.entries.filter(({ task }) => task !== gone),
});

/** The entry in which a cookie was first seen, as far as it is remembered. */
export const entryOfCookie = (history: History, cookie: bigint): number | undefined =>
  history.given.find((given) => given.cookie === cookie)?.entry;

/** Low half of a cookie, minus 1. */
export const cpuOf = (cookie: bigint): number => Number(cookie & 0xffff_ffffn) - 1;
export const countOf = (cookie: bigint): number => Number(cookie >> 32n);

/** A cookie has been given in an entry: it is the entry's, and if it is new, its count is the CPU's newest. */
export function withCookie(history: History, entry: Entry, cookie: bigint): History {
  if (cookie === 0n || entryOfCookie(history, cookie) !== undefined) return history;
  const given = [...history.given.slice(-REMEMBERED), { cookie, entry: entry.number }];
  const counts = history.counts.slice();
  const cpu = cpuOf(cookie);
  if (cpu in counts) counts[cpu] = Math.max(counts[cpu]!, countOf(cookie));
  return { ...history, given, counts };
}

/** Whether a tracer may have asked in this entry before the watch began. @param bit its bit; undefined where the version has none */
export const mayHaveAsked = ({ before }: Entry, bit: bigint | undefined): boolean =>
  before === -1n || (bit !== undefined && bit >= 0n && ((before >> bit) & 1n) === 1n);
