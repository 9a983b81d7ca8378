/** `--record`, `--check-determinism` and `replay` as a user meets them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { parseSchedule } from '../../src/schedule/schedule.js';
import { CLI, type RunOptions, run, Scratch, unwindlab } from './run.js';

const BANNER = 'unwindlab kernel, unwind v13-06\n';
const scratch = new Scratch();
afterAll(() => scratch.remove());

const file = (name: string): string => join(scratch.folder, name);
const linesOf = (name: string): string[] => readFileSync(file(name), 'utf8').trimEnd().split('\n');
const lineOf = (name: string): string => linesOf(name)[0]!;

/** Runs a command with `--record`, which must not change what it prints. */
async function recorded(name: string, args: readonly string[], options?: RunOptions) {
  const ended = await unwindlab([...args, '--record', file(name)], options);
  return { ...ended, schedule: parseSchedule(lineOf(name)) };
}

/** COMMAND LINE of each command that runs a guest. */
const COMMANDS = [
  'boot @kernel -m @hello',
  'boot @kernel -m @processes --cpus 2 --append perf.period=60000',
  'boot @kernel -m @status,3 --json',
  'trace @kernel -m @threads --cpus 2',
  'trace @kernel -m @threads --cpus 2 -k',
  'stacks @kernel -m @processes --cpus 2 --append perf.period=6000',
  'stacks @kernel-v6.19 -m @syscalls --append perf.source=nmi',
];

describe.each(COMMANDS)('%s', (line) => {
  const args = line.split(' ');
  const name = line.replaceAll(/\W/g, '');

  it('is recorded, and is the run that it is without', async () => {
    const [plain, { schedule, ...ended }] = await Promise.all([unwindlab(args), recorded(name, args)]);
    expect(ended).toEqual(plain);
    const { stdout } = await unwindlab(['boot', ...args.slice(1).filter((word) => word !== '-k'), '--json']);
    if (args[0] === 'boot') expect((JSON.parse(stdout) as { hash: string }).hash).toBe(schedule.end!.hash);
  });

  it('is replayed, from a file, stdin and the line', async () => {
    const { retired, hash } = parseSchedule(lineOf(name)).end!;
    const told = `unwindlab: replayed ${retired} instructions, hash ${hash}: as recorded\n`;
    for (const [from, options] of [
      [file(name), {}],
      ['-', { input: { file: file(name) } }],
      ['-', { input: readFileSync(file(name), 'utf8') }],
      [lineOf(name), {}],
    ] as const) {
      const { stdout, stderr, status } = await unwindlab(['replay', from], options);
      expect({ stderr, status }).toEqual({ stderr: told, status: 0 });
      expect(stdout).toMatch(/^unwindlab kernel, unwind v/);
    }
  });

  it('is the same twice', async () => {
    const ended = await unwindlab([...args, '--check-determinism']);
    const { kind, retired, hash } = parseSchedule(lineOf(name)).end!;
    const told = `unwindlab: two runs were the same: ${kind} after ${retired} instructions, hash ${hash}\n`;
    expect(ended.stderr.endsWith(told)).toBe(true);
    const again = await unwindlab(['replay', file(name), '--check-determinism']);
    expect(again.stderr.endsWith(told)).toBe(true);
    expect([ended.status, again.status]).toEqual([line.includes('status') ? 7 : 0, 0]);
  });
});

describe('what was typed', () => {
  it('is part of the schedule and is typed again', async () => {
    const args = ['boot', '@kernel', '-m', '@echo'];
    const { stdout, schedule } = await recorded('typed', args, {
      input: 'what goes in\n',
      inputAfter: BANNER,
    });
    expect(stdout).toBe(`${BANNER}what goes in\n`);
    expect(schedule.choices).toContainEqual({ kind: 'input', bytes: Buffer.from('what goes in\n') });
    const replayed = await unwindlab(['replay', file('typed')], { input: 'not this\n' });
    expect(replayed).toMatchObject({ status: 0, stdout });
  });

  it('to a run that Control-C has ended, is there up to that', async () => {
    const args = ['boot', '@kernel', '-m', '@echo'];
    const { status, schedule } = await recorded('stopped', args, { inputAfter: BANNER, signal: 'SIGINT' });
    expect(status).toBe(130);
    expect(schedule.end!.kind).toBe('stopped');
    const replayed = await unwindlab(['replay', file('stopped')]);
    expect(replayed).toMatchObject({ status: 0, stdout: BANNER });
    expect(replayed.stderr).toContain(`replayed ${schedule.end!.retired} instructions`);
  });
});

describe('a replay that differs', () => {
  /** Replays a record after a change to its lines. */
  async function changed(change: (lines: string[]) => string[]) {
    if (!existsSync(file('hello'))) await recorded('hello', ['boot', '@kernel', '-m', '@hello']);
    const path = scratch.write('changed', `${change(linesOf('hello')).join('\n')}\n`);
    return unwindlab(['replay', path]);
  }
  const inSchedule = (from: string | RegExp, to: string) => (lines: string[]) =>
    lines.with(0, lines[0]!.replace(from, to));

  test('says which event, and prints the registers as gdb does', async () => {
    const { status, stderr } = await changed((lines) => {
      const at = lines.findIndex((line) => / syscall 1 /.test(line));
      return lines.with(at, lines[at]!.replace(' syscall 1 ', ' syscall 2 '));
    });
    expect(status).toBe(EXIT_STATUS.disagrees);
    const [header, was, is, which, ...registers] = stderr.trimEnd().split('\n');
    expect(header).toMatch(/^unwindlab: @kernel: the replayed run parts from the recorded one at event \d+$/);
    const step = String.raw`step (\d+), CPU 0, \1 ns`;
    expect(was).toMatch(new RegExp(`^ {2}recorded  ${step}: system call 2 at \\w+\\+0x\\w+ \\(0x40\\w+\\)$`));
    expect(is).toMatch(new RegExp(`^ {2}replayed  ${step}: system call 1 at \\w+\\+0x\\w+ \\(0x40\\w+\\)$`));
    expect(which).toBe('  registers of CPU 0:');
    expect(registers).toHaveLength(26);
    expect(registers[0]).toBe('rax            0x1                1');
    expect(registers[16]).toMatch(/^rip {12}0x40\w+ {11}0x40\w+ <\w+\+0x\w+>$/);
    expect(registers[17]).toMatch(/^eflags {9}0x\w+ +\[ (\w+ )+\]$/);
  });

  test('or that the end is another', async () => {
    const { status, stderr } = await changed(inSchedule('end=poweroff', 'end=hang'));
    expect(status).toBe(EXIT_STATUS.disagrees);
    expect(stderr).toMatch(
      /ends otherwise than the recorded one\n {2}recorded {2}hang after .*\n {2}replayed {2}poweroff after/,
    );
  });

  /** What is changed, the exit status, what is said. */
  const REFUSED = [
    [
      'another image',
      /#\w{4}/,
      '#0000',
      EXIT_STATUS.badImage,
      /@kernel: expected the file of the schedule, with a SHA-256 that begins 0000/,
    ],
    [
      'no such file',
      '@hello',
      'gone.elf',
      EXIT_STATUS.io,
      /expected a readable file at gone.elf, found no such file/,
    ],
    ['no such CPU', 'do=', 'do=nmi:4,', EXIT_STATUS.usage, /expected a CPU from 0 to 0, found 4/],
    ['a patch that does not fit', ' do=', ' "patch"', EXIT_STATUS.usage, /expected key=value/],
    [
      'a patch of nowhere',
      ' do=',
      ' patch=nowhere=nop do=',
      EXIT_STATUS.usage,
      /expected a label of the image, found nowhere/,
    ],
    ['a patch of nonsense', ' do=', ' patch=panic=nonsense do=', EXIT_STATUS.usage, /nonsense/],
    [
      'another version',
      'unwindlab/1',
      'unwindlab/9',
      EXIT_STATUS.usage,
      /expected a schedule of version 1, found version 9/,
    ],
  ] as const;
  test.each(REFUSED)('%s is refused in one sentence', async (_, from, to, expected, message) => {
    const { status, stdout, stderr } = await changed(inSchedule(from, to));
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect({ status, stdout: expected === EXIT_STATUS.usage ? '' : stdout }).toEqual({
      status: expected,
      stdout: '',
    });
  });

  test.each([
    ['no file', 'nowhere.rec', EXIT_STATUS.io, /expected a readable file at nowhere.rec, found no such file/],
    ['a folder', '.', EXIT_STATUS.io, /found a folder/],
    ['an empty file', '/dev/null', EXIT_STATUS.usage, /expected a schedule in \/dev\/null, found it empty/],
    [
      'a program',
      'build/kernel.elf',
      EXIT_STATUS.usage,
      /expected a schedule, which begins with unwindlab\/1, found "\\u007fELF/,
    ],
  ] as const)('%s is no record', async (_, from, expected, message) => {
    const { status, stderr } = await unwindlab(['replay', from]);
    expect(stderr).toMatch(message);
    expect(status).toBe(expected);
  });
});

describe('the file of a record', () => {
  const boot = (target: string) => unwindlab(['boot', '@kernel', '-m', '@hello', '--record', target]);

  it('replaces what was there, through a link, and leaves nothing else behind', async () => {
    const folder = file('records');
    mkdirSync(folder);
    const target = scratch.write('records/real', 'old');
    symlinkSync('real', join(folder, 'link'));
    await boot(join(folder, 'link'));
    expect(readdirSync(folder).sort()).toEqual(['link', 'real']);
    expect(readFileSync(target, 'utf8')).toMatch(/^unwindlab\/1 /);
  });

  it('is not there when the run could not begin, and what was there stays', async () => {
    const target = scratch.write('kept', 'old');
    const { status } = await unwindlab(['boot', '@hello', '--record', target]);
    expect(status).toBe(EXIT_STATUS.badImage);
    expect(readFileSync(target, 'utf8')).toBe('old');
  });

  it.each([
    ['/nowhere/run', /expected a file that can be written at \/nowhere\/run, found no such file/],
    ['.', /found a folder/],
  ])('%s cannot be written, which is told before the guest runs', async (target, message) => {
    const { status, stdout, stderr } = await boot(target);
    expect(stderr).toMatch(message);
    expect({ status, stdout }).toEqual({ status: EXIT_STATUS.io, stdout: '' });
  });

  it('/dev/null stays what it is', async () => {
    expect(await boot('/dev/null')).toMatchObject({ status: 0, stderr: '' });
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it('on a full disk ends in a sentence', async () => {
    const { status, stderr } = await boot('/dev/full');
    expect(stderr).toBe('unwindlab: expected a file that can be written at /dev/full, found no space left\n');
    expect(status).toBe(EXIT_STATUS.io);
  });

  it('through a pipe has all lines, on a terminal only the first', async () => {
    const command = `'${process.execPath}' '${CLI}' boot @kernel -m @hello --record /dev/fd/3`;
    const piped = await run('bash', ['-c', `${command} 3>&1 >/dev/null | cat`]);
    expect(piped.stdout.split('\n').length).toBeGreaterThan(50);
    const terminal = await run('script', ['-qec', `bash -c "${command} 3>&1 >/dev/null"`, '/dev/null']);
    expect(terminal.stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(terminal.stdout).toMatch(/^unwindlab\/1 /);
  });
});
