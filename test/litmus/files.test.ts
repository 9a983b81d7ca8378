/** Every litmus file of the package observes what it says, and joining equal states changes no count. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseLitmus } from '../../src/litmus/parse.js';
import { reportLines } from '../../src/litmus/print.js';
import { prepare } from '../../src/litmus/program.js';
import { type LitmusReport, runLitmus } from '../../src/litmus/run.js';

const FOLDER = new URL('../../litmus/', import.meta.url);
const files = readdirSync(FOLDER).filter((file) => file.endsWith('.litmus'));

const report = async (file: string, join: boolean): Promise<LitmusReport> => {
  const test = parseLitmus(readFileSync(new URL(file, FOLDER), 'utf8'), file);
  return runLitmus(await prepare(test, file), { join });
};

describe('litmus files', () => {
  it('are at least 25', () => expect(files.length).toBeGreaterThanOrEqual(25));

  it.each(files)('%s', async (file) => {
    const joined = await report(file, true);
    expect(joined.name).toBe(file.replace(/\.litmus$/, ''));
    expect(joined.test.expected).toBeDefined();
    expect(joined.observation, reportLines(joined).join('\n')).toBe(joined.test.expected);
    const apart = await report(file, false);
    expect(reportLines(apart)).toEqual(reportLines(joined));
    expect(apart.steps).toBeGreaterThanOrEqual(joined.steps);
  });
});
