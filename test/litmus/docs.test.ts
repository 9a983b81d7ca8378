/** The example of docs/litmus.md prints what the page says, and its library example holds. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { litmus, runLitmusSource } from '../../src/litmus/litmus.js';
import { reportLines, witnessLines } from '../../src/litmus/print.js';

const page = readFileSync(new URL('../../docs/litmus.md', import.meta.url), 'utf8');
const block = (language: string): string => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(page)![1]!;

it('docs/litmus.md', async () => {
  const report = await runLitmusSource(block('litmus'), 'claim.litmus');
  const [, ...output] = block('console').trimEnd().split('\n');
  expect([...reportLines(report), ...witnessLines(report)]).toEqual(output);
});

it('the example of the library', async () => {
  const { observation } = await litmus({
    init: 'x=0',
    columns: { P0: 'mov x, %rax; inc %rax; mov %rax, x', 'P0.NMI': 'incq x' },
    condition: 'exists (x=1)',
  });
  expect(observation).toBe('Sometimes');
  expect(block('ts')).toContain("'P0.NMI': 'incq x'");
});
