/** docs/sweep.md says what is so: its first command, and its tables of ids and exit statuses. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { unwindlab } from '../system/run.js';
import { broken, missingTools, sweepToy } from './toy.js';

const text = readFileSync('docs/sweep.md', 'utf8');

const wordsOf = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
/** Without numbers, digests and what an ellipsis stands for. */
const shapeOf = (output: string): string =>
  output
    .replace(/#[0-9a-f]{16}/g, '#N')
    .replace(/(image=\S+) .* do=/g, '$1 … do=')
    .replace(/ *\b\d+\b/g, ' N');

describe('docs/sweep.md', () => {
  it('shows a sweep as it is', async () => {
    const [, command, output] = /```console\n\$ unwindlab (.*?)\n(.*?)```/s.exec(text)!;
    const ended = await unwindlab(wordsOf(command!));
    expect(ended.status).toBe(EXIT_STATUS.disagrees);
    expect(shapeOf(ended.stdout)).toBe(shapeOf(output!));
  });

  it('tells the exit statuses', () => {
    for (const [verdict, status] of [
      ['PASS', EXIT_STATUS.ok],
      ['FAIL', EXIT_STATUS.disagrees],
      ['UNKNOWN', EXIT_STATUS.budget],
      ['interrupted', 130],
    ] as const)
      expect(text).toMatch(new RegExp(`^\\| ${verdict} \\| ${status} \\|`, 'm'));
  });

  it.skipIf(missingTools.length > 0)('names what every image must keep', async () => {
    const found: string[] = [];
    for (const nmi of ['jmp nmi', 'ud2', 'movl $user, %ecx; movl $0x202, %r11d; sysretq'])
      found.push(...Object.keys(broken((await sweepToy({ nmi })).tally)));
    expect(found).toEqual(['exit-reached', 'no-fault', 'event-delivered']);
    for (const id of found) expect(text).toContain(`| \`${id}\` |`);
  });
});
