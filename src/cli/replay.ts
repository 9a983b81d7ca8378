/** `unwindlab replay`: runs a schedule again and says where the run parts from the recorded one. */
import { closeSync, openSync } from 'node:fs';
import { Command } from 'commander';
import { DEFAULT_BUDGET, type Outcome } from '../../emu/machine.js';
import { FileError, type LoadedGuest, reasonOf } from '../lab/open.js';
import { openSchedule } from '../lab/open-schedule.js';
import { type Replay, replay } from '../lab/replay.js';
import { logEvents } from '../schedule/event-log.js';
import { parseSchedule, type Schedule, ScheduleError } from '../schedule/schedule.js';
import { ConsoleOutput } from './console-output.js';
import { EXIT_STATUS, UsageError } from './errors.js';
import { type GdbAddress, gdbOption } from './gdb-option.js';
import { hearingInterrupts } from './interrupt.js';
import { LineReader } from './line-reader.js';
import { finish, INTERRUPTED } from './outcome.js';
import { Recording } from './recording.js';
import { differenceText } from './replay-text.js';
import { checkSecondRun } from './second-run.js';

const STDIN = 0;

interface ReplayOptions {
  checkDeterminism?: boolean;
  gdb?: GdbAddress;
}

export function replayCommand(): Command {
  return new Command('replay')
    .description('run a schedule again, and compare the run with what was recorded')
    .argument('<schedule>', 'a file of --record, - for stdin, or the line itself')
    .option('--check-determinism', 'run it twice and compare the two runs')
    .addOption(gdbOption())
    .addHelpText('after', HELP)
    .action(replaySchedule);
}

const HELP = `
The guest's console is on stdout. docs/schedules.md tells the format.
Exit status: 0 the run is as recorded, 1 it differs, 2 no schedule, 4 another image, 130 interrupted.
`;

async function replaySchedule(from: string, options: ReplayOptions): Promise<void> {
  if (options.gdb !== undefined) {
    if (options.checkDeterminism) throw new UsageError('expected --gdb without --check-determinism');
    await debugSchedule(from, options.gdb);
    return;
  }
  const { schedule, log, close } = openRecord(from);
  const second = options.checkDeterminism ? new Recording(undefined) : undefined;
  try {
    const result = await replayOnce(schedule, log, second);
    if (second !== undefined && result.kind === 'same')
      await checkSecondRun({ ...schedule, end: result.end }, second.lines());
  } finally {
    second?.close();
    close();
  }
}

/** The run as recorded, under gdb; what gdb decides, it decides anew. */
async function debugSchedule(from: string, address: GdbAddress): Promise<void> {
  const { schedule, close } = openRecord(from);
  close();
  const runner = {
    console: (bytes: Buffer) => void process.stdout.write(bytes),
    finished: (outcome: Outcome, { machine }: LoadedGuest) => finish(outcome, machine),
  };
  const { debugGuest } = await import('./debug-guest.js');
  await debugGuest(address, runner, {
    guest: schedule.guest,
    budget: DEFAULT_BUDGET,
    recorded: schedule.choices,
    open: (console) => openSchedule(schedule, { console }),
  });
}

async function replayOnce(
  schedule: Schedule,
  log: (() => string | undefined) | undefined,
  recording: Recording | undefined,
): Promise<Replay> {
  const output = new ConsoleOutput((bytes) => void process.stdout.write(bytes));
  const guest = await openSchedule(schedule, { console: output.put });
  try {
    if (recording !== undefined) logEvents(guest.machine, recording.put);
    const result = await hearingInterrupts((heard) => {
      const interrupted = (): boolean => {
        output.flush();
        return heard();
      };
      return replay(guest.machine, schedule, { log, interrupted });
    });
    output.flush();
    tell(result, schedule, guest, log !== undefined);
    return result;
  } finally {
    guest.machine.close();
  }
}

/** Tells how a replay has ended, and sets the exit status. */
function tell(result: Replay, schedule: Schedule, guest: LoadedGuest, hasLog: boolean): void {
  const { retired, hash } = result.end;
  if (result.kind === 'same') {
    const isCompared = hasLog || schedule.end !== undefined;
    const verdict = isCompared ? 'as recorded' : 'there is nothing to compare it with';
    process.stderr.write(`unwindlab: replayed ${retired} instructions, hash ${hash}: ${verdict}\n`);
  } else if (result.kind === 'interrupted') {
    process.stderr.write(`unwindlab: interrupted after ${retired} instructions, as recorded up to there\n`);
    process.exitCode = INTERRUPTED;
  } else {
    process.stderr.write(differenceText(result, schedule.guest, guest, ['recorded', 'replayed']));
    process.exitCode = EXIT_STATUS.disagrees;
  }
}

interface OpenRecord {
  readonly schedule: Schedule;
  /** undefined: there is no log. */
  readonly log: (() => string | undefined) | undefined;
  close(): void;
}

/** @param from a file, - for stdin, or the schedule itself. @throws FileError, ScheduleError */
export function openRecord(from: string): OpenRecord {
  if (/^\s*unwindlab\/\d+\s/.test(from))
    return { schedule: parseSchedule(from), log: undefined, close: () => {} };
  const isStdin = from === '-';
  const file = isStdin ? 'standard input' : from;
  const handle = isStdin ? STDIN : reading(file, () => openSync(file, 'r'));
  const { next } = new LineReader(handle);
  const first = reading(file, next);
  if (first === undefined) throw new ScheduleError(`expected a schedule in ${file}, found it empty`);
  const schedule = parseSchedule(first);
  let ahead = next();
  const log = (): string | undefined => {
    const line = ahead;
    ahead = next();
    return line;
  };
  return { schedule, log: ahead === undefined ? undefined : log, close: () => closeSync(handle) };
}

function reading<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new FileError(`expected a readable file at ${file}, found ${reasonOf(error)}`);
  }
}
