import type { CallEvent } from './syscalls.js';

interface Count {
  readonly name: string;
  readonly nr: number;
  calls: number;
  errors: number;
  /** Nanoseconds. */
  time: bigint;
}

/**
 * strace's `-c`: a table of calls, the one that took longest first. The time of a call is all the guest's time from its
 * entry to its return, sleep included (strace's `-w`). Calls that never returned are not counted, as in strace.
 */
export class StraceSummary {
  readonly #counts = new Map<string, Count>();

  event(event: CallEvent): void {
    if (event.kind !== 'leave') return;
    const { name, nr, duration, result } = event;
    const count = this.#counts.get(name) ?? { name, nr, calls: 0, errors: 0, time: 0n };
    count.calls++;
    if (result.error !== undefined) count.errors++;
    count.time += duration;
    this.#counts.set(name, count);
  }

  text(): string {
    const counts = [...this.#counts.values()].sort((a, b) => Number(b.time - a.time) || a.nr - b.nr);
    const total: Count = { name: 'total', nr: -1, calls: 0, errors: 0, time: 0n };
    for (const { calls, errors, time } of counts) {
      total.calls += calls;
      total.errors += errors;
      total.time += time;
    }
    const rows = counts.map((count) => row(count, total.time === 0n ? 0 : share(count.time, total.time)));
    return [HEAD, RULE, ...rows, RULE, row(total, 100)].map((line) => `${line}\n`).join('');
  }
}

const HEAD = '% time     seconds  usecs/call     calls    errors syscall';
const RULE = '------ ----------- ----------- --------- --------- ----------------';

const share = (part: bigint, whole: bigint): number => (100 * Number(part)) / Number(whole);

function row({ name, calls, errors, time }: Count, percent: number): string {
  const cells = [
    percent.toFixed(2).padStart(6),
    (Number(time) / 1e9).toFixed(6).padStart(11),
    String(calls === 0 ? 0 : Math.floor(Number(time) / 1000 / calls)).padStart(11),
    String(calls).padStart(9),
    (errors === 0 ? '' : String(errors)).padStart(9),
    name,
  ];
  return cells.join(' ');
}
