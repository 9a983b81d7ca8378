/** `unwindlab stacks`: runs a guest with its tracers on and prints the stitched samples as `perf script` does. */
import { Command, Option } from 'commander';
import { RunningKernel } from '../lab/kernel.js';
import { collectSamples, perfDataOf, type Samples, sampleStacks } from '../lab/samples.js';
import { chromeTrace } from '../trace/chrome-trace.js';
import { collapsed } from '../trace/collapsed.js';
import { jsonLine } from '../trace/json.js';
import { perfScript } from '../trace/perf-script.js';
import type { StackEvent } from '../trace/stacks.js';
import { addRunOptions, type GuestOptions, guestRun, withWord } from './guest-options.js';
import { finish } from './outcome.js';
import { openOutput } from './output-file.js';
import { runGuest } from './run-guest.js';

const FORMATS = {
  script: (events: readonly StackEvent[]) =>
    events.map((event) => perfScript(event, { cookies: true })).join(''),
  json: (events: readonly StackEvent[]) => events.map(jsonLine).join(''),
  collapsed,
  chrome: chromeTrace,
} as const;
type Format = keyof typeof FORMATS;

interface StacksOptions extends GuestOptions {
  merge: boolean;
  format: Format;
  json?: boolean;
  output?: string;
  perfData?: string;
}

export function stacksCommand(): Command {
  return addRunOptions(
    new Command('stacks').description('sample a guest and print its stitched stacks as perf script does'),
  )
    .option(
      '--no-merge',
      'show samples and deferred user stacks apart, as perf script --no-merge-callchains does',
    )
    .addOption(
      new Option(
        '--format <format>',
        'script: as perf script; json: one object a line; collapsed: for flame graphs; chrome: for Perfetto',
      )
        .choices(Object.keys(FORMATS))
        .default('script'),
    )
    .option('--json', 'short for --format json')
    .option('-o, --output <file>', 'write there instead of stdout')
    .option(
      '--perf-data <file>',
      'write the samples there too, for perf script -i FILE; with --no-merge as they are, which needs perf 7',
    )
    .addHelpText(
      'after',
      '\nThe kernel gets trace=perf unless --append says otherwise (perf.source, perf.period: docs/guest-abi.md).\nThe console of the guest is on stderr.\n',
    )
    .action(printStacks);
}

async function printStacks(image: string, options: StacksOptions): Promise<void> {
  const run = guestRun(image, { ...options, append: withWord(options.append, 'trace=perf') });
  const output = openOutput(options.output, process.stdout);
  const perfData = options.perfData === undefined ? undefined : openOutput(options.perfData, process.stdout);
  const perfEvent = /\bperf\.source=nmi\b/.test(options.append) ? 'instructions' : 'cpu-clock';
  let samples: Samples | undefined;
  await runGuest(run, {
    progress: 'always',
    drains: true,
    console: (bytes) => process.stderr.write(bytes),
    prepare: ({ machine }) => {
      samples = collectSamples(new RunningKernel(machine));
    },
    finished: (outcome, guest) => {
      const how = { merge: options.merge, perfEvent } as const;
      const events = sampleStacks(samples!, guest, how);
      output.write(FORMATS[options.json ? 'json' : options.format](events));
      output.close();
      perfData?.write(perfDataOf(samples!, guest, how));
      perfData?.close();
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
