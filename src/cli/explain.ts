import { Command } from 'commander';
import pc from 'picocolors';
import type { Story } from '../explain/story.js';
import { PLAIN_STORY, type StoryPaint, storyLines } from '../explain/text.js';
import { explain, pageOf } from '../lab/explain.js';
import { EXIT_STATUS } from './errors.js';
import { openOutput } from './output-file.js';
import { openRecord } from './replay.js';

interface ExplainOptions {
  readonly full?: boolean;
  readonly json?: boolean;
  readonly html?: string;
}

const COLOURS: StoryPaint = {
  context: pc.bold,
  choice: pc.yellow,
  change: pc.green,
  note: pc.cyan,
  broken: pc.red,
  faint: pc.dim,
};

const HELP = `
Each line has the instructions that all CPUs had executed before it, as schedules count them.
Exit status: 0 explained, 1 the run is not the one that was recorded, 2 no schedule, 4 another image.
`;

/** `unwindlab explain`: what happens around the choices of a schedule, instruction by instruction. */
export function explainCommand(): Command {
  return new Command('explain')
    .description('run a schedule and tell what happens around its choices, instruction by instruction')
    .argument('<schedule>', 'a file with one, - for stdin, or the line itself')
    .option('--full', 'every instruction; without it, long stretches in which nothing changes are one line')
    .option('--html <file>', 'a page to look at and step through in a browser, in place of the text')
    .option('--json', 'the story as one object')
    .addHelpText('after', HELP)
    .action(explainSchedule);
}

async function explainSchedule(from: string, options: ExplainOptions): Promise<void> {
  const { schedule, close } = openRecord(from);
  close();
  const output = openOutput(options.html, process.stdout);
  try {
    const story = await explain(schedule);
    if (story.differs !== undefined) process.exitCode = EXIT_STATUS.disagrees;
    output.write(textOf(story, options));
  } finally {
    output.close();
  }
}

function textOf(story: Story, { html, json, full = false }: ExplainOptions): string {
  if (html !== undefined) return pageOf(story);
  if (json) return `${JSON.stringify(story)}\n`;
  const paint = process.stdout.isTTY ? COLOURS : PLAIN_STORY;
  return `${storyLines(story, { paint, full }).join('\n')}\n`;
}
