/** What the races have found: in each version the simplest run for each set of invariants that some run breaks. */
import { applyChoice } from '../schedule/apply.js';
import type { Choice, Schedule } from '../schedule/schedule.js';
import { breachesOf, scheduleOf } from '../sweep/report.js';
import type { Breach, RunResult } from '../sweep/tally.js';
import { openSchedule } from './open-schedule.js';
import type { CellResult } from './races.js';
import type { Scenario, Version } from './scenarios.js';

export interface Finding {
  readonly version: Version;
  /** Of the invariants, sorted. */
  readonly ids: readonly string[];
  /** Runs that break just these, in all windows. */
  readonly runs: number;
  /** Where the simplest of them was found. */
  readonly scenario: Scenario;
  readonly simplest: RunResult;
  readonly schedule: Schedule;
}

/**
 * Version by version, in the order in which they were found first. Simplest: fewest injections, then fewest instructions. A set that is
 * no more than some of the others together is left out: the run breaks one thing here and another there.
 */
export function findingsOf(results: readonly CellResult[]): Finding[] {
  const findings = new Map<string, Finding>();
  for (const result of results)
    for (const breach of breachesOf(result.report)) {
      const key = `${result.version} ${breach.ids.join(' ')}`;
      const known = findings.get(key);
      const finding = known !== undefined && !isSimpler(breach, known) ? known : findingOf(result, breach);
      findings.set(key, { ...finding, runs: (known?.runs ?? 0) + breach.runs });
    }
  const all = [...findings.values()];
  return all.filter((finding) => !isSum(finding, all));
}

function isSum({ version, ids }: Finding, all: readonly Finding[]): boolean {
  const parts = all.filter(
    (part) => part.version === version && part.ids.length < ids.length && isWithin(part.ids, ids),
  );
  return (
    parts.length > 0 &&
    isWithin(
      ids,
      parts.flatMap((part) => part.ids),
    )
  );
}

export const isWithin = (some: readonly string[], all: readonly string[]): boolean =>
  some.every((id) => all.includes(id));

const findingOf = ({ version, scenario, report }: CellResult, { ids, runs, simplest }: Breach): Finding => ({
  version,
  ids,
  runs,
  scenario,
  simplest,
  schedule: scheduleOf(report, simplest),
});

const isSimpler = ({ simplest: a }: Breach, { simplest: b }: Finding): boolean =>
  a.strikes.length - b.strikes.length < 0 || (a.strikes.length === b.strikes.length && a.retired < b.retired);

/** The instructions before which a schedule's injections fall: `symbol+0x12`, or `user mode`. */
export async function placesOf({ guest, choices }: Schedule): Promise<string[]> {
  const { machine } = await openSchedule(guest);
  const places: string[] = [];
  try {
    for (const choice of choices) {
      if (isInjection(choice)) {
        const { state } = machine.cpus[choice.cpu]!;
        places.push(state.cpl > 0 ? 'user mode' : machine.symbols.format(state.rip));
      }
      applyChoice(machine, choice);
    }
  } finally {
    machine.close();
  }
  return places;
}

const isInjection = (choice: Choice): choice is Extract<Choice, { kind: 'nmi' | 'irq' | 'call' }> =>
  choice.kind === 'nmi' || choice.kind === 'irq' || choice.kind === 'call';
