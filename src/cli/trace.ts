/** `unwindlab trace`: runs a guest and prints its system calls as strace does. */
import { Command } from 'commander';
import type { FormatName } from '../../emu/boot/formats.js';
import { RunningKernel } from '../lab/kernel.js';
import { linuxCalls } from '../lab/linux-syscalls.js';
import { openImage } from '../lab/open.js';
import { CallStacks, observeCalls } from '../lab/syscalls.js';
import { jsonLine } from '../trace/json.js';
import { type Location, located } from '../trace/maps.js';
import { StraceWriter } from '../trace/strace.js';
import { FilterError, syscallFilter } from '../trace/strace-filter.js';
import { StraceSummary } from '../trace/strace-summary.js';
import type { CallEvent } from '../trace/syscalls.js';
import { UsageError } from './errors.js';
import {
  addDebugOptions,
  addSpeedOptions,
  formatOption,
  type GuestOptions,
  guestRun,
  programOption,
  programsOf,
  withoutKaslr,
  withWord,
} from './guest-options.js';
import { finish } from './outcome.js';
import { openOutput } from './output-file.js';
import { runGuest } from './run-guest.js';

interface TraceOptions extends GuestOptions {
  expression: string;
  summaryOnly?: boolean;
  stackTrace?: boolean;
  program: string[];
  output?: string;
  json?: boolean;
  format?: FormatName;
}

export function traceCommand(): Command {
  return addSpeedOptions(
    addDebugOptions(new Command('trace').description('print the system calls of a guest as strace does')),
    'exact',
  )
    .option('-f, --follow-forks', 'all tasks; this is the default')
    .option(
      '-e, --expression <filter>',
      'trace=SET: names and %classes with commas between, ! before them for the others',
      'trace=all',
    )
    .option('-c, --summary-only', 'a table of calls, errors and times instead')
    .option(
      '-k, --stack-trace',
      "the user stack of each call: from the kernel's deferred unwinding, stitched by cookie; of Linux, by frame pointers",
    )
    .addOption(programOption())
    .option('-o, --output <file>', 'write there instead of stderr')
    .option('--json', 'one object a line')
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nThe console of the guest is on stdout. -k gives the kernel trace=ftrace unless --append says otherwise.\nA Linux kernel is told nokaslr, and needs --machine pc; --program has the names of its programs.\n',
    )
    .action(traceCalls);
}

/** What turns events into text: each event as it comes, and what is left at the end. */
interface Writer {
  event(event: CallEvent, stack: readonly Location[]): string;
  end(): string;
}

function writerFor(options: TraceOptions, shown: (name: string) => boolean): Writer {
  if (options.summaryOnly) {
    const summary = new StraceSummary();
    return {
      event: (event) => {
        if ('name' in event && shown(event.name)) summary.event(event);
        return '';
      },
      end: () => summary.text(),
    };
  }
  if (options.json) {
    return {
      event: (event, stack) =>
        'name' in event && !shown(event.name) ? '' : jsonLine(stack.length > 0 ? { ...event, stack } : event),
      end: () => '',
    };
  }
  let present: readonly Location[] = [];
  const strace = new StraceWriter({
    shown,
    pids: options.output === undefined ? 'live' : 'file',
    stackOf: () => present,
  });
  return {
    event: (event, stack) => {
      present = stack;
      return strace.event(event);
    },
    end: () => strace.end(),
  };
}

async function traceCalls(image: string, options: TraceOptions): Promise<void> {
  const shown = filterOf(options.expression);
  const kernel = openImage(image);
  const isLinux = !RunningKernel.fits(kernel.symbols);
  const ours = options.stackTrace ? withWord(options.append, 'trace=ftrace') : options.append;
  const append = isLinux ? withoutKaslr(options.append) : ours;
  const run = guestRun(image, { ...options, append }, options.format);
  const output = openOutput(options.output, process.stderr);
  const writer = writerFor(options, shown);
  const put = (event: CallEvent, stack: readonly Location[] = []): void => {
    const text = writer.event(event, stack);
    if (text !== '') output.write(text);
  };
  const programs = programsOf(options.program);
  const watchLinux = isLinux
    ? await linuxCalls(kernel, (event, comm, stack) =>
        put(event, options.stackTrace ? stack.map((ip) => located(ip, comm, programs.get(comm))) : []),
      )
    : undefined;
  let held: CallStacks | undefined;
  await runGuest(run, {
    ...((options.summaryOnly || options.output !== undefined) && { progress: 'always' }),
    drains: options.stackTrace === true && !isLinux,
    console: (bytes) => process.stdout.write(bytes),
    prepare: (guest) => {
      if (watchLinux !== undefined) {
        watchLinux(guest.machine);
        return;
      }
      const kernel = new RunningKernel(guest.machine);
      if (options.stackTrace) {
        const stacks = new CallStacks(guest, put);
        kernel.tap({ ftrace: (record) => stacks.record(record) });
        held = stacks;
      }
      observeCalls(kernel, guest, (event, program) =>
        held === undefined ? put(event) : held.event(event, program),
      );
    },
    finished: (outcome, { machine }) => {
      held?.end();
      output.write(writer.end());
      output.close();
      finish(outcome, machine);
    },
  });
}

const SET = 'trace=';

/** @throws UsageError for what strace's -e takes and this does not. */
function filterOf(expression: string): (name: string) => boolean {
  const qualified = /^(\w+)=/.exec(expression);
  if (qualified !== null && qualified[0] !== SET && qualified[1] !== 't') {
    throw new UsageError(`expected -e trace=SET, found "${expression}"`);
  }
  try {
    return syscallFilter(qualified === null ? expression : expression.slice(qualified[0].length));
  } catch (error) {
    if (error instanceof FilterError) throw new UsageError(error.message);
    throw error;
  }
}
