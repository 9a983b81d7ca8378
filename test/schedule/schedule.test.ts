/** The text of a schedule: all that can be written is read as what it was, and all else is refused in one sentence. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { FORMAT_NAMES } from '../../emu/boot/formats.js';
import { changedDevices, type DeviceSwitches, possibleDevices } from '../../emu/devices/optional.js';
import { MACHINE_KINDS, type MachineKind } from '../../emu/machine.js';
import {
  type Choice,
  formatSchedule,
  type GuestSpec,
  type PatchText,
  type PinnedFile,
  parseSchedule,
  type Schedule,
  type ScheduleEnd,
  ScheduleError,
} from '../../src/schedule/schedule.js';

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const cpu = fc.nat({ max: 7 });
const name = fc.string({ unit: 'binary', minLength: 1 });
const word = fc.stringMatching(/^[A-Za-z_.][\w.$@-]{0,20}$/);
const hash = fc.stringMatching(/^[0-9a-f]{16}$/);

const choice: fc.Arbitrary<Choice> = fc.oneof(
  fc.record({ kind: fc.constant('run' as const), count }),
  fc.record({ kind: fc.constant('cpu' as const), cpu, count }),
  fc.record({ kind: fc.constantFrom('nmi' as const, 'deliver' as const), cpu }),
  fc.record({ kind: fc.constant('irq' as const), cpu, vector: fc.integer({ min: 16, max: 255 }) }),
  fc.record({ kind: fc.constant('call' as const), cpu, symbol: word }),
  fc.uint8Array({ minLength: 1 }).map((bytes) => ({ kind: 'input' as const, bytes: Buffer.from(bytes) })),
);

const file: fc.Arbitrary<PinnedFile> = fc.record({
  name: fc.oneof(
    name,
    word,
    fc.tuple(name, hash).map(([text, digest]) => `${text}#${digest}`),
  ),
  digest: fc.option(hash, { nil: undefined }),
});

const patch: fc.Arbitrary<PatchText> = fc.record({
  at: fc.oneof(
    word,
    fc.tuple(word, fc.nat(4096)).map(([symbol, offset]) => `${symbol}+0x${offset.toString(16)}`),
  ),
  bytes: fc.option(fc.nat(64), { nil: undefined }),
  with: fc.string({ unit: 'binary' }),
});

/** A kind of machine, said or not, and what differs from its devices. */
const machine: fc.Arbitrary<{ machine?: MachineKind; devices?: DeviceSwitches }> = fc
  .option(fc.constantFrom(...MACHINE_KINDS), { nil: undefined })
  .chain((kind) => {
    const names = fc.subarray([...possibleDevices(kind ?? 'microvm')]);
    return names.map((changed) => {
      const all = Object.fromEntries(changed.map((name) => [name, kind !== 'pc']));
      const devices = changedDevices(kind ?? 'microvm', all);
      return { ...(kind && { machine: kind }), ...(devices && { devices }) };
    });
  });

const guest: fc.Arbitrary<GuestSpec> = fc
  .record({
    image: file,
    modules: fc.array(file, { maxLength: 4 }),
    commandLine: fc.string({ unit: 'binary' }),
    cpus: fc.integer({ min: 1, max: 8 }),
    ram: fc.integer({ min: 512, max: 524_288 }).map((pages) => pages * 4096),
    turn: fc.integer({ min: 1, max: 1_000_000_000 }),
    patches: fc.array(patch, { maxLength: 3 }),
    initrd: fc.option(file, { nil: undefined }),
    machine,
    format: fc.option(fc.constantFrom(...FORMAT_NAMES), { nil: undefined }),
    drained: fc.boolean(),
  })
  .map(({ initrd, format, machine, drained, ...rest }) => ({
    ...rest,
    ...machine,
    ...(initrd && { initrd }),
    ...(format && { format }),
    ...(drained && { drained }),
  }));

const end: fc.Arbitrary<ScheduleEnd> = fc.record({
  kind: fc.constantFrom('poweroff', 'triple-fault', 'stopped', 'user'),
  retired: count,
  hash,
});

const schedule: fc.Arbitrary<Schedule> = fc.record(
  { guest, choices: fc.array(choice), end, breaks: fc.array(word, { minLength: 1, maxLength: 3 }) },
  { requiredKeys: ['guest', 'choices'] },
);

describe('the line of a schedule', () => {
  test('is one line, and reads as the schedule that it was made of', () => {
    fc.assert(
      fc.property(schedule, (wanted) => {
        const line = formatSchedule(wanted);
        expect(line).not.toMatch(/[\n\r]/);
        expect(parseSchedule(line)).toEqual(wanted);
      }),
      { numRuns: 1000 },
    );
  });

  test('may be wrapped between its words and stand between blanks', () => {
    fc.assert(
      fc.property(guest, (wanted) => {
        const plain = {
          ...wanted,
          commandLine: '',
          modules: [],
          patches: [],
          image: { name: '@kernel', digest: undefined },
          ...(wanted.initrd && { initrd: { name: 'disk', digest: undefined } }),
        };
        const line = formatSchedule({ guest: plain, choices: [] });
        expect(parseSchedule(`  ${line.replaceAll(' ', '\n  ')}\n`).guest).toEqual(plain);
      }),
    );
  });

  test('damaged anywhere, it is refused with a ScheduleError or is another schedule', () => {
    fc.assert(
      fc.property(schedule, fc.nat(), fc.string({ maxLength: 3 }), (whole, at, inserted) => {
        const line = formatSchedule(whole);
        const cut = at % line.length;
        try {
          parseSchedule(line.slice(0, cut) + inserted + line.slice(cut + 1));
        } catch (error) {
          expect(error).toBeInstanceOf(ScheduleError);
          expect((error as Error).message).toMatch(/^expected .*, found .*$/);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

const GUEST = 'image=@kernel cpus=1 ram=67108864 turn=2000';

/** LINE, and what is said of it. */
const BAD: readonly (readonly [line: string, message: string])[] = [
  ['', 'expected a schedule, which begins with unwindlab/1, found ""'],
  ['build/kernel.elf', 'expected a schedule, which begins with unwindlab/1, found "build/kernel.elf"'],
  ['\x7fELF\x02\x01', 'expected a schedule, which begins with unwindlab/1, found "\\u007fELF\\u0002\\u0001"'],
  [`unwindlab/2 ${GUEST} do=1`, 'expected a schedule of version 1, found version 2'],
  ['unwindlab/1', 'expected do= in the schedule, found none'],
  [`unwindlab/1 ${GUEST}`, 'expected do= in the schedule, found none'],
  ['unwindlab/1 do=1', 'expected image= in the schedule, found none'],
  [`unwindlab/1 ${GUEST} do=1 do=2`, 'expected do= once, found it 2 times'],
  [`unwindlab/1 ${GUEST} do=1 colour=red`, 'expected no colour= in a schedule, found one'],
  [`unwindlab/1 ${GUEST} machine=q35 do=1`, 'expected machine microvm, pc, found "q35"'],
  [
    `unwindlab/1 ${GUEST} device=hpet do=1`,
    'expected a device that a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "hpet", which only a pc has',
  ],
  [
    `unwindlab/1 ${GUEST} machine=pc device=vga=off do=1`,
    'expected a device that a pc can have (hpet, i8042, rtc, fw_cfg, isa-debugcon, pc-testdev), found "vga"',
  ],
  [
    `unwindlab/1 ${GUEST} device=fw_cfg=no do=1`,
    'expected a device as NAME, NAME=on or NAME=off, found "fw_cfg=no"',
  ],
  [`unwindlab/1 ${GUEST} device= do=1`, 'expected key=value, found "device= do=1"'],
  [`unwindlab/1 ${GUEST} format=elf do=1`, 'expected format linux, multiboot, pvh, multiboot2, found "elf"'],
  [`unwindlab/1 ${GUEST} initrd=a initrd=b do=1`, 'expected initrd= once, found it 2 times'],
  [`unwindlab/1 ${GUEST} do=1 nonsense`, 'expected key=value, found "nonsense"'],
  [`unwindlab/1 ${GUEST} append="a do=1`, 'expected key=value, found "append=\\"a do=1"'],
  [`unwindlab/1 ${GUEST} append="\\q" do=1`, 'expected a quoted value, found "\\"\\\\q\\""'],
  ['unwindlab/1 image=@kernel cpus=9 ram=67108864 turn=2000 do=1', 'expected cpus from 1 to 8, found 9'],
  [
    'unwindlab/1 image=@kernel cpus=two ram=67108864 turn=2000 do=1',
    'expected a whole number for cpus, found "two"',
  ],
  [
    'unwindlab/1 image=@kernel cpus=1 ram=5000000 turn=2000 do=1',
    'expected ram from 2097152 to 2147483648 in steps of 4096, found 5000000',
  ],
  [
    'unwindlab/1 image=@kernel cpus=1 ram=67108864 turn=0 do=1',
    'expected turn from 1 to 1000000000, found 0',
  ],
  [`unwindlab/1 ${GUEST} drained=no do=1`, 'expected drained=yes or nothing of it, found "no"'],
  [
    `unwindlab/1 ${GUEST} patch=get_cookie do=1`,
    'expected a patch as AT[/BYTES]=ASSEMBLY, found "get_cookie"',
  ],
  [`unwindlab/1 ${GUEST} do=1,,2`, 'expected a whole number for do, found ""'],
  [`unwindlab/1 ${GUEST} do=-1`, 'expected a whole number for do, found "-1"'],
  [`unwindlab/1 ${GUEST} do=99999999999999999`, 'expected a whole number for do, found "99999999999999999"'],
  [`unwindlab/1 ${GUEST} do=nmi:x`, 'expected a whole number for nmi, found "x"'],
  [`unwindlab/1 ${GUEST} do=irq:0:15`, 'expected an interrupt vector from 16 to 255, found "15"'],
  [`unwindlab/1 ${GUEST} do=irq:0:0x100`, 'expected an interrupt vector from 16 to 255, found "0x100"'],
  [`unwindlab/1 ${GUEST} do=in:abc`, 'expected bytes in hexadecimal for in, found "abc"'],
  [
    `unwindlab/1 ${GUEST} do=nmi:0:1`,
    'expected COUNT, nmi:CPU, deliver:CPU, irq:CPU:VECTOR, call:CPU:SYMBOL, cpu:CPU:COUNT or in:HEX, found "nmi:0:1"',
  ],
  [`unwindlab/1 ${GUEST} do=1 end=poweroff`, 'expected end=KIND:INSTRUCTIONS#HASH, found "poweroff"'],
];

it.each(BAD)('%j is refused in one sentence', (line, message) => {
  expect(() => parseSchedule(line)).toThrow(new ScheduleError(message));
});

/** WORDS of machine and devices, and how they are written again. */
const DEVICES: readonly (readonly [words: string, written: string])[] = [
  ['', ''],
  ['machine=pc', 'machine=pc'],
  ['machine=pc device=hpet=off', 'machine=pc device=hpet=off'],
  ['machine=pc device=pc-testdev=off device=i8042=off', 'machine=pc device=i8042=off device=pc-testdev=off'],
  ['machine=pc device=hpet device=rtc=on', 'machine=pc'],
  ['machine=pc device=hpet=off device=hpet', 'machine=pc'],
  ['device=isa-debugcon', 'device=isa-debugcon=on'],
  ['device=fw_cfg=off', ''],
  ['device=fw_cfg=on machine=microvm', 'machine=microvm device=fw_cfg=on'],
];

it.each(DEVICES)(
  'devices %j are written as %j: what differs from the machine, in its order',
  (words, written) => {
    const line = (text: string): string =>
      `unwindlab/1 image=@kernel ${text === '' ? '' : `${text} `}cpus=1 ram=67108864 turn=2000 do=1`;
    expect(formatSchedule(parseSchedule(line(words)))).toBe(line(written));
  },
);
