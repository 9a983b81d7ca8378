/** The command line as a user meets it: what is on which stream, and the exit status. */
import { constants } from 'node:os';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { CLI, run, Scratch, unwindlab } from './run.js';

const BANNER = 'unwindlab kernel, unwind v13-06\n';
const COMMANDS = ['boot', 'trace', 'stacks', 'replay', 'disasm', 'symbols', 'setup'];
const scratch = new Scratch();
afterAll(() => scratch.remove());

const boot = (...args: string[]) => unwindlab(['boot', '@kernel', ...args]);
const lines = (text: string): string[] => text.trimEnd().split('\n');

describe('what a guest prints and how it ends', () => {
  it('has the console on stdout and nothing else', async () => {
    expect(await boot('-m', '@hello')).toMatchObject({
      stdout: `${BANNER}hello, world\n`,
      stderr: '',
      status: 0,
    });
  });

  it.each([0, 1, 42, 127])('exit status %i of a program', async (value) => {
    const { status, stderr } = await boot('--module', `@status,${value}`);
    expect({ status, stderr }).toEqual({ status: value === 0 ? 0 : (value << 1) | 1, stderr: '' });
  });

  it('a panic of the kernel is status 255', async () => {
    const { stdout, status } = await boot();
    expect(stdout).toContain('panic: expected a boot module to run, found none');
    expect(status).toBe(255);
  });

  it('--module hands over arguments, and can be given again', async () => {
    const { stdout } = await boot('-m', '@recursion,3', '-m', '@hello', '-m', '@status');
    expect(lines(stdout).sort()).toEqual(['depth 3', 'hello, world', BANNER.trim()].sort());
  });

  it('--append reaches the kernel', async () => {
    const { stdout } = await boot('-m', '@hello', '--append', 'tick=often');
    expect(stdout).toBe(`${BANNER}expected a number for tick=, found often: using 100000\nhello, world\n`);
  });

  it('--cpus and --ram have the bounds that they say', async () => {
    for (const [option, ...values] of [
      ['--cpus', '1', '8'],
      ['--ram', '32M', '2G'],
      ['--turn', '1', '1000000000'],
    ])
      for (const value of values)
        expect(await boot('-m', '@hello', option!, value), `${option} ${value}`).toMatchObject({ status: 0 });
  });

  it('--json prints one object with all that is known of the run, and no console', async () => {
    const { stdout, stderr, status } = await boot('-m', '@status,3', '--cpus', '2', '--json');
    expect(lines(stdout)).toHaveLength(1);
    expect(JSON.parse(stdout)).toEqual({
      outcome: 'debug-exit',
      status: 7,
      cpus: 2,
      instructions: expect.any(Number),
      time: expect.any(Number),
      events: expect.any(Number),
      hash: expect.stringMatching(/^[0-9a-f]{16}$/),
      console: BANNER,
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 7 });
  });

  it('--json is the same in each process', async () => {
    const args = ['-m', '@threads', '--cpus', '2', '--append', 'trace=perf,ftrace', '--json'];
    const [first, second] = await Promise.all([boot(...args), boot(...args)]);
    expect(first).toEqual(second);
  });

  it('--budget ends a run', async () => {
    const { stdout, stderr, status } = await boot('-m', '@hello', '--budget', '1k', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'budget',
      status: EXIT_STATUS.budget,
      instructions: 1000,
    });
    expect(stderr).toBe('unwindlab: the budget is spent after 1000 instructions; --budget gives more\n');
    expect(status).toBe(EXIT_STATUS.budget);
  });
});

describe('standard input', () => {
  const echo = ['boot', '@kernel', '--module', '@echo', '--json'];
  const consoleOf = (stdout: string): string => (JSON.parse(stdout) as { console: string }).console;

  it.each([
    ['a line', 'one line\n', 'one line\n'],
    ['a line without an end', 'no newline', 'no newline'],
    ['nothing', '', ''],
  ])('%s from a file and from a pipe', async (_, input, output) => {
    const file = { file: scratch.write('input', input) };
    const [fromFile, again, fromPipe] = await Promise.all([
      unwindlab(echo, { input: file }),
      unwindlab(echo, { input: file }),
      unwindlab(echo, { input }),
    ]);
    expect(consoleOf(fromFile.stdout)).toBe(BANNER + output);
    expect(consoleOf(fromPipe.stdout)).toBe(BANNER + output);
    expect(again).toEqual(fromFile); // instruction for instruction
  });

  it('a line that comes when the guest already waits for it', async () => {
    const { stdout, status } = await unwindlab(echo.slice(0, -1), { input: 'late\n', inputAfter: BANNER });
    expect({ stdout, status }).toEqual({ stdout: `${BANNER}late\n`, status: 0 });
  });

  it('more than a megabyte', async () => {
    const text = `${'x'.repeat(1_100_000)}\n`;
    const { stdout, status } = await unwindlab(['boot', '@kernel', '-m', '@hello'], {
      input: { file: scratch.write('large', text) },
    });
    expect({ stdout, status }).toEqual({ stdout: `${BANNER}hello, world\n`, status: 0 });
  });
});

describe('ends from outside', () => {
  it('Ctrl-C ends a run with 130 and says so', async () => {
    const ended = await unwindlab(['boot', '@kernel', '-m', '@echo'], {
      inputAfter: BANNER,
      signal: 'SIGINT',
    });
    expect(ended).toMatchObject({
      status: 128 + constants.signals.SIGINT,
      signal: null,
      stderr: 'unwindlab: interrupted\n',
    });
  });

  it.each(['boot', 'trace', 'stacks', 'disasm', 'symbols'])(
    '%s: a reader that goes away is no error',
    async (command) => {
      const module = ['boot', 'trace', 'stacks'].includes(command) ? '-m @syscalls' : '';
      const pipe = `"$0" "$1" ${command} @kernel ${module} 2>&1 | head -n 1; echo "\${PIPESTATUS[0]}"`;
      const { stdout, stderr } = await run('bash', ['-c', pipe, process.execPath, CLI]);
      expect(lines(stdout)).toHaveLength(2);
      expect({ status: lines(stdout)[1], stderr }).toEqual({ status: '0', stderr: '' });
    },
  );
});

describe('help and usage', () => {
  it.each([[], ...COMMANDS.map((name) => [name])])('%s --help', async (...command) => {
    const { stdout, stderr, status } = await unwindlab([...command, '--help']);
    expect(stdout).toMatch(new RegExp(`^Usage: ${['unwindlab', ...command].join(' ')} `));
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });

  it('boot --help names every exit status', async () => {
    const { stdout } = await unwindlab(['boot', '--help']);
    for (const status of Object.values(EXIT_STATUS)) expect(stdout).toMatch(new RegExp(`\\b${status} \\w`));
  });

  it.each([
    ['no command', [], /^Usage: /],
    ['an unknown command', ['start'], /unknown command 'start'/],
    ['an unknown option', ['boot', '@kernel', '--speed'], /unknown option '--speed'/],
    ['a missing image', ['boot'], /missing required argument 'image'/],
    ['a missing value', ['boot', '@kernel', '--cpus'], /argument missing/],
    ['too many images', ['boot', '@kernel', '@hello'], /too many arguments/],
    ['too many CPUs', ['boot', '@kernel', '--cpus', '9'], /expected --cpus from 1 to 8, found "9"/],
    ['CPUs in words', ['boot', '@kernel', '--cpus', 'two'], /expected --cpus from 1 to 8, found "two"/],
    ['too little RAM', ['boot', '@kernel', '--ram', '1M'], /expected --ram from 2M to 2G/],
    ['half a page of RAM', ['boot', '@kernel', '--ram', '4000001'], /in steps of 4K, found "4000001"/],
    ['no budget', ['boot', '@kernel', '--budget', '0'], /expected --budget of at least 1 instruction/],
    ['no turn', ['boot', '@kernel', '--turn', '0'], /expected --turn from 1 to/],
    ['an unknown symbol', ['disasm', '@kernel', 'nowhere'], /found no such symbol: nowhere/],
    ['an unknown order', ['symbols', '@kernel', '--sort', 'fate'], /choices are address, name, size/i],
  ])('%s is status 2, told on stderr', async (_, args, message) => {
    const { stdout, stderr, status } = await unwindlab(args);
    expect(stderr).toMatch(message);
    expect({ stdout, status }).toEqual({ stdout: '', status: EXIT_STATUS.usage });
  });

  it.each([
    [
      'no such image of the package',
      ['boot', '@kernle'],
      EXIT_STATUS.io,
      /expected one of @kernel, .*found @kernle/,
    ],
    [
      'RAM that is too small for the image',
      ['boot', '@kernel', '--ram', '8M'],
      EXIT_STATUS.badImage,
      /within 8 MiB/,
    ],
  ])('%s', async (_, args, expected, message) => {
    const { stdout, stderr, status } = await unwindlab(args);
    expect(stderr).toMatch(message);
    expect(lines(stderr)).toHaveLength(1);
    expect({ stdout, status }).toEqual({ stdout: '', status: expected });
  });

  it('a libunicorn that is not there is status 6, with the way out', async () => {
    const env = { ...process.env, UNWINDLAB_LIBUNICORN: scratch.folder };
    const { stderr, status } = await unwindlab(['boot', '@kernel', '-m', '@hello'], { env });
    expect(stderr).toMatch(/^unwindlab: expected libunicorn >= 2\.1 at .*; run "unwindlab setup".*\n$/);
    expect(status).toBe(EXIT_STATUS.noEngine);
  });
});
