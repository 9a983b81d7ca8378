/** The end of a sweep in words: what was done so that it can be checked by adding up, and the verdict. */
import { fileNames, formatSchedule, type GuestSpec } from '../schedule/schedule.js';
import type { Injection, Question } from '../sweep/question.js';
import { breachesOf, isVain, type SweepReport, scheduleOf, unitsIn, verdictOf } from '../sweep/report.js';
import type { Breach, LevelCounts } from '../sweep/tally.js';
import type { Reason } from '../sweep/window.js';

const REASONS: Readonly<Record<Reason, string>> = {
  registers: 'the instruction touches registers only: as at the next boundary',
  blocked: 'NMIs are blocked here and at the next boundary: as there',
  same: 'where the injection before it falls',
  uncallable: "no call is possible: user mode, or not the kernel's stack or GS",
};

const ORDINALS = ['first', 'second', 'third'] as const;

export async function reportText(report: SweepReport): Promise<string> {
  const { question, guest, monitor, tally, done, units, seconds } = report;
  const lines = [
    `sweep of ${windowName(question)} on CPU ${question.cpu}: ${injectionName(question.injection)}, depth ${question.depth}`,
    `guest ${guestName(guest)}; invariants: ${monitor ?? 'those of every image'}`,
    '',
    ...tally.levels.flatMap((level, index) => levelLines(level, index, tally.levels.length)),
    row(
      'runs',
      tally.runs,
      `the injected ones and the undisturbed one; ${rate(tally.runs, seconds)} a second and process`,
    ),
    row('end states', Object.keys(tally.states).length, 'distinct'),
    row(
      'violations',
      breachesOf(report).reduce((sum, { runs }) => sum + runs, 0),
      'runs that break an invariant',
    ),
    '',
    ...breachesOf(report).flatMap((breach) => breachLines(report, breach)),
    verdictLine(report, unitsIn(done), units),
  ];
  return `${lines.join('\n')}\n`;
}

const row = (name: string, count: number, note = ''): string =>
  `  ${name.padEnd(14)}${String(count).padStart(10)}  ${note}`.trimEnd();

function levelLines(
  { boundaries, injected, held, skipped }: LevelCounts,
  index: number,
  of: number,
): string[] {
  const which = of === 1 ? '' : `for the ${ORDINALS[index]} injection`;
  const out = (Object.keys(skipped) as Reason[]).filter((reason) => skipped[reason] > 0);
  return [
    row('boundaries', boundaries, which),
    row('  injected', injected, held > 0 ? `of these held pending and taken later: ${held}` : ''),
    ...out.map((reason) => row('  left out', skipped[reason], REASONS[reason])),
  ];
}

function breachLines(report: SweepReport, { ids, runs, simplest }: Breach): string[] {
  const sentences = new Map(simplest.violations.map(({ id, sentence }) => [id, sentence]));
  return [
    `${ids.join(', ')}: broken in ${runs} run${runs === 1 ? '' : 's'}`,
    ...[...sentences].map(([id, sentence]) => `  ${id}: ${sentence}`),
    `  ${formatSchedule(scheduleOf(report, simplest))}`,
    '',
  ];
}

function verdictLine(report: SweepReport, done: number, units: number): string {
  const verdict = verdictOf(report);
  const all =
    done === units
      ? `all ${units - 1} boundaries of the window and the undisturbed run`
      : `${done} of ${units} units`;
  if (verdict === 'PASS') return `PASS: no run breaks an invariant; ${all}`;
  if (verdict === 'FAIL')
    return `FAIL: ${done === units ? 'every run was made' : `${all}; --keep-going does the rest`}`;
  const why = [all];
  if (report.tally.cut) why.push('a window or a handler is longer than the bound');
  if (isVain(report.tally)) why.push('nothing was injected');
  return `UNKNOWN: no run breaks an invariant so far; ${why.join(', ')}`;
}

const rate = (runs: number, seconds: number): string => (seconds > 0 ? (runs / seconds).toFixed(0) : '-');

function windowName({ from, to, occurrence }: Question): string {
  const arrival = occurrence === 1 ? '' : ` (arrival ${occurrence})`;
  return `${from}${to === undefined ? '' : ` to ${to}`}${arrival}`;
}

function injectionName(injection: Injection): string {
  if (injection.kind === 'irq') return `irq 0x${injection.vector.toString(16)}`;
  return injection.kind === 'call' ? `call of ${injection.symbol}` : injection.kind;
}

function guestName(guest: GuestSpec): string {
  const { commandLine, cpus, patches } = guest;
  const words = fileNames(guest);
  if (commandLine !== '') words.push(`"${commandLine}"`);
  if (cpus > 1) words.push(`${cpus} CPUs`);
  if (patches.length > 0) words.push(`${patches.length} patched site${patches.length === 1 ? '' : 's'}`);
  return words.join(' ');
}
