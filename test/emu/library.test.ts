/** Where libunicorn is looked for, and what is said where it is not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layout } from '../../emu/engine/layout.js';
import {
  cachedLibraryPath,
  EngineError,
  findLibrary,
  isRecent,
  LIBRARY_VARIABLE,
} from '../../emu/engine/library.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unwindlab-library-'));
  writeFileSync(join(folder, 'text.so'), 'not a library');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** One sentence: what is needed, what was found, and the command to run. */
function complaint(env: NodeJS.ProcessEnv): string {
  try {
    findLibrary(env);
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return (error as Error).message;
  }
  return 'a usable library';
}

describe('libunicorn', () => {
  test('the one that is found is 2.1 or later', () => {
    expect(findLibrary().version).toMatch(/^2\.[1-9]\d*\.\d+$/);
  });

  test.each([
    ['no such file', () => join(folder, 'missing.so'), 'found no such file'],
    ['a text file', () => join(folder, 'text.so'), 'found a file that is no loadable library'],
    ['another library', () => 'libc.so.6', 'found a library that is not libunicorn'],
  ])('a path that names %s is refused, and nothing else is tried', (_, path, found) => {
    const message = complaint({ [LIBRARY_VARIABLE]: path() });
    expect(message).toContain('expected libunicorn >= 2.1');
    expect(message).toContain(found);
    expect(message).toContain('run "unwindlab setup"');
  });

  test.each([
    ['2.1.1', false],
    ['2.1.3', false],
    ['2.1.4', true],
    ['2.2.0', true],
    ['3.0.0', true],
  ])('whether %s is recent: %s', (version, expected) => {
    expect(isRecent({ version })).toBe(expected);
  });
  test('the private copy lies in the cache folder', () => {
    expect(cachedLibraryPath({ XDG_CACHE_HOME: '/cache' })).toBe('/cache/unwindlab/engine/libunicorn.so.2');
  });

  test('its CPU state is where the machine reads it: proved at start-up', () => {
    const { contextSize, start, errorCode, oldException, efer, counter } = layout();
    expect(start).toBeGreaterThan(0);
    expect(oldException - errorCode).toBe(112);
    for (const offset of [errorCode, oldException, efer]) expect(start + offset).toBeLessThan(contextSize);
    expect(counter % 8).toBe(0);
  });
});
