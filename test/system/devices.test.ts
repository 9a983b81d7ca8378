/** `--device` as a user meets it: what the guest has, what a schedule says of it, and what is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { debug, hasGdb } from '../gdb/run-gdb.js';
import { Scratch, unwindlab } from './run.js';
import { tinyImage } from './tiny-image.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

/** Prints by the debug console, and ends with what is read at its port, so that a run without it is another one. */
let image: string;
beforeAll(async () => {
  const source = 'mov $0x2a, %al\nout %al, $0xe9\nxor %eax, %eax\nin $0xe9, %al\nout %eax, $0xf4\nhlt';
  image = scratch.write('guest.elf', await tinyImage(source));
});
const ended = (value: number): number => ((value << 1) | 1) & 0xff;
const WITH = ['--device', 'isa-debugcon'];
const PRESENT = { stdout: '*', stderr: '', status: ended(0xe9) };
const ABSENT = { stdout: '', stderr: '', status: ended(0xff) };

describe('a microvm', () => {
  it.each<[string[], typeof PRESENT]>([
    [[], ABSENT],
    [WITH, PRESENT],
    [['--device', 'isa-debugcon=on', '--machine', 'microvm'], PRESENT],
    [['--device', 'isa-debugcon=off'], ABSENT],
    [[...WITH, '--device', 'isa-debugcon=off'], ABSENT],
    [['--device', 'fw_cfg', '--device', 'pc-testdev', ...WITH], PRESENT],
  ])('boot %j', async (options, expected) => {
    expect(await unwindlab(['boot', image, ...options])).toMatchObject(expected);
  });
});

describe('a recorded run', () => {
  const record = (): string => join(scratch.folder, 'run');
  const line = (): string => readFileSync(record(), 'utf8').split('\n')[0]!;

  it('names the devices, and replays with them', async () => {
    const recorded = await unwindlab(['boot', image, ...WITH, '--record', record()]);
    expect(recorded).toMatchObject(PRESENT);
    expect(line()).toContain(' device=isa-debugcon=on cpus=1 ');
    for (const from of [record(), line()])
      expect(await unwindlab(['replay', from])).toMatchObject({ status: 0, stdout: '*' });
  });

  it('is another one without them', async () => {
    const other = line().replace(' device=isa-debugcon=on', '');
    const replayed = await unwindlab(['replay', other]);
    expect(replayed).toMatchObject({ status: EXIT_STATUS.disagrees, stdout: '' });
  });

  it('is the same twice', async () => {
    const { stdout, stderr, status } = await unwindlab(['boot', image, ...WITH, '--check-determinism']);
    expect({ stdout, status }).toEqual({ stdout: '*', status: PRESENT.status });
    expect(stderr).toMatch(/^unwindlab: two runs were the same: debug-exit after \d+ instructions/);
  });

  it('says nothing of devices that are as they are anyway', async () => {
    await unwindlab(['boot', image, '--device', 'fw_cfg=off', '--record', record()]);
    expect(line()).not.toContain('device=');
  });

  it.skipIf(!hasGdb)(
    'goes on under gdb, whose schedule names them (skipped where there is no gdb)',
    async () => {
      const { gdb, guest } = await debug(['boot', image, ...WITH], image, [
        'stepi 3',
        'monitor schedule',
        'continue',
      ]);
      expect(gdb).toMatch(/^unwindlab\/1 .* device=isa-debugcon=on .* do=in:04,3 /m);
      expect(guest).toMatchObject({ stdout: '*', status: PRESENT.status });
    },
  );
});

it('a sweep sweeps with them, and its report is read again', async () => {
  const report = join(scratch.folder, 'report');
  const window = ['--from', 'get_cookie.begin', '--to', 'get_cookie.end', '--jobs', '1'];
  const guest = ['@kernel-v6.19', '-m', '@roundtrip,6', '--append', 'trace=perf,ftrace perf.source=nmi'];
  const sweep = [
    'sweep',
    ...guest,
    ...window,
    '--machine',
    'microvm',
    '--device',
    'fw_cfg',
    '--report',
    report,
  ];
  expect(await unwindlab(sweep)).toMatchObject({ status: 0, stderr: '' });
  expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({ guest: { devices: { fw_cfg: true } } });
  expect(await unwindlab(['merge', report])).toMatchObject({ status: 0, stderr: '' });
});

/** OPTIONS, and the sentence about them. */
const BAD: readonly (readonly [options: string[], sentence: string])[] = [
  [
    ['--device', 'hpet'],
    'expected a device that a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "hpet", which only a pc has',
  ],
  [
    ['--device', 'i8042=off', '--machine', 'microvm'],
    'expected a device that a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "i8042", which only a pc has',
  ],
  [
    ['--device', 'e1000', '--machine', 'pc'],
    'expected a device that a pc can have (hpet, i8042, rtc, fw_cfg, isa-debugcon, pc-testdev), found "e1000"',
  ],
  [['--device', 'fw_cfg=yes'], 'expected a device as NAME, NAME=on or NAME=off, found "fw_cfg=yes"'],
  [['--device', ''], 'expected a device as NAME, NAME=on or NAME=off, found ""'],
  [
    ['--device', 'isa-debugcon,iobase=0x402'],
    'expected a device as NAME, NAME=on or NAME=off, found "isa-debugcon,iobase=0x402"',
  ],
];

it.each(['boot', 'trace', 'stacks', 'sweep', 'deferred'])('%s has the option', async (command) => {
  const { stdout } = await unwindlab([command, '--help']);
  expect(stdout).toContain('--device <name[=on|off]>');
});

it.each(BAD)('%j is refused in one sentence', async (options, sentence) => {
  const refused = await unwindlab(['boot', image, ...options]);
  expect(refused).toMatchObject({
    stdout: '',
    stderr: `unwindlab: ${sentence}\n`,
    status: EXIT_STATUS.usage,
  });
});
