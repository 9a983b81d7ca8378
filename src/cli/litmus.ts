import { Command, Option } from 'commander';
import { readInput } from '../lab/open.js';
import { runLitmusSource } from '../litmus/litmus.js';
import { reportJson, reportLines, witnessLines } from '../litmus/print.js';
import { DEFAULT_LIMIT } from '../litmus/run.js';
import { EXIT_STATUS, UsageError } from './errors.js';

interface LitmusOptions {
  readonly witness?: boolean;
  readonly json?: boolean;
  readonly join: boolean;
  readonly budget: number;
}

/** `unwindlab litmus`: every interleaving and every NMI of small tests, with herd7's output. */
export function litmusCommand(): Command {
  return new Command('litmus')
    .description('run litmus files: every interleaving of their columns, every strike of their handlers')
    .argument('<file...>', 'litmus files; docs/litmus.md tells the format')
    .option('-w, --witness', 'show a run to each state that the condition speaks of')
    .option('--json', 'one object a line')
    .option('--no-join', 'execute every run by itself, also from states that are known already')
    .addOption(
      new Option('--budget <n>', 'steps after which a file is given up')
        .argParser(readBudget)
        .default(DEFAULT_LIMIT),
    )
    .action(runFiles);
}

function readBudget(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new UsageError(`expected --budget of at least 1 step, found "${text}"`);
}

async function runFiles(files: readonly string[], options: LitmusOptions): Promise<void> {
  const { join, budget: limit } = options;
  for (const [index, file] of files.entries()) {
    const report = await runLitmusSource(readInput(file).toString('utf8'), file, { join, limit });
    if (!report.agrees) process.exitCode = EXIT_STATUS.disagrees;
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ file, ...reportJson(report) })}\n`);
      continue;
    }
    const lines = [...reportLines(report), ...(options.witness ? witnessLines(report) : [])];
    process.stdout.write(`${index > 0 ? '\n' : ''}${lines.join('\n')}\n`);
  }
}
