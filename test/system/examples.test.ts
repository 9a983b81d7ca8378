/** Each example prints what its header says that it prints. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { run } from './run.js';

/** The lines behind the command in the first comment. */
function stated(source: string): string {
  const [, output] = /^ \* {5}\$ .*\n((?: \* {5}.*\n)*)/m.exec(source)!;
  return output!.replace(/^ \* {5}/gm, '');
}

it.each(readdirSync('examples').filter((name) => name.endsWith('.mjs')))('%s', async (name) => {
  const path = `examples/${name}`;
  const { stdout, stderr, status } = await run(process.execPath, [path]);
  expect({ stdout, stderr, status }).toEqual({
    stdout: stated(readFileSync(path, 'utf8')),
    stderr: '',
    status: 0,
  });
});
