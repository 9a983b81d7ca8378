import type { StackEvent } from './stacks.js';
import type { CallEvent } from './syscalls.js';

/**
 * System calls and samples on a time line, as the trace event format has it that Perfetto and chrome://tracing open:
 * a bar for each call from its entry to its return, a mark for each sample with its stack, innermost first.
 * Times are microseconds of the guest.
 */
export function chromeTrace(events: Iterable<CallEvent | StackEvent>): string {
  const out: object[] = [];
  const named = new Map<number, string>();
  for (const event of events) {
    const { pid, tid, time } = event;
    const where = { pid, tid, ts: Number(time) / 1000 };
    if (event.kind === 'leave') {
      const args = Object.fromEntries(event.args.map(({ name, text }) => [name, text]));
      const dur = Number(event.duration) / 1000;
      const ts = where.ts - dur;
      out.push({
        ph: 'X',
        name: event.name,
        ...where,
        ts,
        dur,
        args: { ...args, result: event.result.text },
      });
    } else if (event.kind === 'sample') {
      const stack = [...event.kernel, ...event.user].map(
        ({ ip, symbol }) => symbol ?? `0x${ip.toString(16)}`,
      );
      out.push({ ph: 'i', s: 't', name: event.event, ...where, args: { stack } });
      if (named.get(tid) !== event.comm) {
        named.set(tid, event.comm);
        out.push({ ph: 'M', name: 'thread_name', pid, tid, args: { name: event.comm } });
      }
    }
  }
  return `${JSON.stringify({ traceEvents: out, displayTimeUnit: 'ns' })}\n`;
}
