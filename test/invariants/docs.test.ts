/** docs/invariants.md has a paragraph for each invariant and a row for each mutant, and no others. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MUTANTS } from '../../src/invariants/mutants.js';
import { INVARIANTS } from '../../src/invariants/rules/table.js';

const page = readFileSync(new URL('../../docs/invariants.md', import.meta.url), 'utf8');
/** The sweep's own. */
const OF_EVERY_IMAGE = ['exit-reached', 'event-delivered', 'no-fault', 'deterministic'];

test('one section for each id, in the order of the table', () => {
  const sections = [...page.matchAll(/^### `([a-z-]+)`\n(?=\S)/gm)].map(([, id]) => id);
  expect(sections).toEqual([...INVARIANTS.map(({ id }) => id), ...OF_EVERY_IMAGE]);
});

test('one row for each mutant, as the code tells it', () => {
  const code = (name: string): string => `\`${name}\``;
  const rows = MUTANTS.map(({ name, breaks, story, shownIn }) =>
    [
      code(name),
      breaks.map(code).join(', '),
      story,
      shownIn === undefined ? 'none is needed' : code(shownIn),
    ].join(' | '),
  );
  const table = page.split('|---|---|---|---|\n')[1]!.split('\n\n')[0]!.trimEnd().split('\n');
  expect(table).toEqual(rows.map((row) => `| ${row} |`));
});

test('ids are words in lower case, joined by hyphens', () => {
  for (const { id } of INVARIANTS) expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
  expect(new Set(INVARIANTS.map(({ id }) => id)).size).toBe(INVARIANTS.length);
});
