/** `unwindlab sweep` and `unwindlab merge`: an event at every instruction boundary of a window, and what has come of it. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type Command, Command as NewCommand, Option } from 'commander';
import { guestSpecOf } from '../lab/guest-spec.js';
import { readInput } from '../lab/open.js';
import { MONITORS, NO_MONITOR, openSweep } from '../lab/sweep.js';
import { sweepWindow } from '../lab/sweep-jobs.js';
import { parsePatch } from '../schedule/schedule.js';
import type { Injection } from '../sweep/question.js';
import { breachesOf, mergeReports, ReportError, type SweepReport, verdictOf } from '../sweep/report.js';
import { formatReport, parseReport } from '../sweep/report-file.js';
import { DETERMINISTIC } from '../sweep/sweep.js';
import { EXIT_STATUS, UsageError } from './errors.js';
import { addGuestOptions, type GuestOptions, guestRun, numberOption } from './guest-options.js';
import { hearingInterrupts } from './interrupt.js';
import { INTERRUPTED } from './outcome.js';
import { expectReplaceable, replaceFile } from './output-file.js';
import { sweepProgress } from './sweep-progress.js';
import { reportText } from './sweep-text.js';

interface SweepOptions extends GuestOptions {
  readonly from: string;
  readonly to?: string;
  readonly occurrence: number;
  readonly cpu: number;
  readonly inject: Injection;
  readonly depth: number;
  readonly bound: number;
  readonly jobs: number;
  readonly prune: boolean;
  readonly keepGoing?: boolean;
  readonly check?: string;
  readonly patch: readonly string[];
  readonly shard?: { readonly index: number; readonly of: number };
  readonly checkpoint?: string;
  readonly report?: string;
  readonly json?: boolean;
  readonly checkDeterminism?: boolean;
}

const DEFAULT_BOUND = 200_000;
const MILLION = 1_000_000;
/** The routine of a kernel that asks for a switch of tasks (docs/guest-abi.md). */
const RESCHEDULE = 'reschedule_probe';

export function sweepCommand(): Command {
  const command = addGuestOptions(new NewCommand('sweep'))
    .description('inject an event at every instruction boundary of a window, each in a run of its own')
    .requiredOption('--from <place>', 'where the window begins: symbol, symbol+0x12, or user')
    .option('--to <place>', 'where it ends; default: when the function that it begins in returns')
    .addOption(
      numberOption('--occurrence <n>', 'the how many-th arrival opens it', { from: 1, to: MILLION }).default(
        1,
      ),
    )
    .addOption(numberOption('--cpu <n>', 'the CPU that is struck', { from: 0, to: 7 }).default(0))
    .addOption(
      new Option('--inject <event>', 'nmi, irq:VECTOR, resched, or call:SYMBOL')
        .argParser(readInjection)
        .default({ kind: 'nmi' }, 'nmi'),
    )
    .addOption(numberOption('--depth <n>', 'injections a run', { from: 1, to: 3 }).default(1))
    .addOption(
      numberOption('--bound <n>', 'instructions in which things must settle', { from: 1, to: 1e9 }).default(
        DEFAULT_BOUND,
      ),
    )
    .addOption(
      numberOption('-j, --jobs <n>', 'processes', { from: 1, to: 256 }).default(availableParallelism()),
    )
    .option('--no-prune', 'strike also where the end state is known to be the same')
    .option(
      '--keep-going',
      'do all boundaries; otherwise the first from which a run breaks something is the last',
    )
    .addOption(
      new Option('--check <set>', 'invariants to check').choices([
        ...MONITORS.map(({ name }) => name),
        NO_MONITOR,
      ]),
    )
    .addOption(
      new Option('--patch <at[/bytes]=code>', 'replace instructions of the image; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(new Option('--shard <i/n>', 'do one of N parts, to be merged').argParser(readShard))
    .option('--checkpoint <file>', 'write there what is done, and go on from it next time')
    .option('--report <file>', 'write the report there, for unwindlab merge')
    .option('--json', 'print the report')
    .option('--check-determinism', 'make each run twice and compare the two')
    .addHelpText('after', HELP);
  return command.action(sweep);
}

export const mergeCommand = (): Command =>
  new NewCommand('merge')
    .description('add up the reports of the shards of one sweep')
    .argument('<report...>', 'files of unwindlab sweep --report')
    .option('--report <file>', 'write the sum there')
    .option('--json', 'print it')
    .addHelpText('after', VERDICTS)
    .action(merge);

const VERDICTS = `
Exit status: 0 PASS, 1 FAIL, 10 UNKNOWN (something was left out, and nothing is broken so far), 130 interrupted.
`;
const HELP = `
The windows of this package's kernel are pairs of labels such as unwind_deferred_request.begin and .end; docs/guest-abi.md lists them.
docs/sweep.md tells what is done at each boundary and what the numbers mean.
${VERDICTS.trimStart()}`;

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function readInjection(text: string): Injection {
  const [kind, what, ...more] = text.split(':');
  if (more.length === 0) {
    if (kind === 'nmi' && what === undefined) return { kind };
    if (kind === 'resched' && what === undefined) return { kind: 'call', symbol: RESCHEDULE };
    if (kind === 'call' && what) return { kind, symbol: what };
    const vector = /^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(what ?? '') ? Number(what) : Number.NaN;
    if (kind === 'irq' && vector >= 16 && vector <= 255) return { kind, vector };
  }
  throw new UsageError(
    `expected --inject nmi, irq:VECTOR with a vector from 16 to 255, resched or call:SYMBOL, found "${text}"`,
  );
}

function readShard(text: string): { index: number; of: number } {
  const [, index, of] = (/^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? []).map(Number);
  if (index === undefined || of === undefined || index < 1 || index > of)
    throw new UsageError(`expected --shard I/N with I from 1 to N, found "${text}"`);
  return { index: index - 1, of };
}

async function sweep(image: string, options: SweepOptions): Promise<void> {
  const { files, options: machine, budget } = guestRun(image, options);
  const { from, to, occurrence, cpu, inject: injection, depth, bound, prune, checkpoint } = options;
  const job = {
    guest: guestSpecOf(files, machine, options.patch.map(parsePatch)),
    question: { from, to, occurrence, cpu, injection, depth, bound, prune },
    monitor: options.check,
    budget,
    isChecked: options.checkDeterminism ?? false,
  };
  const before = checkpoint !== undefined && existsSync(checkpoint) ? readReport(checkpoint) : undefined;
  for (const file of [checkpoint, options.report]) if (file !== undefined) expectReplaceable(file);
  const progress = sweepProgress(process.stderr, (report) => {
    if (checkpoint !== undefined) replaceFile(checkpoint, formatReport(report));
  });
  let isInterrupted = false;
  const open = await openSweep(job); // Control-C still ends the process: there is nothing to keep
  const report = await hearingInterrupts((heard) =>
    sweepWindow(job, open, {
      jobs: options.jobs,
      keepGoing: options.keepGoing ?? false,
      ...(options.shard && { shard: options.shard }),
      ...(before && { from: before }),
      onProgress: progress.tell,
      interrupted: () => {
        isInterrupted = heard();
        return isInterrupted;
      },
    }),
  ).finally(() => {
    progress.end();
    open.close();
  });
  await finish(report, options);
  if (options.checkDeterminism && breachesOf(report).every(({ ids }) => !ids.includes(DETERMINISTIC)))
    process.stderr.write('unwindlab: every run was made twice, and was the same\n');
  if (!isInterrupted || verdictOf(report) !== 'UNKNOWN') return;
  process.exitCode = INTERRUPTED;
  const next = checkpoint === undefined ? '' : `; the same command goes on from ${checkpoint}`;
  process.stderr.write(`unwindlab: interrupted${next}\n`);
}

async function merge(
  files: readonly string[],
  options: Pick<SweepOptions, 'report' | 'json'>,
): Promise<void> {
  await finish(mergeReports(files.map(readReport)), options);
}

/** Prints and writes a report, and sets the exit status. */
async function finish(
  report: SweepReport,
  { json, report: file }: Pick<SweepOptions, 'report' | 'json'>,
): Promise<void> {
  if (file !== undefined) replaceFile(file, formatReport(report));
  process.stdout.write(json ? formatReport(report) : await reportText(report));
  process.exitCode = { PASS: EXIT_STATUS.ok, FAIL: EXIT_STATUS.disagrees, UNKNOWN: EXIT_STATUS.budget }[
    verdictOf(report)
  ];
}

/** @throws FileError; ReportError naming the file. */
function readReport(file: string): SweepReport {
  const text = readInput(file).toString('utf8');
  try {
    return parseReport(text);
  } catch (error) {
    if (error instanceof ReportError) throw new ReportError(`${file}: ${error.message}`);
    throw error;
  }
}
