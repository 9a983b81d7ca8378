#!/usr/bin/env node
/** The command line: commands, and the one place where an error becomes a sentence and an exit status. */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { packedImages } from '../lab/packed.js';
import { EXIT_STATUS } from './errors.js';

const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string };

/** By name, in the order of the help. Only the one that is asked for is read: all together take longer than a small guest runs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  boot: async () => (await import('./boot.js')).bootCommand(),
  trace: async () => (await import('./trace.js')).traceCommand(),
  deferred: async () => (await import('./deferred.js')).deferredCommand(),
  stacks: async () => (await import('./stacks.js')).stacksCommand(),
  replay: async () => (await import('./replay.js')).replayCommand(),
  sweep: async () => (await import('./sweep.js')).sweepCommand(),
  merge: async () => (await import('./sweep.js')).mergeCommand(),
  races: async () => (await import('./races.js')).racesCommand(),
  explain: async () => (await import('./explain.js')).explainCommand(),
  disasm: async () => (await import('./disasm.js')).disasmCommand(),
  symbols: async () => (await import('./symbols.js')).symbolsCommand(),
  litmus: async () => (await import('./litmus.js')).litmusCommand(),
  setup: async () => (await import('./setup.js')).setupCommand(),
};

async function program(): Promise<Command> {
  const root = new Command('unwindlab')
    .description(
      "boots x86-64 guest images, traces them, and stitches their stacks by Linux's deferred unwinding",
    )
    .version(version)
    .addHelpText('after', () => `\nImages of this package: ${packedImages().join(', ')}\n`)
    .showHelpAfterError('(--help shows what is possible)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'unwindlab: ')) })
    .exitOverride();
  const asked = process.argv[2] ?? '';
  const names = Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
  const commands = await Promise.all(names.map((name) => COMMANDS[name]!()));
  for (const command of commands) root.addCommand(command.copyInheritedSettings(root));
  return root;
}

/** Which errors are the user's, by their names, for their classes lie all over the house; all others are ours. */
const STATUS_OF: Readonly<Record<string, number>> = {
  UsageError: EXIT_STATUS.usage,
  ScheduleError: EXIT_STATUS.usage,
  PatchError: EXIT_STATUS.usage,
  AsmError: EXIT_STATUS.usage,
  LitmusError: EXIT_STATUS.usage,
  WindowError: EXIT_STATUS.usage,
  ReportError: EXIT_STATUS.usage,
  LitmusLimit: EXIT_STATUS.budget,
  ImageError: EXIT_STATUS.badImage,
  EngineError: EXIT_STATUS.noEngine,
  FileError: EXIT_STATUS.io,
};

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_STATUS.ok : EXIT_STATUS.usage;
  const known = error instanceof Error ? STATUS_OF[error.name] : undefined;
  const sentence = error instanceof Error ? error.message : String(error);
  if (known !== undefined) {
    process.stderr.write(`unwindlab: ${sentence}\n`);
    return known;
  }
  const where = process.env['UNWINDLAB_DEBUG'] && error instanceof Error ? `\n${error.stack}` : '';
  process.stderr.write(`unwindlab: internal: ${sentence.replace(/^internal: /, '')}${where}\n`);
  return EXIT_STATUS.internal;
}

// A reader that goes away (`| head`) ends the command quietly, as it does other tools.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_STATUS.ok);
    throw error;
  });

try {
  const root = await program();
  await root.parseAsync();
} catch (error) {
  process.exitCode = statusOf(error);
}
