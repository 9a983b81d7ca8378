/** Runs a guest under gdb, for all commands that take --gdb. */
import { ConsoleGate } from '../gdb/console-gate.js';
import { Debugger } from '../gdb/debugger.js';
import { listenForGdb } from '../lab/gdb.js';
import type { LoadedGuest } from '../lab/open.js';
import type { Choice, GuestSpec } from '../schedule/schedule.js';
import { ConsoleOutput } from './console-output.js';
import type { GdbAddress } from './gdb-option.js';
import { attachInput } from './guest-input.js';
import { hearingInterrupts } from './interrupt.js';
import { endingOf } from './outcome.js';
import type { GuestRunner } from './run-guest.js';

export interface DebuggedGuest {
  readonly guest: GuestSpec;
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** Decisions that are recorded already. */
  readonly recorded?: readonly Choice[];
  open(console: (byte: number) => void): LoadedGuest | Promise<LoadedGuest>;
}

/** @throws FileError where nobody can listen at the address, and what opening the guest throws */
export async function debugGuest(
  { address, text }: GdbAddress,
  runner: GuestRunner,
  { guest: spec, budget, recorded, open }: DebuggedGuest,
): Promise<void> {
  const output = new ConsoleOutput((bytes) => runner.console(bytes));
  const gate = new ConsoleGate(output.put);
  const guest = await open(gate.put);
  const { machine } = guest;
  try {
    const listener = await listenForGdb(address, text);
    try {
      runner.prepare?.(guest);
      const outcome = await hearingInterrupts((heard) => {
        const under = new Debugger(machine, {
          ...{ listener, gate, guest: spec, budget },
          ...(recorded && { recorded }),
          isReversible: runner.prepare === undefined,
          endingOf: (end) => endingOf(end, machine),
          interrupted: () => {
            output.flush();
            return heard();
          },
          onGdb: (event) => say(AT_GDB[event]),
        });
        say(`waiting for gdb: target remote ${listener.target}`);
        const { detach } = attachInput((bytes) => under.input(bytes));
        return under.run().finally(detach);
      });
      output.flush();
      runner.finished(outcome, guest);
    } finally {
      listener.close();
    }
  } finally {
    machine.close();
  }
}

const AT_GDB = {
  attached: 'gdb is here',
  detached: 'gdb has let the guest go; another one may come',
  lost: 'gdb is gone; the guest stands and waits for another one',
} as const;

const say = (sentence: string): void => void process.stderr.write(`unwindlab: ${sentence}\n`);
