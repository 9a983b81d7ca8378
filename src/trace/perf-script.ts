import type { Location } from './maps.js';
import type { StackEvent } from './stacks.js';

export interface PerfScriptOptions {
  /** Adds ` (cookie C)` to the first line of samples, which perf does not print. */
  readonly cookies?: boolean;
}

/**
 * One stack as `perf script` prints it, an empty line at its end (Linux: tools/perf/builtin-script.c). Deferred records
 * are printed as `--no-merge-callchains` does, lost records not at all.
 *
 * A cookie stands in for the user half that a sample was promised: `(cookie)` where it may still come, and, as perf does
 * it, `[unknown]` where a later record of the task passed the sample over.
 */
export function perfScript(event: StackEvent, { cookies = false }: PerfScriptOptions = {}): string {
  if (event.kind === 'lost') return '';
  const start = heading(event);
  if (event.kind === 'deferred')
    return `${start}DEFERRED CALLCHAIN [cookie: ${event.cookie.toString(16)}]\n${event.user.map(frameLine).join('')}\n`;

  const period = event.period === undefined ? '' : `${String(event.period).padStart(10)} `;
  const cookie = cookies && event.cookie !== undefined ? `(cookie ${event.cookie.toString(16)})` : '';
  const frames = [...event.kernel, ...event.user].map(frameLine).join('');
  return `${start}${period}${event.event}: ${cookie}\n${frames}${promised(event)}\n`;
}

/** What each event begins with: task, CPU where it is known, time. */
export function heading({ comm, tid, cpu, time }: Pick<StackEvent, 'comm' | 'tid' | 'cpu' | 'time'>): string {
  const where = cpu === undefined ? '' : `[${String(cpu).padStart(3, '0')}] `;
  return `${comm} ${String(tid).padStart(7)} ${where}${seconds(time).padStart(12)}: `;
}

/** The line for a user half that did not come. */
function promised(event: StackEvent & { readonly kind: 'sample' }): string {
  const { cookie, userHalf } = event;
  if (cookie === undefined || userHalf === 'stitched' || userHalf === 'late') return '';
  return line(cookie, userHalf === 'passed-over' ? '[unknown]' : '(cookie)');
}

function frameLine({ ip, symbol, symbolOffset, image }: Location): string {
  const name = symbol === undefined ? '[unknown]' : `${symbol}+0x${(symbolOffset ?? 0n).toString(16)}`;
  return line(ip, name, image);
}

const line = (ip: bigint, name: string, image = '[unknown]'): string =>
  `\t${ip.toString(16).padStart(16)} ${name} (${image})\n`;

/** Seconds and microseconds, cut off and not rounded, as perf does. */
function seconds(time: bigint): string {
  const micros = (time / 1000n) % 1_000_000n;
  return `${time / 1_000_000_000n}.${String(micros).padStart(6, '0')}`;
}
