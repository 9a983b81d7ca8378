/** The README's commands do what it says. What depends on the compiler (addresses, times) is not compared. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CLI, run } from './run.js';

interface Shown {
  readonly args: readonly string[];
  /** What the README prints below the command, up to an ellipsis. */
  readonly output: string;
}

/** The commands of the README's console blocks; what a pipe does with their output is left to the shell. */
function shown(): Shown[] {
  const blocks = [...readFileSync('README.md', 'utf8').matchAll(/```console\n(.*?)```/gs)].map(
    ([, text]) => text!,
  );
  return blocks.flatMap((block) => {
    const commands = [...block.matchAll(/^(?:\$ unwindlab|node \S+) (.*)$/gm)];
    return commands.map((match, index) => {
      const end = commands[index + 1]?.index ?? block.length;
      const output = block.slice(match.index + match[0].length + 1, end).split('…')[0]!;
      return { args: match[1]!.split(' | ')[0]!.split(' '), output };
    });
  });
}

describe('the README', () => {
  const commands = shown();
  test('shows commands', () => expect(commands.length).toBeGreaterThan(6));

  test.each(commands)('$args', async ({ args, output }) => {
    const ended = await run(process.execPath, [CLI, ...args]);
    expect(ended.status).toBe(0);
    if (args[0] === 'litmus') expect(ended.stdout).toBe(output);
    if (args[0] === 'stacks' && output !== '') {
      expect(ended.stdout).toContain('(cookie 300000001)\n');
      expect(ended.stdout).toContain('(cookie 300000002)\n');
      const shapes = (text: string): Set<string> =>
        new Set(text.split('\n').map((line) => line.replace(/\S+/g, 'x').trim()));
      for (const shape of shapes(output)) expect(shapes(ended.stdout)).toContain(shape);
    }
  });
});
