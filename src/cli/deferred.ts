/** `unwindlab deferred`: boots a Linux kernel and prints what its deferred unwinding does. */
import { Command } from 'commander';
import { deferredWatch } from '../lab/deferred.js';
import { openImage } from '../lab/open.js';
import { type DeferredEvent, DeferredTally, deferredText } from '../trace/deferred.js';
import { jsonLine } from '../trace/json.js';
import {
  addGuestOptions,
  addSpeedOptions,
  type GuestOptions,
  guestRun,
  programOption,
  programsOf,
  withoutKaslr,
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
    'free',
  )
    .addOption(programOption())
    .option('-o, --output <file>', 'write there instead of stderr')
    .option('--json', 'one object a line')
    .addHelpText(
      'after',
      '\nThe console of the guest is on stdout. The machine is a pc unless --machine says otherwise. The kernel is told nokaslr:\nits functions must lie where its file says. A callback is printed as `perf script --no-merge-callchains` prints its record.\n',
    )
    .action(printDeferred);
}

async function printDeferred(image: string, options: DeferredOptions): Promise<void> {
  const append = withoutKaslr(options.append);
  const run = guestRun(image, { machine: 'pc', ...options, append }, undefined, 'free');
  const programs = programsOf(options.program);
  const output = openOutput(options.output, process.stderr);
  const tally = new DeferredTally();
  const watch = await deferredWatch(openImage(image), {
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
