/** What all commands that run a guest do alike: open it, connect console and stdin, run it, hear Ctrl-C, close it. */
import { fstatSync } from 'node:fs';
import type { Machine, Outcome } from '../../emu/machine.js';
import { type LoadedGuest, openGuest, readInput } from '../lab/open.js';
import { runToEnd } from '../lab/run.js';
import { ConsoleOutput } from './console-output.js';
import type { GuestRun } from './guest-options.js';
import { progressOf } from './progress.js';

export interface GuestRunner {
  /** Receives the serial console. */
  console(bytes: Buffer): void;
  /** Called before the first instruction. */
  prepare?(guest: LoadedGuest): void;
  /** The command prints its result at the end: tell on a terminal how far the run is. */
  readonly slow?: boolean;
  /** Called when the guest has ended and its memory can still be read. */
  finished(outcome: Outcome, guest: LoadedGuest): void;
}

export async function runGuest({ files, options, budget }: GuestRun, runner: GuestRunner): Promise<void> {
  const output = new ConsoleOutput((bytes) => {
    progress.hide();
    runner.console(bytes);
  });
  const guest = openGuest(files, { ...options, console: output.put });
  const detachInput = attachInput(guest.machine);
  const progress = progressOf(guest.machine, budget, process.stderr);
  let interrupted = false;
  const onInterrupt = (): void => {
    interrupted = true;
  };
  process.on('SIGINT', onInterrupt);
  try {
    runner.prepare?.(guest);
    const outcome = await runToEnd(guest.machine, {
      budget,
      interrupted: () => {
        output.flush();
        if (runner.slow) progress.tell();
        return interrupted;
      },
    });
    output.flush();
    progress.hide();
    runner.finished(outcome, guest);
  } finally {
    process.off('SIGINT', onInterrupt);
    detachInput();
    guest.machine.close();
  }
}

const STDIN = 0;
/** Control-D: what a terminal's line sends when the input ends. */
const END_OF_INPUT = Uint8Array.of(4);

/**
 * A terminal or a pipe is given to the guest as it comes; anything else, such as a file or /dev/null, as a whole before it
 * starts, which keeps the run repeatable. The end of the input becomes a control-D.
 * @returns what ends the connection.
 */
function attachInput(machine: Machine): () => void {
  const { stdin } = process;
  const kind = fstatSync(STDIN);
  if (!stdin.isTTY && !kind.isFIFO() && !kind.isSocket()) {
    machine.input(readInput('/dev/stdin'));
    machine.input(END_OF_INPUT);
    return () => {};
  }
  const onData = (bytes: Buffer): void => machine.input(bytes);
  const onEnd = (): void => machine.input(END_OF_INPUT);
  stdin.on('data', onData).on('end', onEnd);
  return () => {
    stdin.off('data', onData).off('end', onEnd);
    stdin.destroy();
  };
}
