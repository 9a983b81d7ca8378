/** The README's commands do what it says. What depends on the compiler (addresses, times) is not compared. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { formatSchedule } from '../../src/schedule/schedule.js';
import { raceL } from '../explain/race-l.js';
import { CLI, run, Scratch } from './run.js';

interface Shown {
  readonly args: readonly string[];
  /** What the README prints below the command. */
  readonly text: string;
  /** The same up to an ellipsis. */
  readonly output: string;
}

/** Files that the commands read, made before. */
const FILES: Readonly<Record<string, () => Promise<string>>> = {
  'race-l.schedule': async () => `${formatSchedule(await raceL())}\n`,
};

/** As a shell splits them: at blanks that are not in single quotes. */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);

/** The commands of the README's console blocks; what a pipe does with their output is left to the shell. */
function shown(): Shown[] {
  const blocks = [...readFileSync('README.md', 'utf8').matchAll(/```console\n(.*?)```/gs)].map(
    ([, text]) => text!,
  );
  return blocks.flatMap((block) => {
    const commands = [...block.matchAll(/^(?:\$ unwindlab|node \S+) (.*)$/gm)];
    return commands.map((match, index) => {
      const end = commands[index + 1]?.index ?? block.length;
      const text = block.slice(match.index + match[0].length + 1, end);
      return { args: wordsOf(match[1]!.split(' | ')[0]!), text, output: text.split('…')[0]! };
    });
  });
}

/** Counts of C code depend on the compiler, rates on the machine. */
const withoutCounts = (text: string): string => text.replace(/ *\b\d+\b/g, ' N');

describe('the README', () => {
  const commands = shown();
  test('shows commands', () => expect(commands.length).toBeGreaterThan(6));

  const scratch = new Scratch();
  afterAll(() => scratch.remove());

  test.each(commands)('$args', async ({ args, text, output }) => {
    const files = args.map(async (arg) => (FILES[arg] ? scratch.write(arg, await FILES[arg]()) : arg));
    const ended = await run(process.execPath, [CLI, ...(await Promise.all(files))]);
    expect(ended.status).toBe(0);
    if (args[0] === 'explain') {
      const withoutNumbers = (lines: string): string[] =>
        lines.split('\n').map((line) => line.replace(/\d+/g, 'N').trimStart());
      const told = withoutNumbers(ended.stdout);
      for (const line of withoutNumbers(text)) if (!line.includes('…')) expect(told).toContain(line);
    }
    if (args[0] === 'litmus') expect(ended.stdout).toBe(output);
    if (args[0] === 'sweep') expect(withoutCounts(ended.stdout)).toBe(withoutCounts(output));
    if (args[0] === 'stacks' && output !== '') {
      expect(ended.stdout).toContain('(cookie 300000001)\n');
      expect(ended.stdout).toContain('(cookie 300000002)\n');
      const shapes = (text: string): Set<string> =>
        new Set(text.split('\n').map((line) => line.replace(/\S+/g, 'x').trim()));
      for (const shape of shapes(output)) expect(shapes(ended.stdout)).toContain(shape);
    }
  });
});
