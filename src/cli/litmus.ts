import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { FileError } from '../lab/open.js';
import { runLitmusSource } from '../litmus/litmus.js';
import { reportJson, reportLines, witnessLines } from '../litmus/print.js';
import { EXIT_STATUS } from './errors.js';

interface LitmusOptions {
  readonly witness?: boolean;
  readonly json?: boolean;
  readonly join: boolean;
  readonly limit?: number;
}

/** `unwindlab litmus`: every interleaving and every NMI of small tests, with herd7's output. */
export function litmusCommand(): Command {
  return new Command('litmus')
    .description('run litmus files: every interleaving of their columns, every strike of their handlers')
    .argument('<file...>', 'litmus files; docs/litmus.md tells the format')
    .option('-w, --witness', 'show a run to each state that the condition speaks of')
    .option('--json', 'one object a line')
    .addOption(new Option('--no-join', 'execute every run, also from states that are known already'))
    .action(runFiles);
}

async function runFiles(files: readonly string[], options: LitmusOptions): Promise<void> {
  let agree = true;
  for (const [index, file] of files.entries()) {
    const report = await runLitmusSource(read(file), file, { join: options.join });
    agree &&= report.agrees;
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ file, ...reportJson(report) })}\n`);
      continue;
    }
    const lines = [...reportLines(report), ...(options.witness ? witnessLines(report) : [])];
    process.stdout.write(`${index > 0 ? '\n' : ''}${lines.join('\n')}\n`);
  }
  if (!agree) process.exitCode = EXIT_STATUS.disagrees;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new FileError(`expected a litmus file, found ${(error as Error).message}`);
  }
}
