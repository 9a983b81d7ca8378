/** The races as a table: a row for each window, version by version, and what breaks in each version in the end. */
import { type Finding, isWithin, placesOf } from '../lab/race-findings.js';
import type { CellResult } from '../lab/races.js';
import type { Injection } from '../sweep/question.js';
import { breachesOf, type Verdict, verdictOf } from '../sweep/report.js';

const BY_WEIGHT: readonly Verdict[] = ['FAIL', 'UNKNOWN', 'PASS'];

/** @param seconds by the clock, of all sweeps together */
export async function racesText(
  results: readonly CellResult[],
  findings: readonly Finding[],
  seconds: number,
): Promise<string> {
  const lines: string[] = [];
  for (const [version, ofVersion] of groups(results, ({ version }) => version)) {
    lines.push(version);
    for (const [window, cells] of groups(ofVersion, ({ scenario }) => scenario.window))
      lines.push(row(window, cells, findings));
    lines.push('');
  }
  if (findings.length > 0) lines.push('The simplest run of each kind that breaks something:', '');
  for (const [index, finding] of findings.entries()) lines.push(...(await findingLines(index + 1, finding)));
  lines.push(summary(results, seconds));
  return `${lines.join('\n')}\n`;
}

/** In the order in which the keys come. */
function groups<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const all = new Map<string, Item[]>();
  for (const item of items) all.set(keyOf(item), [...(all.get(keyOf(item)) ?? []), item]);
  return all;
}

const sum = (cells: readonly CellResult[], of: (cell: CellResult) => number): number =>
  cells.reduce((total, cell) => total + of(cell), 0);

/** `reset  FAIL  675 runs  0.5 s  cookie-not-zero (12)`: the numbers are those of the findings. */
function row(window: string, cells: readonly CellResult[], findings: readonly Finding[]): string {
  const verdicts = cells.map(({ report }) => verdictOf(report));
  const verdict = BY_WEIGHT.find((each) => verdicts.includes(each))!;
  const runs = sum(cells, ({ report }) => report.tally.runs);
  const time = sum(cells, ({ report }) => report.seconds);
  const breaches = cells.flatMap(({ report }) => breachesOf(report));
  const broken = findings.flatMap(({ version, ids }, index) =>
    version === cells[0]!.version && breaches.some((breach) => isWithin(ids, breach.ids))
      ? [`${ids.join('+')} (${index + 1})`]
      : [],
  );
  return `  ${window.padEnd(12)}${verdict.padEnd(8)}${String(runs).padStart(6)} runs${time.toFixed(1).padStart(6)} s  ${broken.join(', ')}`.trimEnd();
}

async function findingLines(
  number: number,
  { version, ids, runs, scenario, simplest, schedule }: Finding,
): Promise<string[]> {
  const event = nameOf(scenario.question.injection);
  const places = (await placesOf(schedule)).map((place) => `${event} before ${place}`);
  const how = places.length === 0 ? 'nothing is injected' : places.join(', ');
  return [
    `${String(number).padStart(3)}  ${version}: ${ids.join(', ')}, in ${runs} run${runs === 1 ? '' : 's'}; ${scenario.window}: ${how}`,
    ...ids.map((id) => `     ${simplest.violations.find((violation) => violation.id === id)!.sentence}`),
    '',
  ];
}

function nameOf(injection: Injection): string {
  if (injection.kind === 'nmi') return 'an NMI';
  return injection.kind === 'irq'
    ? `interrupt 0x${injection.vector.toString(16)}`
    : `a call of ${injection.symbol}`;
}

function summary(results: readonly CellResult[], seconds: number): string {
  const count = (verdict: Verdict): number =>
    results.filter(({ report }) => verdictOf(report) === verdict).length;
  const runs = sum(results, ({ report }) => report.tally.runs);
  return `${results.length} sweeps, ${runs} runs, ${seconds.toFixed(0)} s: ${count('PASS')} PASS, ${count('FAIL')} FAIL, ${count('UNKNOWN')} UNKNOWN`;
}
