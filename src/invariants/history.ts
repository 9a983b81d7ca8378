/**
 * What a watcher remembers of a run: for each task its last entry, who asked and was called in it, and the newest cookies. It is small, so
 * that remembering a moment and going back to it, thousands of times a second, is a small copy.
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
  answered: boolean;
}

/** A callback. */
export interface Call {
  readonly work: bigint;
  readonly cookie: bigint;
}

/** What is known of an entry as it begins. */
export interface EntryStart {
  readonly task: bigint;
  readonly pid: number;
  /** Top of the task's kernel stack. */
  readonly stackTop: bigint;
  /** Undefined where neither the CPU nor a complete pt_regs showed them. */
  readonly registers: UserRegisters | undefined;
  /** Bits of the tracers that may have asked before the watch began: -1 where it may be anybody, 0 where the entry was seen from its start. */
  readonly before: bigint;
  /** The cookie that the entry had by then. */
  readonly cookie: bigint;
}

/** From the first event that leads a task out of user mode to its next instruction there. */
export class Entry {
  readonly start: EntryStart;
  /** Tells entries apart. */
  readonly number: number;
  /** The task executes user code again. */
  isOver = false;
  asks: Ask[] = [];
  calls: Call[] = [];
  /** The cookie given last; 0: none yet. */
  cookie: bigint;
  /** The kernel has begun to forget the entry (unwind_reset_info) since that cookie was given. */
  forgotten = false;
  /** The host's walk of the user stack, once it was needed. */
  walked: readonly bigint[] | undefined = undefined;

  constructor(number: number, start: EntryStart) {
    this.number = number;
    this.start = start;
    this.cookie = start.cookie;
  }

  clone(): Entry {
    const copy = new Entry(this.number, this.start);
    copy.isOver = this.isOver;
    for (const { work, cookie, answered } of this.asks) copy.asks.push({ work, cookie, answered });
    for (const call of this.calls) copy.calls.push(call);
    copy.cookie = this.cookie;
    copy.forgotten = this.forgotten;
    copy.walked = this.walked;
    return copy;
  }

  /** Whether a tracer may have asked in this entry before the watch began. @param bit its bit; undefined where the version has none */
  mayHaveAsked(bit: bigint | undefined): boolean {
    const { before } = this.start;
    return before === -1n || (bit !== undefined && bit >= 0n && ((before >> bit) & 1n) === 1n);
  }
  wasCalled(work: bigint, cookie: bigint): boolean {
    return this.calls.some((call) => call.work === work && call.cookie === cookie);
  }
}

/** A cookie and the entry that it was first seen in. */
interface Given {
  readonly cookie: bigint;
  readonly entry: number;
}

/** A call that has not returned; the stack pointer, with which it will return, names it. */
export interface Flight {
  readonly rsp: bigint;
  readonly routine: 'request' | 'cancel';
  readonly work: bigint;
  /** Of a request: where the cookie goes. */
  readonly cookieAt: bigint;
}

/** One line of what tracers were told and given. */
export interface Log {
  readonly tracer: string;
  readonly pid: number;
  /** `asked`: what the request returned; `called`: entries of the trace. */
  readonly kind: 'asked' | 'called';
  readonly cookie: bigint;
  readonly value: number;
  readonly older: Log | undefined;
}

/** How many cookies are remembered at least; the count of one that comes back later than that is still not new. */
const REMEMBERED = 32;

/** Low half of a cookie, minus 1. */
export const cpuOf = (cookie: bigint): number => Number(cookie & 0xffff_ffffn) - 1;
export const countOf = (cookie: bigint): number => Number(cookie >> 32n);

export class History {
  /** The last entry of each task. */
  entries: Entry[] = [];
  nextEntry = 0;
  flights: Flight[] = [];
  tracers: readonly Tracer[] = [];
  /** Works whose cancel has returned. */
  cancelled: readonly bigint[] = [];
  /** The newest cookies of the run, of all tasks. */
  given: Given[] = [];
  /** For each CPU the highest count of a cookie that was made there. */
  counts: number[] = [];
  /** One bit per CPU: it executes user code, and what must hold there has been looked at. */
  inUser = 0;
  /** The newest line. */
  log: Log | undefined = undefined;
  /** The line that is being printed on the console. */
  line = '';
  violations: readonly Violation[] = [];

  clone(): History {
    const copy = new History();
    for (const entry of this.entries) copy.entries.push(entry.clone());
    copy.nextEntry = this.nextEntry;
    for (const flight of this.flights) copy.flights.push(flight);
    copy.tracers = this.tracers;
    copy.cancelled = this.cancelled;
    for (const given of this.given) copy.given.push(given);
    for (const count of this.counts) copy.counts.push(count);
    copy.inUser = this.inUser;
    copy.log = this.log;
    copy.line = this.line;
    copy.violations = this.violations;
    return copy;
  }

  entryOf(task: bigint): Entry | undefined {
    for (const entry of this.entries) if (entry.start.task === task) return entry;
    return undefined;
  }

  /** A new entry, in place of the task's last one. */
  enter(start: EntryStart): Entry {
    const entry = new Entry(this.nextEntry++, start);
    const index = this.entries.findIndex((each) => each.start.task === start.task);
    this.entries[index < 0 ? this.entries.length : index] = entry;
    return entry;
  }

  /** The entry in which a cookie was first seen, as far as it is remembered. */
  entryOfCookie(cookie: bigint): number | undefined {
    for (const given of this.given) if (given.cookie === cookie) return given.entry;
    return undefined;
  }

  /** A cookie has been seen in an entry; if it is new, its count is the CPU's newest. */
  note(cookie: bigint, entry: Entry): void {
    if (cookie === 0n || this.entryOfCookie(cookie) !== undefined) return;
    if (this.given.length === 2 * REMEMBERED) this.given = this.given.slice(REMEMBERED);
    this.given.push({ cookie, entry: entry.number });
    const cpu = cpuOf(cookie);
    if (cpu in this.counts) this.counts[cpu] = Math.max(this.counts[cpu]!, countOf(cookie));
  }
}
