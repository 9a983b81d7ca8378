/**
 * Reports as files. What is read may come from another machine or a broken disk: its shape is checked, and its counts are added up
 * as docs/sweep.md says that they add up.
 */
import { FORMAT_NAMES } from '../../emu/boot/formats.js';
import { deviceProblem } from '../../emu/devices/optional.js';
import { DEFAULT_KIND, MACHINE_KINDS } from '../../emu/machine.js';
import type { GuestSpec } from '../schedule/schedule.js';
import { FORMAT, ReportError, type SweepReport, type UnitRange, unitsIn } from './report.js';
import {
  COUNT,
  FLAG,
  listOf,
  matching,
  objectOf,
  oneOf,
  optional,
  orNull,
  SECONDS,
  type Shape,
  TEXT,
  tableOf,
  within,
} from './shape.js';

const MAX_DEPTH = 3;
const PINNED = objectOf({
  name: TEXT,
  digest: optional(matching('16 hexadecimal digits', (value) => isHex(value, 16))),
});
const isHex = (value: unknown, digits: number): boolean =>
  typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value);

const GUEST_PARTS = objectOf({
  image: PINNED,
  modules: listOf(PINNED),
  initrd: optional(PINNED),
  commandLine: TEXT,
  format: optional(oneOf(...FORMAT_NAMES)),
  machine: optional(oneOf(...MACHINE_KINDS)),
  devices: optional(tableOf(FLAG)),
  cpus: within(1, 8),
  ram: COUNT,
  turn: COUNT,
  patches: listOf(objectOf({ at: TEXT, bytes: optional(COUNT), with: TEXT })),
  drained: optional(FLAG),
});
const GUEST: Shape = (value, name) => {
  const wrong = GUEST_PARTS(value, name);
  if (wrong !== undefined) return wrong;
  const { machine = DEFAULT_KIND, devices = {} } = value as GuestSpec;
  return deviceProblem(machine, Object.keys(devices));
};
const INJECTIONS: Readonly<Record<string, Shape>> = {
  nmi: objectOf({ kind: TEXT }),
  irq: objectOf({ kind: TEXT, vector: within(16, 255) }),
  call: objectOf({ kind: TEXT, symbol: TEXT }),
};
const injection: Shape = (value, name) => {
  const { kind } = (value ?? {}) as { kind?: unknown };
  const wrong = oneOf(...Object.keys(INJECTIONS))(kind, `${name}.kind`);
  return wrong ?? INJECTIONS[kind as string]!(value, name);
};
const QUESTION = objectOf({
  from: TEXT,
  to: optional(TEXT),
  occurrence: COUNT,
  cpu: within(0, 7),
  injection,
  depth: within(1, MAX_DEPTH),
  bound: COUNT,
  prune: FLAG,
});
const START = objectOf({ retired: COUNT, delivered: FLAG });
const STRIKES = listOf(objectOf({ at: COUNT, delivered: FLAG }));
const RUN = objectOf({
  strikes: STRIKES,
  state: TEXT,
  violations: listOf(objectOf({ id: TEXT, sentence: TEXT, cpu: within(0, 7), time: COUNT })),
  retired: COUNT,
  end: TEXT,
  hash: matching('16 hexadecimal digits', (value) => isHex(value, 16)),
});
const TALLY = objectOf({
  levels: listOf(
    objectOf({
      boundaries: COUNT,
      injected: COUNT,
      held: COUNT,
      skipped: objectOf({ registers: COUNT, blocked: COUNT, same: COUNT, uncallable: COUNT }),
    }),
  ),
  runs: COUNT,
  instructions: COUNT,
  states: tableOf(objectOf({ runs: COUNT, first: STRIKES })),
  breaches: tableOf(objectOf({ ids: listOf(TEXT), runs: COUNT, simplest: RUN })),
  cut: FLAG,
});
const REPORT = objectOf({
  format: oneOf(FORMAT),
  guest: GUEST,
  question: QUESTION,
  monitor: orNull(TEXT),
  start: START,
  units: COUNT,
  done: listOf(
    matching(
      'a first and a last unit',
      (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isSafeInteger),
    ),
  ),
  tally: TALLY,
  seconds: SECONDS,
});

/** Equal reports are equal texts: what is kept by name is in the order of the names. */
export function formatReport(report: SweepReport): string {
  const { tally } = report;
  const sorted = { ...tally, states: byName(tally.states), breaches: byName(tally.breaches) };
  return `${JSON.stringify({ ...report, tally: sorted })}\n`;
}

const byName = <T>(table: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1)));

/** Reads what `formatReport` writes. @throws ReportError for anything else. */
export function parseReport(text: string): SweepReport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ReportError('expected the report of a sweep, found no JSON');
  }
  if ((value as { format?: unknown } | null)?.format !== FORMAT)
    throw new ReportError(`expected the report of a sweep, of format ${FORMAT}, found none`);
  const wrong = REPORT(value, 'the report') ?? wrongSum(value as SweepReport);
  if (wrong !== undefined) throw new ReportError(wrong);
  return value as SweepReport;
}

/** Every boundary is struck or left out, and every run is the undisturbed one or a boundary struck. */
function wrongSum({ question, units, done, tally }: SweepReport): string | undefined {
  const { levels, runs } = tally;
  const total = (counts: Iterable<number>): number => [...counts].reduce((sum, count) => sum + count, 0);
  const isUndisturbed = done.some(([first]) => first === 0) ? 1 : 0;
  const sums: readonly (readonly [what: string, found: number, expected: number])[] = [
    ['levels', levels.length, question.depth],
    ...levels.map(
      ({ boundaries, injected, skipped }) =>
        ['boundaries', boundaries, total([injected, ...Object.values(skipped)])] as const,
    ),
    ['boundaries of the window', levels[0]?.boundaries ?? 0, unitsIn(done) - isUndisturbed],
    ['runs', runs, total(levels.map(({ injected }) => injected)) + isUndisturbed],
    ['runs by end state', total(Object.values(tally.states).map((each) => each.runs)), runs],
  ];
  const bad = sums.find(([, found, expected]) => found !== expected);
  if (bad !== undefined) return `expected ${bad[2]} ${bad[0]} by the report's other counts, found ${bad[1]}`;
  if (!areAscending(done, units)) return `expected ranges of units below ${units}, ascending, found others`;
  if (levels.some(({ held, injected }) => held > injected))
    return 'expected no more held than injected, found it so';
  return undefined;
}

const areAscending = (ranges: readonly UnitRange[], units: number): boolean =>
  ranges.every(
    ([first, last], index) => first > (ranges[index - 1]?.[1] ?? -1) && last >= first && last < units,
  );
