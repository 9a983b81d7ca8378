/** `unwindlab boot`: runs a guest with its serial console on stdout and takes its exit status. */
import { Command } from 'commander';
import type { FormatName } from '../../emu/boot/formats.js';
import type { Machine, Outcome } from '../../emu/machine.js';
import {
  addDebugOptions,
  addSpeedOptions,
  formatOption,
  type GuestOptions,
  guestRun,
} from './guest-options.js';
import { endingOf, finish } from './outcome.js';
import { runGuest } from './run-guest.js';

interface BootOptions extends GuestOptions {
  json?: boolean;
  format?: FormatName;
}

export function bootCommand(): Command {
  return addSpeedOptions(
    addDebugOptions(
      new Command('boot').description('boot an image headlessly; its serial console is on stdout'),
    ),
    'free',
  )
    .addOption(formatOption())
    .option('--json', 'one JSON object at the end instead: console text, outcome, instructions')
    .addHelpText('after', HELP)
    .action(boot);
}

const HELP = `
Images: Linux bzImages, multiboot, multiboot 2 and ELF files with a PVH note; the format is found by looking at the file.
For Linux give --initrd, not --module; docs/boot.md tells what each format is given.

Exit status: 0 power-off; odd: the guest's, (value << 1) | 1 for a value written to port 0xf4;
1 also when --check-determinism has found a difference;
2 usage, 4 bad image, 6 no libunicorn, 8 triple fault, 10 budget spent, 12 guest hangs,
14 guest reset, 16 bus error, 18 file error, 70 internal error, 130 interrupted.
`;

async function boot(image: string, options: BootOptions): Promise<void> {
  const collected: Buffer[] = [];
  await runGuest(guestRun(image, options, options.format, 'free'), {
    progress: options.json ? 'always' : 'between-lines',
    console: (bytes) => {
      if (options.json) collected.push(bytes);
      else process.stdout.write(bytes);
    },
    finished: (outcome, { machine }) => {
      if (options.json) {
        const text = Buffer.concat(collected).toString('utf8');
        process.stdout.write(`${JSON.stringify(report(outcome, machine, text))}\n`);
      }
      finish(outcome, machine);
    },
  });
}

/** The object that --json prints. */
function report(outcome: Outcome, machine: Machine, console: string): object {
  return {
    outcome: outcome.kind,
    ...endingOf(outcome, machine),
    cpus: machine.cpus.length,
    instructions: machine.retired,
    time: Math.max(...machine.cpus.map((cpu) => cpu.time)),
    events: machine.events.count,
    hash: machine.events.hash.digest,
    console,
  };
}
