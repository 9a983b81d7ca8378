#!/usr/bin/env node
/** The command line: commands, and the one place where an error becomes a sentence and an exit status. */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { ImageError } from '../../emu/boot/image-error.js';
import { EngineError } from '../../emu/engine/library.js';
import { AsmError } from '../asm/asm-error.js';
import { PatchError } from '../asm/patch.js';
import { FileError } from '../lab/open.js';
import { packedImages } from '../lab/packed.js';
import { LitmusError, LitmusLimit } from '../litmus/test.js';
import { ScheduleError } from '../schedule/schedule.js';
import { ReportError } from '../sweep/report.js';
import { WindowError } from '../sweep/window.js';
import { bootCommand } from './boot.js';
import { disasmCommand } from './disasm.js';
import { EXIT_STATUS, UsageError } from './errors.js';
import { explainCommand } from './explain.js';
import { litmusCommand } from './litmus.js';
import { racesCommand } from './races.js';
import { replayCommand } from './replay.js';
import { setupCommand } from './setup.js';
import { stacksCommand } from './stacks.js';
import { mergeCommand, sweepCommand } from './sweep.js';
import { symbolsCommand } from './symbols.js';
import { traceCommand } from './trace.js';

const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string };

function program(): Command {
  const root = new Command('unwindlab')
    .description(
      "boots x86-64 guest images, traces them, and stitches their stacks by Linux's deferred unwinding",
    )
    .version(version)
    .addHelpText('after', () => `\nImages of this package: ${packedImages().join(', ')}\n`)
    .showHelpAfterError('(--help shows what is possible)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'unwindlab: ')) })
    .exitOverride();
  const commands = [
    bootCommand(),
    traceCommand(),
    stacksCommand(),
    replayCommand(),
    sweepCommand(),
    mergeCommand(),
    racesCommand(),
    explainCommand(),
    disasmCommand(),
    symbolsCommand(),
    litmusCommand(),
    setupCommand(),
  ];
  for (const command of commands) root.addCommand(command.copyInheritedSettings(root));
  return root;
}

/** Which errors are the user's, by class; all others are ours. */
const STATUS_OF: readonly (readonly [new (...args: never[]) => Error, number])[] = [
  [UsageError, EXIT_STATUS.usage],
  [ScheduleError, EXIT_STATUS.usage],
  [PatchError, EXIT_STATUS.usage],
  [AsmError, EXIT_STATUS.usage],
  [LitmusError, EXIT_STATUS.usage],
  [WindowError, EXIT_STATUS.usage],
  [ReportError, EXIT_STATUS.usage],
  [LitmusLimit, EXIT_STATUS.budget],
  [ImageError, EXIT_STATUS.badImage],
  [EngineError, EXIT_STATUS.noEngine],
  [FileError, EXIT_STATUS.io],
];

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_STATUS.ok : EXIT_STATUS.usage;
  const known = STATUS_OF.find(([kind]) => error instanceof kind);
  const sentence = error instanceof Error ? error.message : String(error);
  if (known !== undefined) {
    process.stderr.write(`unwindlab: ${sentence}\n`);
    return known[1];
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
  await program().parseAsync();
} catch (error) {
  process.exitCode = statusOf(error);
}
