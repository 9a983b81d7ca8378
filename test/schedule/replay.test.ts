/** A recorded run runs again; where it does not, the replay says at which event. In the library; the command is in test/system. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { ImageError } from '../../emu/boot/image-error.js';
import type { MachineOptions } from '../../emu/machine.js';
import { PatchError } from '../../src/asm/patch.js';
import { guestSpecOf } from '../../src/lab/guest-spec.js';
import { type GuestFiles, openGuest } from '../../src/lab/open.js';
import { openSchedule } from '../../src/lab/open-schedule.js';
import { type Replay, replay } from '../../src/lab/replay.js';
import { runToEnd } from '../../src/lab/run.js';
import { logEvents } from '../../src/schedule/event-log.js';
import { Recorder } from '../../src/schedule/recorder.js';
import {
  formatSchedule,
  parseChoice,
  parseSchedule,
  type Schedule,
  ScheduleError,
} from '../../src/schedule/schedule.js';
import { tinyImage } from '../system/tiny-image.js';

const folder = mkdtempSync(join(tmpdir(), 'unwindlab-replay-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Recorded {
  readonly schedule: Schedule;
  readonly log: readonly string[];
}

const lines = (log: readonly string[]) => {
  let at = 0;
  return () => log[at++];
};

interface RecordOptions extends MachineOptions {
  readonly budget?: number;
  /** What arrives after so many instructions. */
  readonly typed?: readonly (readonly [after: number, text: string])[];
}

async function record(files: GuestFiles, options: RecordOptions = {}): Promise<Recorded> {
  const { budget = 20_000_000, typed = [], ...rest } = options;
  const { machine } = openGuest(files, rest);
  const log: string[] = [];
  logEvents(machine, (line) => log.push(line));
  const recorder = new Recorder(machine);
  for (const [after, text] of typed) {
    await runToEnd(machine, { budget: after - machine.retired });
    recorder.input(Buffer.from(text));
  }
  const outcome = await runToEnd(machine, { budget: budget - machine.retired });
  machine.close();
  return { schedule: parseSchedule(formatSchedule(recorder.finish(guestSpecOf(files, rest), outcome))), log };
}

/** Runs it again. `console` is what the guest has printed. */
async function again(
  schedule: Schedule,
  log?: readonly string[],
): Promise<Replay & { readonly console: string; readonly log: readonly string[] }> {
  let console = '';
  const { machine } = await openSchedule(schedule, {
    console: (byte) => {
      console += String.fromCharCode(byte);
    },
  });
  const own: string[] = [];
  logEvents(machine, (line) => own.push(line));
  try {
    return { ...(await replay(machine, schedule, { log: log && lines(log) })), console, log: own };
  } finally {
    machine.close();
  }
}

const image = async (name: string, source: string): Promise<GuestFiles> => {
  const path = join(folder, `${name}.elf`);
  writeFileSync(path, await tinyImage(source));
  return { image: path };
};

describe('what was recorded runs again', () => {
  it.each([1, 2])('on %i CPUs, with preemption and both tracers', async (cpus) => {
    const commandLine = 'trace=perf,ftrace perf.period=20000';
    const { schedule, log } = await record(
      { image: '@kernel', modules: ['@processes'], commandLine },
      { cpus },
    );
    expect(schedule.end!.kind).toBe('poweroff');
    expect(log.length).toBeGreaterThan(500);
    expect(await again(schedule, log)).toMatchObject({ kind: 'same', end: schedule.end, log });
  });

  it('with what was typed while it ran', async () => {
    const typed = [
      [300_000, 'what goes '],
      [300_100, 'in must come '],
      [333_333, 'out\n'],
    ] as const;
    const { schedule, log } = await record({ image: '@kernel', modules: ['@echo'] }, { typed });
    expect(schedule.choices.map(({ kind }) => kind)).toEqual([
      'run',
      'input',
      'run',
      'input',
      'run',
      'input',
      'run',
    ]);
    const replayed = await again(schedule, log);
    expect(replayed).toMatchObject({ kind: 'same', end: schedule.end });
    expect(replayed.console).toContain('what goes in must come out\n');
  });

  it('input that came at once is one choice, and none is none', async () => {
    const typed = [
      [1000, 'one'],
      [1000, ''],
      [1000, '\n'],
    ] as const;
    const { schedule } = await record({ image: '@kernel', modules: ['@echo'] }, { typed });
    expect(schedule.choices[1]).toEqual({ kind: 'input', bytes: Buffer.from('one\n') });
    expect(schedule.choices).toHaveLength(3);
  });

  /** NAME, 32-bit code, how it ends. */
  const ENDS = [
    ['power-off', 'mov $0x604, %dx; mov $0x2000, %ax; out %ax, %dx; jmp .', 'poweroff'],
    ['debug-exit', 'mov $0xf4, %dx; mov $3, %al; out %al, %dx; jmp .', 'debug-exit'],
    ['triple-fault', 'nop; nop; ud2', 'triple-fault'],
    ['hang', 'nop; cli; hlt', 'hang'],
    ['bus-error', 'movl $0xd0000000, %eax; movl (%eax), %eax', 'bus-error'],
    ['loop', 'jmp .', 'budget'],
  ] as const;
  it.each(ENDS)('to its end: %s', async (name, source, kind) => {
    const { schedule, log } = await record(await image(name, source), { budget: 1000 });
    expect(schedule.end!.kind).toBe(kind);
    expect(await again(schedule, log)).toMatchObject({ kind: 'same', end: schedule.end });
    const other = { ...schedule, end: { ...schedule.end!, kind: kind === 'hang' ? 'poweroff' : 'hang' } };
    expect(await again(other)).toMatchObject({ kind: 'end', recorded: other.end });
  });

  it('with events and calls put between its instructions', async () => {
    const guest = guestSpecOf(
      { image: '@kernel-v6.19', modules: ['@processes'], commandLine: 'trace=perf,ftrace' },
      { cpus: 2 },
    );
    const choices = '60000,nmi:0,1,nmi:1,deliver:1,cpu:1:40,irq:0:0xfd,700,cpu:0:3,200000,nmi:0,100000'
      .split(',')
      .map(parseChoice);
    const first = await again({ guest, choices });
    expect(first.log.filter((line) => line.includes(' nmi '))).toHaveLength(3);
    const schedule = { guest, choices, end: first.end };
    expect(await again(parseSchedule(formatSchedule(schedule)), first.log)).toMatchObject({ kind: 'same' });
  });

  it('with rings that the host empties only if they were emptied then', async () => {
    const files = { image: '@kernel', modules: ['@lisp'], commandLine: 'trace=perf perf.period=10000' };
    const choices = 'in:04,60000000'.split(',').map(parseChoice); // a program that reads finds the end of its input
    const drained = { ...guestSpecOf(files, {}), drained: true };
    const { end, log } = await again({ guest: drained, choices });
    expect(end.kind).toBe('poweroff');
    expect(await again({ guest: drained, choices, end }, log)).toMatchObject({ kind: 'same' });
    expect(await again({ guest: guestSpecOf(files, {}), choices, end }, log)).toMatchObject({
      kind: 'event',
    });
  });
});

describe('a replay that is not what was recorded', () => {
  const FILES = { image: '@kernel', modules: ['@hello'] };

  test('stops at the event that differs, with both and the registers', async () => {
    const { schedule, log } = await record(FILES);
    const at = log.findIndex((line) => line.includes(' syscall '));
    const changed = log.with(at, log[at]!.replace(/syscall \w+/, 'syscall 63'));
    const result = await again(schedule, changed);
    expect(result).toMatchObject({
      kind: 'event',
      difference: { event: at + 1, recorded: { what: 'system call 99' }, found: { what: 'system call 1' } },
    });
    expect(result.end.retired).toBeLessThan(schedule.end!.retired);
    const { found, registers } = (result as Extract<Replay, { kind: 'event' }>).difference;
    expect(new Map(registers).get('rip')).toBe(found!.rip);
    expect(new Map(registers).get('rax')).toBe(1n);
  });

  test('says what is missing, what is too much, and a line that is no event', async () => {
    const { schedule, log } = await record(FILES);
    expect(await again(schedule, [...log, log.at(-1)!])).toMatchObject({
      kind: 'event',
      difference: { event: log.length + 1, recorded: { what: 'OUT 0x2000 to port 0x604' }, found: undefined },
    });
    expect(await again(schedule, log.slice(0, 10))).toMatchObject({
      kind: 'event',
      difference: { event: 11, recorded: undefined },
    });
    await expect(again(schedule, log.with(5, 'rubbish'))).rejects.toThrow(ScheduleError);
  });

  test('of a patched image, says where it parts', async () => {
    const { schedule, log } = await record({ ...FILES, commandLine: 'trace=ftrace' });
    const patches = [{ at: 'panic', bytes: undefined, with: 'nop' }]; // which is not reached
    const same = await again({ ...schedule, guest: { ...schedule.guest, patches } }, log);
    expect(same.kind).toBe('same');
    const halted = [{ at: 'trace_syscall_enter', bytes: undefined, with: 'hlt' }];
    expect(await again({ ...schedule, guest: { ...schedule.guest, patches: halted } }, log)).toMatchObject({
      kind: 'event',
      difference: { found: { what: 'HLT' } },
    });
  });

  test('is not begun with a patch that does not fit or another file', async () => {
    const { schedule } = await record(FILES, { budget: 1000 });
    const { guest } = schedule;
    const open = (changed: Partial<Schedule['guest']>) => openSchedule({ ...guest, ...changed });
    await expect(open({ patches: [{ at: 'no_such', bytes: undefined, with: 'nop' }] })).rejects.toThrow(
      PatchError,
    );
    const digest = '0123456789abcdef';
    await expect(open({ modules: [{ name: '@hello', digest }] })).rejects.toThrow(
      new ImageError(
        `@hello: expected the file of the schedule, with a SHA-256 that begins ${digest}, ` +
          `found one that begins ${guest.modules[0]!.digest}`,
      ),
    );
    (await open({ modules: [{ name: '@hello', digest: undefined }] })).machine.close();
  });

  /** What is done, and what is said of it. */
  const IMPOSSIBLE = [
    ['nmi:1', 'expected a CPU from 0 to 0, found 1'],
    ['cpu:3:10', 'expected a CPU from 0 to 0, found 3'],
    ['call:0:nowhere', 'expected a routine of the image, found nowhere'],
    ['call:0:trace_probe', 'expected CPU 0 to be in the kernel to call trace_probe, found it at 0x'],
  ] as const;
  test.each(IMPOSSIBLE)('%s cannot be done', async (choice, message) => {
    const guest = guestSpecOf(FILES, {});
    await expect(again({ guest, choices: [parseChoice(choice)] })).rejects.toThrow(message);
  });

  test('ends when it is interrupted, and compares up to there', async () => {
    const { schedule, log } = await record({ image: '@kernel', modules: ['@lisp'] }, { budget: 1_000_000 });
    const { machine } = await openSchedule(schedule);
    const result = await replay(machine, schedule, { log: lines(log), interrupted: () => true });
    machine.close();
    expect(result).toMatchObject({ kind: 'interrupted', end: { retired: 200_000 } });
  });
});
