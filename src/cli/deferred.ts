/** `unwindlab deferred`: boots a Linux kernel and prints what its deferred unwinding does. */
import { Command } from 'commander';
import type { NamedImage } from '../asm/code.js';
import { deferredWatch } from '../lab/deferred.js';
import { openImage, programName, readInput } from '../lab/open.js';
import { type DeferredEvent, DeferredTally, deferredText } from '../trace/deferred.js';
import { jsonLine } from '../trace/json.js';
import {
  addGuestOptions,
  addSpeedOptions,
  type GuestOptions,
  guestRun,
  repeated,
  withWord,
} from './guest-options.js';
import { finish } from './outcome.js';
import { openOutput } from './output-file.js';
import { runGuest } from './run-guest.js';

interface DeferredOptions extends GuestOptions {
  program: string[];
  output?: string;
  json?: boolean;
}

export function deferredCommand(): Command {
  return addSpeedOptions(
    addGuestOptions(
      new Command('deferred').description(
        "boot a Linux kernel and print its deferred unwinding: each request with its cookie, each tracer's callback with the user stack",
      ),
    ),
  )
    .addOption(repeated('--program <file>', 'names for the user frames of the task with that name'))
    .option('-o, --output <file>', 'write there instead of stderr')
    .option('--json', 'one object a line')
    .addHelpText(
      'after',
      '\nThe console of the guest is on stdout. The machine is a pc unless --machine says otherwise. The kernel is told nokaslr:\nits functions must lie where its file says. A callback is printed as `perf script --no-merge-callchains` prints its record.\n',
    )
    .action(printDeferred);
}

async function printDeferred(image: string, options: DeferredOptions): Promise<void> {
  const append = options.append.split(/\s+/).includes('nokaslr')
    ? options.append
    : `${options.append} nokaslr`;
  const run = guestRun(image, { machine: 'pc', ...options, append: append.trim() }, undefined, true);
  const programs = new Map<string, NamedImage>(
    options.program.map((file) => [programName(file), openImage(file)]),
  );
  const output = openOutput(options.output, process.stderr);
  const tally = new DeferredTally();
  const watch = await deferredWatch(readInput(image), {
    program: (comm) => programs.get(comm),
    emit: (event: DeferredEvent) => {
      tally.event(event);
      output.write(options.json ? jsonLine(event) : deferredText(event));
    },
  });
  await runGuest(run, {
    ...(options.output !== undefined && { progress: 'between-lines' }),
    console: (bytes) => process.stdout.write(bytes),
    prepare: ({ machine }) => watch(machine),
    finished: (outcome, { machine }) => {
      output.close();
      process.stderr.write(`unwindlab: ${tally.text()}\n`);
      finish(outcome, machine);
    },
  });
}
