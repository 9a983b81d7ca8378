/** What a Linux kernel's deferred unwinding does, as typed events, and as text beside which perf's own output can be laid. */
import { errorText } from './errno.js';
import type { Location } from './maps.js';
import { heading, perfScript } from './perf-script.js';

/** The task and the moment. */
interface Moment {
  readonly comm: string;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  /** Guest time in nanoseconds. */
  readonly time: bigint;
}

/** A return from unwind_deferred_request(). */
export interface RequestEvent extends Moment {
  readonly kind: 'request';
  /** What the CPU was doing. */
  readonly context: string;
  /** Where it was called from. */
  readonly caller: Location;
  /** 0 where none was given. */
  readonly cookie: bigint;
  /** 0: the work has been queued, or another request has; above 0: it was asked for before; else a negative errno. */
  readonly returned: number;
}

/** A tracer is given the user stack that it has asked for. */
export interface CallbackEvent extends Moment {
  readonly kind: 'callback';
  /** Its function. */
  readonly tracer: string;
  readonly cookie: bigint;
  /** Innermost first. */
  readonly user: readonly Location[];
}

export type DeferredEvent = RequestEvent | CallbackEvent;

/** One event as text: a request in one line; a callback as `perf script --no-merge-callchains` prints the record that perf makes of it. */
export function deferredText(event: DeferredEvent): string {
  if (event.kind === 'callback') {
    const { kind: _, tracer: __, ...rest } = event;
    return perfScript({ ...rest, kind: 'deferred', why: 'apart' });
  }
  const { returned, cookie, context, caller } = event;
  const refused = `refused, -${errorText(-returned)?.name ?? -returned}`;
  const what = returned < 0 ? refused : returned === 0 ? 'new' : 'again';
  const from =
    caller.symbol === undefined
      ? caller.ip.toString(16)
      : `${caller.symbol}+0x${caller.symbolOffset!.toString(16)}`;
  return `${heading(event)}unwind_deferred_request: cookie ${cookie.toString(16)}, ${what}, in ${context}, from ${from}\n\n`;
}

/** Counts what has been seen, for one line at the end. */
export class DeferredTally {
  #requests = 0;
  #refused = 0;
  #callbacks = 0;
  /** What has been given and not been delivered yet, by task. */
  readonly #open = new Set<string>();
  #delivered = 0;
  #unasked = 0;

  event(event: DeferredEvent): void {
    const key = `${event.tid} ${event.cookie}`;
    if (event.kind === 'request') {
      this.#requests++;
      if (event.returned < 0) this.#refused++;
      else if (event.returned === 0) this.#open.add(key);
      return;
    }
    this.#callbacks++;
    if (this.#open.delete(key)) this.#delivered++;
    else this.#unasked++;
  }

  /** Such as `271 requests (0 refused), 118 callbacks: 118 cookies asked for and delivered, 0 not delivered, 0 not asked for`. */
  text(): string {
    return (
      `${this.#requests} requests (${this.#refused} refused), ${this.#callbacks} callbacks: ` +
      `${this.#delivered} cookies asked for and delivered, ${this.#open.size} not delivered, ${this.#unasked} not asked for`
    );
  }
}
