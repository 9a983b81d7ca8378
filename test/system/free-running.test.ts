/** `boot --free-running`: what a guest prints and how it ends is what it is when every instruction is counted. */
import { describe, expect, test } from 'vitest';
import { findLibrary, isRecent } from '../../emu/engine/library.js';
import { KERNEL, program, unwindlab } from './run.js';

const boot = (speed: string, name: string, cpus: number) =>
  unwindlab([
    'boot',
    speed,
    KERNEL,
    '--module',
    program(name),
    '--cpus',
    `${cpus}`,
    '--append',
    'trace=ftrace',
  ]);

const isOld = !isRecent(findLibrary());
const note = isOld ? ' (skipped: libunicorn is older than 2.1.4)' : '';

describe.skipIf(isOld)(`a free-running guest does what a deterministic one does${note}`, () => {
  test.each([
    ['hello', 1],
    ['lisp', 1],
    ['syscalls', 1],
    ['fault', 1],
    ['sse', 1],
    ['registers', 1],
    ['recursion', 1],
    ['status', 1],
    ['threads', 2],
    ['processes', 2],
  ])('%s on %d CPUs', async (name, cpus) => {
    const [free, exact] = await Promise.all([
      boot('--free-running', name, cpus),
      boot('--deterministic', name, cpus),
    ]);
    const lines = ({ stdout }: { stdout: string }): string[] => stdout.split('\n').toSorted(); // CPUs print in any order
    expect(lines(free)).toEqual(lines(exact));
    expect({ status: free.status, stderr: free.stderr }).toEqual({
      status: exact.status,
      stderr: exact.stderr,
    });
  });
});

test.each([['--deterministic'], ['--record', '/dev/null'], ['--check-determinism'], ['--gdb', '0']])(
  '--free-running does not go with %s',
  async (...option) => {
    const { status, stderr } = await unwindlab(['boot', '--free-running', ...option, KERNEL]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^unwindlab: expected --free-running without .*\n$/);
  },
);

test.skipIf(isOld)(
  `a guest that waits for its input wakes when something is typed, and the host need not be busy until then${note}`,
  async () => {
    const { status, stdout } = await unwindlab(
      ['boot', '--free-running', KERNEL, '--module', program('echo')],
      {
        input: 'typed\n\x04',
        inputAfter: 'unwindlab kernel',
      },
    );
    expect(stdout).toContain('typed');
    expect(status).toBe(0);
  },
);

test.runIf(isOld)('an older libunicorn is refused in one sentence', async () => {
  const { status, stderr } = await unwindlab([
    'boot',
    '--free-running',
    KERNEL,
    '--module',
    program('hello'),
  ]);
  expect(status).toBe(6);
  expect(stderr).toMatch(/^unwindlab: expected libunicorn >= 2\.1\.4 for a free-running guest, found .*\n$/);
});
