/** `unwindlab explain` as a user calls it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Story } from '../../src/explain/story.js';
import { formatSchedule } from '../../src/schedule/schedule.js';
import { Scratch, unwindlab } from '../system/run.js';
import { raceL } from './race-l.js';

describe('unwindlab explain', () => {
  const scratch = new Scratch();
  let line: string;
  let file: string;
  let text: string;
  beforeAll(async () => {
    line = formatSchedule(await raceL());
    file = scratch.write('race-l.schedule', `${line}\n`);
    text = (await unwindlab(['explain', file])).stdout;
  });
  afterAll(() => scratch.remove());

  test('tells the schedule of a file, without colours in a pipe', async () => {
    expect(text).toMatch(/^@kernel-v6\.19, @roundtrip,20, /);
    expect(text).toMatch(/\n {2}cookie-not-zero: expected .*\n? .*0\.\n$/);
    expect(text).not.toContain('\x1b');
  });

  test.each([
    ['from stdin', () => unwindlab(['explain', '-'], { input: `${line}\n` })],
    ['on the command line', () => unwindlab(['explain', line])],
  ])('tells the same %s', async (_, call) => {
    expect(await call()).toMatchObject({ status: 0, stdout: text, stderr: '' });
  });

  test('--full tells every instruction', async () => {
    const { status, stdout } = await unwindlab(['explain', '--full', file]);
    expect(status).toBe(0);
    expect(stdout.split('\n').length).toBeGreaterThan(3000);
  });

  test('--json is the story', async () => {
    const { status, stdout } = await unwindlab(['explain', '--json', file]);
    expect(status).toBe(0);
    const story = JSON.parse(stdout) as Story;
    expect(story.schedule).toBe(line);
    expect(story.broken).toMatchObject([{ id: 'cookie-not-zero' }]);
  });

  test('--html writes a page that names no other file, and prints nothing', async () => {
    const page = join(scratch.folder, 'page.html');
    expect(await unwindlab(['explain', file, '--html', page])).toEqual({
      status: 0,
      signal: null,
      stdout: '',
      stderr: '',
    });
    const html = readFileSync(page, 'utf8');
    expect(html).toMatch(/^<!doctype html>\n/);
    expect(html).not.toMatch(/\b(src|href)="(?!data:)|@import|\burl\(/);
  });

  test('a run that differs from the recorded one is told, and is status 1', async () => {
    const { status, stdout } = await unwindlab([
      'explain',
      line.replace(/#[0-9a-f]{16}$/, '#0123456789abcdef'),
    ]);
    expect(status).toBe(1);
    expect(stdout).toContain('Not the run of the schedule: expected the run to end after ');
  });

  test.each([
    ['no schedule', 'README.md', 2, /expected a schedule/],
    ['no file', 'no-such-file', 18, /expected a readable file at no-such-file/],
    [
      'another image',
      'unwindlab/1 image=@kernel#0123456789abcdef cpus=1 ram=67108864 turn=2000 do=1',
      4,
      /SHA-256/,
    ],
    ['no such CPU', 'unwindlab/1 image=@kernel cpus=1 ram=67108864 turn=2000 do=1,nmi:3', 2, /CPU/],
    [
      'no such routine',
      'unwindlab/1 image=@kernel cpus=1 ram=67108864 turn=2000 do=1,call:0:nobody',
      2,
      /nobody/,
    ],
  ])('%s', async (_, argument, expected, sentence) => {
    const { status, stdout, stderr } = await unwindlab(['explain', argument]);
    expect(stderr).toMatch(sentence);
    expect({ status, stdout }).toEqual({ status: expected, stdout: '' });
  });

  test('a page that cannot be written is refused before the guest runs', async () => {
    const { status, stderr } = await unwindlab(['explain', file, '--html', '/no/such/folder/page.html']);
    expect(stderr).toMatch(/expected a file that can be written/);
    expect(status).toBe(18);
  });
});
