/**
 * The races of docs/races.md, found again by sweeps that know none of them: each breaks these invariants in this window in the versions
 * that have it, and in no other. Every row is all that is known of a race here; the scenarios and the rules are general.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { openSchedule } from '../../src/lab/open-schedule.js';
import { findingsOf, isWithin } from '../../src/lab/race-findings.js';
import { type CellResult, runRaces } from '../../src/lab/races.js';
import { SCENARIOS } from '../../src/lab/scenarios.js';
import { applyChoice } from '../../src/schedule/apply.js';
import { verdictOf } from '../../src/sweep/report.js';
import { before, from, since, VERSIONS, type Version } from '../kernel/versions.js';

type Row = readonly [
  race: string,
  window: string,
  about: string,
  ids: readonly string[],
  versions: readonly Version[],
];

const LATE = ['answered', 'no-work-in-user'];

const ROWS: readonly Row[] = [
  ['A', 'user', 'an NMI', ['no-splat'], ['v13-06']],
  ['B', 'request', 'an NMI', ['lists'], ['v13-06-nmi']],
  ['C', 'get_cookie', 'two NMIs', ['cookie-names-entry'], []],
  ['C', 'get_cookie', 'two NMIs', ['counts-never-repeat'], []],
  ['D', 'request', 'an NMI', ['asked'], before('v13-08')],
  ['E', 'task-work', 'a tracepoint', ['once'], before('v13-10')],
  ['E', 'exit-loop', 'a tracepoint', ['once'], before('v13-10')],
  ['E and then F', 'calls', 'a tracepoint in calls that are sampled', ['once'], before('v6.17')],
  ['H', 'exit', 'an NMI', ['trace-of-entry'], before('v6.17')],
  ['I', 'return', 'a tracepoint', LATE, VERSIONS],
  ['J', 'return', 'an NMI', LATE, from('v13-06-nmi', 'v6.17')],
  ['J', 'user', 'an NMI', LATE, from('v13-06-nmi', 'v6.17')],
  ['L', 'reset', 'two NMIs', ['cookie-not-zero'], since('v6.19')],
  ['M', 'cancel', 'an NMI between it and the next registration', ['counts-never-repeat'], ['v13-10']],
];

/** The others break what these break, at greater length. */
const IN_ROWS = SCENARIOS.filter((scenario) =>
  ROWS.some(([, window, about]) => scenario.window === window && scenario.about === about),
);

const SLOW = 120_000;

describe.each(VERSIONS)('%s', (version) => {
  let results: CellResult[];
  beforeAll(async () => {
    results = await runRaces([version], version === 'v6.19' ? SCENARIOS : IN_ROWS, { jobs: 1 });
  }, SLOW);

  test.each(ROWS)('race %s, %s, %s: %j', (_race, window, about, ids, versions) => {
    const { report } = results.find(
      ({ scenario }) => scenario.window === window && scenario.about === about,
    )!;
    const found = Object.values(report.tally.breaches).some((breach) => isWithin(ids, breach.ids));
    expect(found).toBe(versions.includes(version));
  });

  test('every sweep comes to its end', () => {
    expect(results.map(({ report }) => verdictOf(report))).not.toContain('UNKNOWN');
  });

  test(
    'each finding runs again to the same end',
    async () => {
      for (const { schedule } of findingsOf(results)) {
        const { machine } = await openSchedule(schedule);
        for (const choice of schedule.choices) applyChoice(machine, choice);
        expect([machine.retired, machine.events.hash.digest]).toEqual([
          schedule.end!.retired,
          schedule.end!.hash,
        ]);
        machine.close();
      }
    },
    SLOW,
  );

  test.runIf(version === 'v6.19')('breaks nothing but what races I and L break', () => {
    const broken = findingsOf(results).map(({ ids }) => ids.join(' '));
    expect(broken.sort()).toEqual(['answered no-work-in-user', 'cookie-names-entry', 'cookie-not-zero']);
    const failing = results.filter(({ report }) => verdictOf(report) === 'FAIL');
    expect([...new Set(failing.map(({ scenario }) => scenario.window))]).toEqual([
      'reset',
      'return',
      'calls',
      'scheduler',
    ]);
  });
});
