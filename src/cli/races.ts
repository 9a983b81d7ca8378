/** `unwindlab races`: the history of deferred unwinding, swept: every version in every window that matters. */
import { availableParallelism } from 'node:os';
import { type Command, Command as NewCommand } from 'commander';
import { findingsOf } from '../lab/race-findings.js';
import { type CellResult, runRaces } from '../lab/races.js';
import { SCENARIOS, VERSIONS } from '../lab/scenarios.js';
import { formatSchedule } from '../schedule/schedule.js';
import { type Verdict, verdictOf } from '../sweep/report.js';
import { formatReport } from '../sweep/report-file.js';
import { EXIT_STATUS, UsageError } from './errors.js';
import { numberOption } from './guest-options.js';
import { hearingInterrupts } from './interrupt.js';
import { replaceFile } from './output-file.js';
import { racesProgress } from './races-progress.js';
import { racesText } from './races-text.js';

interface RacesOptions {
  readonly window: readonly string[];
  readonly jobs: number;
  readonly schedules?: string;
  readonly json?: boolean;
}

const WINDOWS = [...new Set(SCENARIOS.map(({ window }) => window))];

export const racesCommand = (): Command =>
  new NewCommand('races')
    .description('sweep every version of the mechanism in every window that matters, and say what breaks')
    .argument('[version...]', `of ${VERSIONS.join(', ')}; default: all`)
    .option('-w, --window <name>', 'only this window; may be repeated', collect, [])
    .addOption(
      numberOption('-j, --jobs <n>', 'processes', { from: 1, to: 256 }).default(availableParallelism()),
    )
    .option('--schedules <file>', 'write the shortest schedules there, one a line, as the table numbers them')
    .option('--json', 'print the report of each sweep, one a line, and no table')
    .addHelpText('after', HELP)
    .action(races);

const HELP = `
Windows:
${WINDOWS.map((window) => `  ${window.padEnd(10)} ${eventsIn(window)}`).join('\n')}

A schedule of --schedules is shown by \`unwindlab explain "$(sed -n 3p FILE)"\`, and run again by \`unwindlab replay\`.
Exit status: 0 every sweep passes, 1 one fails, 10 none fails and one was left unfinished.
`;

function eventsIn(window: string): string {
  const events = SCENARIOS.filter((scenario) => scenario.window === window).map(({ about }) => about);
  return events.join('; ');
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

async function races(names: readonly string[], options: RacesOptions): Promise<void> {
  const versions = VERSIONS.filter((version) => names.length === 0 || names.includes(version));
  expectKnown('a version', names, VERSIONS);
  expectKnown('a window', options.window, WINDOWS);
  const scenarios = SCENARIOS.filter(
    ({ window }) => options.window.length === 0 || options.window.includes(window),
  );
  const progress = racesProgress(process.stderr);
  const began = performance.now();
  const results = await hearingInterrupts((interrupted) =>
    runRaces(versions, scenarios, { jobs: options.jobs, onResult: progress.tell, interrupted }),
  );
  progress.end();
  const seconds = (performance.now() - began) / 1000;
  const findings = findingsOf(results);
  if (options.schedules !== undefined)
    replaceFile(options.schedules, findings.map(({ schedule }) => `${formatSchedule(schedule)}\n`).join(''));
  if (options.json) for (const { report } of results) process.stdout.write(formatReport(report));
  else process.stdout.write(await racesText(results, findings, seconds));
  process.exitCode = statusOf(results, versions.length * scenarios.length);
}

function expectKnown(what: string, given: readonly string[], known: readonly string[]): void {
  const wrong = given.find((name) => !known.includes(name));
  if (wrong !== undefined) throw new UsageError(`expected ${what} of ${known.join(', ')}, found "${wrong}"`);
}

function statusOf(results: readonly CellResult[], all: number): number {
  const verdicts = results.map(({ report }) => verdictOf(report));
  const has = (verdict: Verdict): boolean => verdicts.includes(verdict);
  if (has('FAIL')) return EXIT_STATUS.disagrees;
  return has('UNKNOWN') || results.length < all ? EXIT_STATUS.budget : EXIT_STATUS.ok;
}
