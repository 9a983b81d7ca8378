/** `unwindlab sweep` and `merge` as a user meets them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { parseReport } from '../../src/sweep/report-file.js';
import { missingTools, toolsNote, toyImage } from '../sweep/toy.js';
import { CLI, type Ended, Scratch, unwindlab } from './run.js';

const INTERRUPTED = 130;
const scratch = new Scratch();
afterAll(() => scratch.remove());
const file = (name: string): string => join(scratch.folder, name);

const GUEST = ['@kernel-v6.19', '-m', '@roundtrip,6', '--append', 'trace=perf,ftrace perf.source=nmi'];
const REQUEST = [
  'sweep',
  ...GUEST,
  '--from',
  'unwind_deferred_request.begin',
  '--to',
  'unwind_deferred_request.end',
];
/** Race L of docs/races.md. */
const RESET = ['sweep', ...GUEST, '--from', 'unwind_reset_info', '--to', 'user', '--occurrence', '3'];
/** Some thousand runs: up to the claim of the cookie. */
const CLAIM = [...GUEST, '--from', 'get_cookie', '--to', 'get_cookie+0x1d'];
const LONG = ['sweep', ...CLAIM, '--depth', '2', '--no-prune', '--json'];
/** A unit of it takes minutes. */
const ENDLESS = ['sweep', ...GUEST, '--from', 'get_cookie', '--depth', '3', '--no-prune'];

let whole: Promise<Ended> | undefined;
/** LONG in one process. */
const wholeSweep = (): Promise<Ended> => (whole ??= unwindlab([...LONG, '--jobs', '1']));

/** A report but for what the clock has put into it. */
const timeless = (text: string): unknown => ({ ...parseReport(text), seconds: 0 });
const reportIn = (name: string): unknown => timeless(readFileSync(file(name), 'utf8'));
const sentence = ({ stderr }: Ended): string => {
  expect(stderr).toMatch(/^unwindlab: [^\n]*\n$/);
  return stderr.slice('unwindlab: '.length).trim();
};

describe('a sweep', () => {
  it('passes, with numbers that add up', async () => {
    const { status, stdout, stderr } = await unwindlab(REQUEST);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const count = (name: string): number => Number(new RegExp(`^ +${name} +(\\d+)`, 'm').exec(stdout)![1]);
    expect(count('boundaries')).toBe(count('injected') + count('left out'));
    expect(count('runs')).toBe(count('injected') + 1);
    expect(count('violations')).toBe(0);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      `PASS: no run breaks an invariant; all ${count('boundaries')} boundaries of the window and the undisturbed run`,
    );
  });

  it('fails with schedules that replay, and that the sweep finds again', async () => {
    const { status, stdout } = await unwindlab([...RESET, '--keep-going']);
    expect(status).toBe(EXIT_STATUS.disagrees);
    expect(stdout).toMatch(/^FAIL: every run was made$/m);
    const lines = [...stdout.matchAll(/^ {2}(unwindlab\/1 .*)$/gm)].map(([, line]) => line!);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      expect(line).toMatch(/ end=user:\d+#[0-9a-f]{16} breaks=[\w,-]+$/);
      const replayed = await unwindlab(['replay', line]);
      expect(replayed.stderr).toMatch(/as recorded\n$/);
      expect(replayed.status).toBe(0);
      const other = await unwindlab([
        'replay',
        line.replace(/#[0-9a-f]{16} breaks/, '#0123456789abcdef breaks'),
      ]);
      expect(other.status).toBe(EXIT_STATUS.disagrees);
    }
    const first = await unwindlab([...RESET, '--jobs', '1']);
    expect(first.status).toBe(EXIT_STATUS.disagrees);
    expect(first.stdout).toMatch(/^FAIL: \d+ of \d+ units; --keep-going does the rest$/m);
  });

  it('does not know when it is cut at the bound', async () => {
    const { status, stdout } = await unwindlab([...REQUEST, '--bound', '40', '--check', 'none']);
    expect(status).toBe(EXIT_STATUS.disagrees); // user mode is not reached in 40 instructions
    expect(stdout).toContain('exit-reached: broken in');
    const budget = await unwindlab([...REQUEST, '--budget', '30k', '--no-prune', '--jobs', '1']);
    expect(budget.status).toBe(EXIT_STATUS.budget);
    expect(budget.stdout).toMatch(/^UNKNOWN: no run breaks an invariant so far; \d+ of 90 units$/m);
  });

  it('makes each run twice', async () => {
    const [once, twice] = await Promise.all([
      unwindlab([...RESET, '--json', '--keep-going']),
      unwindlab([...RESET, '--json', '--keep-going', '--check-determinism']),
    ]);
    expect(timeless(twice.stdout)).toEqual(timeless(once.stdout));
    expect(twice.stderr).toBe('unwindlab: every run was made twice, and was the same\n');
  });

  it('says in --help how it ends', async () => {
    const { stdout } = await unwindlab(['sweep', '--help']);
    for (const words of [
      '0 PASS, 1 FAIL, 10 UNKNOWN',
      '130 interrupted',
      'docs/sweep.md',
      '--check-determinism',
    ])
      expect(stdout).toContain(words);
  });
});

describe.skipIf(missingTools.length > 0)(`an image of one's own${toolsNote}`, () => {
  it.each([
    ['a triple fault', 'ud2', 'triple-fault'],
    ['a hang', 'hlt; jmp nmi', 'hang'],
    ['a loop', 'jmp nmi', 'budget'],
    ['NMIs that stay blocked', 'movl $user, %ecx; movl $0x202, %r11d; sysretq', 'user'],
  ])('that comes to %s: the schedule replays', async (_, nmi, end) => {
    const image = scratch.write('toy.elf', toyImage({ nmi, work: 'nop; nop; ret' }));
    const args = [
      'sweep',
      image,
      '--ram',
      '4M',
      '--from',
      'work',
      '--no-prune',
      '--keep-going',
      '--bound',
      '1000',
    ];
    const { status, stdout } = await unwindlab(args);
    expect(status).toBe(EXIT_STATUS.disagrees);
    expect(stdout).toMatch(/^guest .*toy\.elf; invariants: those of every image$/m);
    expect(stdout).toMatch(/: broken in 3 runs$/m);
    const line = /^ {2}(unwindlab\/1 .*)$/m.exec(stdout)![1]!;
    expect(line).toContain(` end=${end}:`);
    expect(await unwindlab(['replay', line])).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/as recorded\n$/),
    });
  });
});

describe('parts of a sweep', () => {
  it('shards add up to the whole, to the byte but for the seconds', async () => {
    const whole = await unwindlab([...RESET, '--keep-going', '--json']);
    const names = ['1', '2', '3'].map((index) => file(`shard-${index}.json`));
    const shards = await Promise.all(
      names.map((name, index) =>
        unwindlab([...RESET, '--keep-going', '--shard', `${index + 1}/3`, '--report', name]),
      ),
    );
    for (const { stdout } of shards) expect(stdout).toMatch(/^(FAIL|UNKNOWN): .*\d+ of \d+ units/m);
    const merged = await unwindlab(['merge', ...names, '--json', '--report', file('merged.json')]);
    expect(merged.status).toBe(EXIT_STATUS.disagrees);
    expect(timeless(merged.stdout)).toEqual(timeless(whole.stdout));
    expect(readFileSync(file('merged.json'), 'utf8')).toBe(merged.stdout);
    const told = await unwindlab(['merge', file('merged.json')]);
    expect(told.stdout).toMatch(/^FAIL: every run was made$/m);

    expect(sentence(await unwindlab(['merge', names[0]!, names[1]!, names[0]!]))).toMatch(
      /share no boundary, found one that two have done$/,
    );
    await unwindlab([...REQUEST, '--report', file('other.json')]);
    const other = await unwindlab(['merge', names[0]!, file('other.json')]);
    expect(other.status).toBe(EXIT_STATUS.usage);
    expect(sentence(other)).toBe('expected reports of one sweep, found another question');
    const damaged = scratch.write('damaged.json', readFileSync(names[0]!).subarray(0, 600));
    const refused = await unwindlab(['merge', damaged]);
    expect(refused.status).toBe(EXIT_STATUS.usage);
    expect(sentence(refused)).toBe(`${damaged}: expected the report of a sweep, found no JSON`);
  });

  it('processes share nothing: one and two come to the same', { timeout: 120_000 }, async () => {
    const one = await wholeSweep();
    const two = await unwindlab([...LONG, '--jobs', '2']);
    expect([one.status, two.status]).toEqual([0, 0]);
    expect(timeless(two.stdout)).toEqual(timeless(one.stdout));
  });
});

/** A sweep under way. */
function started(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (status, signal) => resolve({ status, signal, ...printed })),
  );
  return { child, ended };
}

async function until<T>(look: () => T | undefined, what: string): Promise<T> {
  for (let tries = 0; tries < 1500; tries++) {
    const seen = look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`expected ${what}, found none`);
}

const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => {
      try {
        return (
          Number(
            readFileSync(`/proc/${each}/stat`, 'utf8')
              .replace(/^.*\) /, '')
              .split(' ')[1],
          ) === pid
        );
      } catch {
        return false;
      }
    });

describe('a sweep that is ended from outside', () => {
  it.each(['SIGKILL', 'SIGINT'] as const)(
    'by %s: goes on from its checkpoint',
    { timeout: 180_000 },
    async (signal) => {
      const checkpoint = file(`${signal}.json`);
      const args = [...LONG, '--jobs', '1', '--checkpoint', checkpoint];
      const { child, ended } = started(args);
      await until(() => (existsSync(checkpoint) ? true : undefined), 'a checkpoint');
      child.kill(signal);
      const first = await ended;
      if (signal === 'SIGINT') {
        expect(first.status).toBe(INTERRUPTED);
        expect(sentence(first)).toBe(`interrupted; the same command goes on from ${checkpoint}`);
      }
      const { done, units, tally } = parseReport(readFileSync(checkpoint, 'utf8'));
      expect(done[0]![0]).toBe(0);
      expect(done.at(-1)![1]).toBeLessThan(units - 1);
      const second = await unwindlab(args);
      const whole = await wholeSweep();
      expect(second.status).toBe(0);
      expect(timeless(second.stdout)).toEqual(timeless(whole.stdout));
      expect(parseReport(second.stdout).tally.runs).toBeGreaterThan(tally.runs);
      expect(reportIn(`${signal}.json`)).toEqual(timeless(whole.stdout));
      const again = await unwindlab(args);
      expect(timeless(again.stdout)).toEqual(timeless(whole.stdout));

      const other = await unwindlab([...REQUEST, '--checkpoint', checkpoint]);
      expect(other.status).toBe(EXIT_STATUS.usage);
      expect(sentence(other)).toBe('expected reports of one sweep, found another question');
      expect(readdirSync(scratch.folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    },
  );

  it('hears Ctrl-C in the middle of a unit, with its processes', { timeout: 60_000 }, async () => {
    const { child, ended } = started([...ENDLESS, '--jobs', '2']);
    const [worker] = await until(() => {
      const found = childrenOf(child.pid!);
      return found.length > 0 ? found : undefined;
    }, 'a second process');
    for (const pid of [worker!, child.pid!]) process.kill(pid, 'SIGINT');
    const { status, stdout, stderr } = await ended;
    expect({ status, stderr }).toEqual({ status: INTERRUPTED, stderr: 'unwindlab: interrupted\n' });
    expect(stdout).toMatch(/^UNKNOWN: no run breaks an invariant so far; \d+ of 15 units/m);
    await until(() => (existsSync(`/proc/${worker}`) ? undefined : true), 'the second process gone');
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'tells in a sentence that %s ended one of its processes',
    { timeout: 60_000 },
    async (signal) => {
      const { child, ended } = started([...ENDLESS, '--jobs', '3']);
      const workers = await until(() => {
        const found = childrenOf(child.pid!);
        return found.length > 1 ? found : undefined;
      }, 'more processes');
      process.kill(workers[0]!, signal);
      const failed = await ended;
      expect(failed.status).toBe(EXIT_STATUS.internal);
      expect(sentence(failed)).toBe(`internal: a process of the sweep ended (${signal})`);
      await until(() => (existsSync(`/proc/${workers[1]}`) ? undefined : true), 'the other process gone');
    },
  );

  it('ends at once on the way to a window that is never reached', { timeout: 60_000 }, async () => {
    const { child, ended } = started([
      'sweep',
      '@kernel-v6.19',
      '-m',
      '@compute,2000000000',
      '--from',
      'do_exit',
    ]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ signal: 'SIGINT', stdout: '', stderr: '' });
  });

  it('takes its processes with it', { timeout: 60_000 }, async () => {
    const { child, ended } = started([...ENDLESS, '--jobs', '2']);
    const [worker] = await until(() => {
      const found = childrenOf(child.pid!);
      return found.length > 0 ? found : undefined;
    }, 'a second process');
    child.kill('SIGKILL');
    await ended;
    await until(() => (existsSync(`/proc/${worker}`) ? undefined : true), 'the second process gone');
  });
});

describe('what cannot be', () => {
  const from = ['--from', 'get_cookie'];
  it.each<[args: string[], status: number, sentence: RegExp]>([
    [
      [...GUEST, '--from', 'nowhere'],
      EXIT_STATUS.usage,
      /^expected a symbol of the image or `user`, found nowhere$/,
    ],
    [[...GUEST, ...from, '--to', 'nowhere+0x1'], EXIT_STATUS.usage, /found nowhere\+0x1$/],
    [
      [...GUEST, ...from, '--occurrence', '9999'],
      EXIT_STATUS.usage,
      /^expected CPU 0 to come to get_cookie 9999 times, found the run ended \(poweroff\) after \d+$/,
    ],
    [[...GUEST, '--from', 'triple_fault'], EXIT_STATUS.usage, /triple_fault/],
    [[...GUEST, ...from, '--cpu', '1'], EXIT_STATUS.usage, /^expected a CPU from 0 to 0, found 1$/],
    [[...GUEST, '--from', 'user', '--to', 'user'], EXIT_STATUS.usage, /to end at a symbol, found user$/],
    [
      [...GUEST, ...from, '--inject', 'call:nowhere'],
      EXIT_STATUS.usage,
      /^expected a routine of the image, found nowhere$/,
    ],
    [[...GUEST, ...from, '--patch', 'nowhere=nop'], EXIT_STATUS.usage, /nowhere/],
    [[...GUEST, ...from, '--patch', 'get_cookie/1=movabs $1, %rax'], EXIT_STATUS.usage, /get_cookie/],
    [[...GUEST, ...from, '--patch', 'get_cookie'], EXIT_STATUS.usage, /AT\[\/BYTES\]=ASSEMBLY/],
    [['@nothing', ...from], EXIT_STATUS.io, /expected one of @/],
    [['package.json', ...from], EXIT_STATUS.badImage, /package\.json/],
    [
      [...GUEST, ...from, '--report', '/nowhere/report.json'],
      EXIT_STATUS.io,
      /\/nowhere\/report\.json, found no such file$/,
    ],
    [
      [...GUEST, ...from, '--checkpoint', '/nowhere/c.json'],
      EXIT_STATUS.io,
      /\/nowhere\/c\.json, found no such file$/,
    ],
    [[...GUEST, ...from, '--report', '/'], EXIT_STATUS.io, /at \/, found a folder$/],
    [
      [...GUEST, ...from, '--checkpoint', 'package.json'],
      EXIT_STATUS.usage,
      /^package\.json: expected the report of a sweep, of format unwindlab-sweep\/1, found none$/,
    ],
  ])('%j', async (args, status, words) => {
    const ended = await unwindlab(['sweep', ...args]);
    expect({ status: ended.status, stdout: ended.stdout }).toEqual({ status, stdout: '' });
    expect(sentence(ended)).toMatch(words);
  });

  it.each([
    ...['smi', 'irq', 'irq:3', 'irq:256', 'irq:', 'call:', 'call:a:b', 'nmi:0', 'resched:1', ''].map(
      (text) => ['--inject', text],
    ),
    ...['3/2', '0/2', '1', '1/', 'a/b', '-1/2'].map((text) => ['--shard', text]),
    ...['0', '4', '1.5', 'two'].map((text) => ['--depth', text]),
    ...['8', '-1', ''].map((text) => ['--cpu', text]),
    ['--occurrence', '0'],
    ['--bound', '0'],
    ['--jobs', '0'],
    ['--check', 'everything'],
    ['--unknown', 'x'],
  ])('%s %j', async (option, value) => {
    const ended = await unwindlab(['sweep', ...GUEST, ...from, `${option}=${value}`]);
    expect(ended.status).toBe(EXIT_STATUS.usage);
    expect(ended.stdout).toBe('');
    expect(ended.stderr.split('\n')[0]).toMatch(/^unwindlab: .*(expected|unknown|invalid)/);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  it('leaves nothing behind', () => {
    writeFileSync(file('last'), '');
    expect(readdirSync(scratch.folder).filter((name) => !/\.(json|elf)$|^last$/.test(name))).toEqual([]);
    expect(existsSync('package.json.tmp')).toBe(false);
  });
});
