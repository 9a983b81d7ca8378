/** `unwindlab stacks`: runs a guest with its tracers on and prints the stitched samples as `perf script` does. */
import { Command } from 'commander';
import { RunningKernel } from '../lab/kernel.js';
import { collectSamples, type Samples, sampleStacks } from '../lab/samples.js';
import { perfScript } from '../trace/perf-script.js';
import type { StackEvent } from '../trace/stacks.js';
import { addGuestOptions, type GuestOptions, guestRun, withWord } from './guest-options.js';
import { finish } from './outcome.js';
import { runGuest } from './run-guest.js';

interface StacksOptions extends GuestOptions {
  merge: boolean;
}

export function stacksCommand(): Command {
  return addGuestOptions(
    new Command('stacks').description('sample a guest and print its stitched stacks as perf script does'),
  )
    .option('--no-merge', 'show samples and deferred user stacks apart')
    .addHelpText(
      'after',
      '\nThe kernel gets trace=perf unless --append says otherwise. The console of the guest is on stderr.\n',
    )
    .action(printStacks);
}

async function printStacks(image: string, options: StacksOptions): Promise<void> {
  const run = guestRun(image, { ...options, append: withWord(options.append, 'trace=perf') });
  const perfEvent = /\bperf\.source=nmi\b/.test(options.append) ? 'instructions' : 'cpu-clock';
  let samples: Samples = { perf: [], ftrace: [] };
  await runGuest(run, {
    console: (bytes) => process.stderr.write(bytes),
    prepare: ({ machine }) => {
      samples = collectSamples(new RunningKernel(machine));
    },
    finished: (outcome, guest) => {
      const events = sampleStacks(samples, guest, { merge: options.merge, perfEvent });
      for (const event of events) process.stdout.write(perfScript(event, { cookies: true }));
      process.stderr.write(`${summary(events)}\n`);
      finish(outcome, guest.machine);
    },
  });
}

/** One line: how many samples there are and what became of their user halves. */
function summary(events: readonly StackEvent[]): string {
  const counts = new Map<string, number>();
  for (const event of events) {
    const what =
      event.kind === 'sample' ? event.userHalf : `${event.kind} ${'why' in event ? event.why : ''}`.trim();
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  const samples = events.filter(({ kind }) => kind === 'sample').length;
  return `unwindlab: ${samples} samples (${[...counts].map(([what, count]) => `${count} ${what}`).join(', ')})`;
}
