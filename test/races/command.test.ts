/** `unwindlab races` as a user meets it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseSchedule } from '../../src/schedule/schedule.js';
import { parseReport } from '../../src/sweep/report-file.js';
import { Scratch, unwindlab } from '../system/run.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

test('a window in which one version fails: the table, what breaks, the schedules in a file', async () => {
  const file = join(scratch.folder, 'schedules');
  const args = ['v6.17', 'v6.19', '--window', 'reset', '--jobs', '2', '--schedules', file];
  const { status, stdout, stderr } = await unwindlab(['races', ...args]);
  expect(stderr).toBe('');
  expect(status).toBe(1);
  expect(stdout).toMatch(
    /^v6\.17\n {2}reset +FAIL +\d+ runs +[\d.]+ s {2}answered\+no-work-in-user \(1\)\n\nv6\.19\n {2}reset +FAIL/,
  );
  expect(stdout).toContain('cookie-not-zero (2), cookie-names-entry (3)');
  expect(stdout).toMatch(
    /\n {2}2 {2}v6\.19: cookie-not-zero, in \d+ runs?; reset: an NMI before unwind_reset_info\+0x/,
  );
  expect(stdout).toMatch(/\n2 sweeps, \d+ runs, \d+ s: 0 PASS, 2 FAIL, 0 UNKNOWN\n$/);
  expect(stdout).not.toContain('unwindlab/1');
  const schedules = readFileSync(file, 'utf8').trimEnd().split('\n').map(parseSchedule);
  expect(schedules.map(({ breaks }) => breaks!.join('+'))).toEqual([
    'answered+no-work-in-user',
    'cookie-not-zero',
    'cookie-names-entry',
  ]);
});

test('nothing fails: status 0; --json prints a report for each sweep', async () => {
  const { status, stdout } = await unwindlab([
    'races',
    'v6.19',
    '-w',
    'get_cookie',
    '-w',
    'request',
    '--json',
    '-j',
    '1',
  ]);
  expect(status).toBe(0);
  const reports = stdout.trimEnd().split('\n').map(parseReport);
  expect(reports.map(({ question }) => question.from)).toEqual(['unwind_deferred_request', 'get_cookie']);
});

test.each([
  [
    ['v6.20'],
    'expected a version of v13-06, v13-06-nmi, v13-07, v13-08, v13-10, v6.17, v6.19, found "v6.20"',
  ],
  [['-w', 'door'], 'expected a window of request, get_cookie, '],
])('%j is asked for in vain', async (args, message) => {
  const { status, stderr } = await unwindlab(['races', ...args]);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
});
