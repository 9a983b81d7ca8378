/** `unwindlab boot`: runs a guest with its serial console on stdout and takes its exit status. */
import { fstatSync } from 'node:fs';
import { Command } from 'commander';
import type { Machine } from '../../emu/machine.js';
import { openGuest, readInput } from '../lab/open.js';
import { runToEnd } from '../lab/run.js';
import { addGuestOptions, type GuestOptions, guestRun } from './guest-options.js';
import { endingOf } from './outcome.js';

interface BootOptions extends GuestOptions {
  json?: boolean;
}

export function bootCommand(): Command {
  return addGuestOptions(
    new Command('boot').description('boot an image headlessly; its serial console is on stdout'),
  )
    .option('--json', 'one JSON object at the end instead: console text, outcome, instructions')
    .addHelpText('after', STATUS_HELP)
    .action(boot);
}

const STATUS_HELP = `
Exit status: 0 power-off; odd: the guest's, (value << 1) | 1 for a value written to port 0xf4;
2 usage, 4 bad image, 6 no libunicorn, 8 triple fault, 10 budget spent, 12 guest hangs,
14 guest reset, 16 bus error, 18 file error, 70 internal error.
`;

async function boot(image: string, options: BootOptions): Promise<void> {
  const run = guestRun(image, options);
  const output = new ConsoleOutput(options.json ? undefined : process.stdout);
  const { machine } = openGuest(run.files, { ...run.options, console: (byte) => output.put(byte) });
  const input = attachInput(machine);
  let interrupts = 0;
  const onInterrupt = (): void => {
    interrupts++;
  };
  process.on('SIGINT', onInterrupt);
  try {
    const outcome = await runToEnd(machine, {
      budget: run.budget,
      interrupted: () => {
        output.flush();
        return interrupts > 0;
      },
    });
    output.flush();
    const { status, sentence } = endingOf(outcome, machine);
    if (options.json) {
      const { kind } = outcome;
      const report = {
        outcome: kind,
        status,
        ...(sentence === undefined ? {} : { sentence }),
        cpus: machine.cpus.length,
        instructions: machine.retired,
        time: Math.max(...machine.cpus.map((cpu) => cpu.time)),
        events: machine.events.count,
        hash: machine.events.hash.digest,
        console: output.text,
      };
      process.stdout.write(`${JSON.stringify(report)}\n`);
    }
    if (sentence !== undefined) process.stderr.write(`unwindlab: ${sentence}\n`);
    process.exitCode = status;
  } finally {
    process.off('SIGINT', onInterrupt);
    input.detach();
    machine.close();
  }
}

/** Collects the console's bytes and passes them on a line or a slice at a time. */
class ConsoleOutput {
  readonly #to: NodeJS.WriteStream | undefined;
  #pending: number[] = [];
  #all: Buffer[] = [];

  constructor(to: NodeJS.WriteStream | undefined) {
    this.#to = to;
  }

  put(byte: number): void {
    this.#pending.push(byte);
    if (byte === NEWLINE) this.flush();
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const bytes = Buffer.from(this.#pending);
    this.#pending = [];
    if (this.#to === undefined) this.#all.push(bytes);
    else this.#to.write(bytes);
  }

  get text(): string {
    return Buffer.concat(this.#all).toString('utf8');
  }
}
const NEWLINE = 0x0a;
const STDIN = 0;

/** A file is given to the guest as a whole before it starts, which keeps the run repeatable; a terminal or pipe as it comes. */
function attachInput(machine: Machine): { detach(): void } {
  const { stdin } = process;
  const kind = fstatSync(STDIN);
  if (kind.isFile()) {
    machine.input(readInput('/dev/stdin'));
    return { detach: () => {} };
  }
  if (!stdin.isTTY && !kind.isFIFO()) return { detach: () => {} };
  const onData = (bytes: Buffer): void => machine.input(bytes);
  stdin.on('data', onData);
  return {
    detach: () => {
      stdin.off('data', onData);
      stdin.destroy();
    },
  };
}
