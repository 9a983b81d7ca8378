import type { Location } from './maps.js';
import type { CallAbandoned, CallEnter, CallEvent, CallLeave } from './syscalls.js';

export interface StraceOptions {
  /**
   * `live`: `[pid N] ` before a line while more than one task lives, as strace prints to a terminal; `file`: the number before every
   * line, as with `-o`. Default `live`.
   */
  readonly pids?: 'live' | 'file';
  /** The column of the equals sign, strace's `-a`; default 40. */
  readonly column?: number;
  /** Which calls are printed, by name (see `syscallFilter`); default all. The ends of tasks always are. */
  readonly shown?: (name: string) => boolean;
  /** The user stack of a call that has just returned, innermost first: strace's `-k`. */
  readonly stackOf?: (call: CallLeave | CallAbandoned) => readonly Location[];
}

/**
 * Prints system calls as strace 6.1 does with `-f`. Feed it the events in the order of time and write what it returns as
 * it comes: a call that another task's event cuts in two is ended with `<unfinished ...>` and taken up again with
 * `<... resumed>`, so a line may be complete only after the next event. The tid is what strace calls pid.
 */
export class StraceWriter {
  readonly #pids: 'live' | 'file';
  readonly #column: number;
  readonly #shown: (name: string) => boolean;
  readonly #stackOf: StraceOptions['stackOf'];
  readonly #alive = new Set<number>();
  /** The line that is not complete yet: whose it is and how long. */
  #line: { readonly tid: number; readonly length: number } | undefined;

  constructor({ pids = 'live', column = 40, shown = () => true, stackOf }: StraceOptions = {}) {
    this.#pids = pids;
    this.#column = column;
    this.#shown = shown;
    this.#stackOf = stackOf;
  }

  /** What one event adds to the output. */
  event(event: CallEvent): string {
    this.#alive.add(event.tid);
    if (event.kind === 'leave' && CREATES_TASK.has(event.name) && event.result.returned > 0n)
      this.#alive.add(Number(event.result.returned));
    if ('name' in event && !this.#shown(event.name)) return '';
    switch (event.kind) {
      case 'enter':
        return this.#open(event);
      case 'leave': {
        const rest = texts(event.args.slice(event.told));
        const separator = rest !== '' && event.told > 0 && WITHOUT_SEPARATOR.has(event.name) ? ', ' : '';
        return this.#close(event, `${separator}${rest}`, event.result.text) + this.#stack(event);
      }
      case 'abandoned':
        return this.#close(event, event.more ? ' <unfinished ...>' : '', '?') + this.#stack(event);
      case 'exited':
        return this.#gone(event.tid, `exited with ${event.code}`);
      case 'killed':
        return this.#gone(event.tid, `killed by ${event.signal}${event.core ? ' (core dumped)' : ''}`);
    }
  }

  /** Ends what is left open. */
  end(): string {
    const open = this.#line !== undefined;
    this.#line = undefined;
    return open ? ' <unfinished ...>\n' : '';
  }

  /** Cuts another task's line; and what the new line of `tid` begins with. */
  #begin(tid: number): [string, string] {
    const cut = this.end();
    if (this.#pids === 'file') return [cut, `${String(tid).padEnd(5)} `];
    return [cut, this.#alive.size > 1 ? `[pid ${String(tid).padStart(5)}] ` : ''];
  }

  #open({ tid, name, args, more }: CallEnter): string {
    const [cut, prefix] = this.#begin(tid);
    const separator = more && args.length > 0 && !WITHOUT_SEPARATOR.has(name) ? ', ' : '';
    const line = `${prefix}${name}(${texts(args)}${separator}`;
    this.#line = { tid, length: line.length };
    return cut + line;
  }

  #close({ tid, name }: CallLeave | CallAbandoned, rest: string, result: string): string {
    let [cut, line] = ['', ''];
    let before = 0;
    if (this.#line?.tid === tid) before = this.#line.length;
    else {
      [cut, line] = this.#begin(tid);
      line += `<... ${name} resumed>`;
    }
    this.#line = undefined;
    const text = `${line}${rest}) `;
    const padding = ' '.repeat(Math.max(0, this.#column - before - text.length));
    return `${cut}${text}${padding}= ${result}\n`;
  }

  #gone(tid: number, how: string): string {
    const [cut, prefix] = this.#begin(tid);
    this.#alive.delete(tid);
    return `${cut}${prefix}+++ ${how} +++\n`;
  }

  #stack(call: CallLeave | CallAbandoned): string {
    return (this.#stackOf?.(call) ?? []).map(stackLine).join('');
  }
}

/** clone prints what comes after the flags with the comma that belongs to it. */
const WITHOUT_SEPARATOR: ReadonlySet<string> = new Set(['clone']);
const CREATES_TASK: ReadonlySet<string> = new Set(['clone', 'clone3', 'fork', 'vfork']);

const texts = (args: readonly { readonly text: string }[]): string => args.map(({ text }) => text).join(', ');

/** ` > image(symbol+0x12) [0x1024]`: the number is a position in the image's file (strace: src/unwind.c). */
export function stackLine({ ip, image, fileOffset, symbol, symbolOffset }: Location): string {
  const name = symbol === undefined ? '' : `${symbol}+0x${(symbolOffset ?? 0n).toString(16)}`;
  return ` > ${image ?? '[unknown]'}(${name}) [0x${(fileOffset ?? ip).toString(16)}]\n`;
}
