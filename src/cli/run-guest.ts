/** What all commands that run a guest do alike: open it, connect console and stdin, run it, hear Ctrl-C, close it. */
import type { Outcome } from '../../emu/machine.js';
import { specOf } from '../lab/guest-spec.js';
import { type GuestInput, type LoadedGuest, loadGuest, readGuest } from '../lab/open.js';
import { runToEnd } from '../lab/run.js';
import { logEvents } from '../schedule/event-log.js';
import { Recorder } from '../schedule/recorder.js';
import type { GuestSpec, Schedule } from '../schedule/schedule.js';
import { ConsoleOutput } from './console-output.js';
import { attachInput } from './guest-input.js';
import type { GuestRun } from './guest-options.js';
import { hearingInterrupts } from './interrupt.js';
import { progressOf } from './progress.js';
import { Recording } from './recording.js';

export interface GuestRunner {
  /** Receives the serial console. */
  console(bytes: Buffer): void;
  /** Called before the first instruction. */
  prepare?(guest: LoadedGuest): void;
  /** `prepare` attaches what takes the tracers' records out of their rings. */
  readonly drains?: boolean;
  /**
   * When to tell on a terminal how far the run is: always, where the command prints its result at the end; where its output is the guest's
   * console, while that stands at the beginning of a line. Default: never.
   */
  readonly progress?: 'always' | 'between-lines';
  /** Called when the guest has ended and its memory can still be read. */
  finished(outcome: Outcome, guest: LoadedGuest): void;
}

export async function runGuest(run: GuestRun, runner: GuestRunner): Promise<void> {
  const input = readGuest(run.files);
  if (run.gdb !== undefined) {
    const guest = { ...specOf(input, run.options), ...(runner.drains && { drained: true }) };
    const { debugGuest } = await import('./debug-guest.js');
    await debugGuest(run.gdb, runner, {
      guest,
      budget: run.budget,
      open: (console) => loadGuest(input, { ...run.options, console }),
    });
    return;
  }
  const recording = run.record !== undefined || run.isChecked ? new Recording(run.record) : undefined;
  try {
    const spec = { ...specOf(input, run.options), ...(runner.drains && { drained: true }) };
    const schedule = await runOnce(run, runner, { input, spec, put: recording?.put });
    recording?.save(schedule);
    if (run.isChecked) {
      const { checkSecondRun } = await import('./second-run.js');
      await checkSecondRun(schedule, recording!.lines());
    }
  } finally {
    recording?.close();
  }
}

interface GuestOnce {
  readonly input: GuestInput;
  readonly spec: GuestSpec;
  /** Takes a line for each event of the run. */
  readonly put: ((line: string) => void) | undefined;
}

/** @returns what was decided about the run. */
async function runOnce(
  { options, budget }: GuestRun,
  runner: GuestRunner,
  { input, spec, put }: GuestOnce,
): Promise<Schedule> {
  const output = new ConsoleOutput((bytes) => {
    progress.hide();
    runner.console(bytes);
  });
  const guest = loadGuest(input, { ...options, console: output.put });
  const progress = progressOf(
    guest.machine,
    runner.progress === 'always' ? budget : undefined,
    process.stderr,
  );
  const recorder = new Recorder(guest.machine);
  const attached = attachInput((bytes) => recorder.input(bytes));
  try {
    if (put !== undefined) logEvents(guest.machine, put);
    runner.prepare?.(guest);
    const outcome = await hearingInterrupts((heard) => {
      const interrupted = (): boolean => {
        output.flush();
        if (runner.progress === 'always' || (runner.progress !== undefined && output.isAtLineStart))
          progress.tell();
        return heard();
      };
      return runToEnd(guest.machine, { budget, interrupted, asleep: attached.wait });
    });
    output.flush();
    progress.hide();
    runner.finished(outcome, guest);
    return recorder.finish(spec, outcome);
  } finally {
    attached.detach();
    guest.machine.close();
  }
}
