/** The log of a run: what its lines say, and that neither writing it nor the way a run is cut changes it. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Machine, MachineOptions } from '../../emu/machine.js';
import { RunningKernel } from '../../src/lab/kernel.js';
import { type GuestFiles, openGuest } from '../../src/lab/open.js';
import { differentRegisters, logEvents, parseEvent } from '../../src/schedule/event-log.js';
import { LineBuilder } from '../../src/schedule/line-builder.js';
import { ScheduleError } from '../../src/schedule/schedule.js';

const TWO_CPUS: readonly [GuestFiles, MachineOptions] = [
  { image: '@kernel', modules: ['@processes'], commandLine: 'trace=perf,ftrace perf.period=30000' },
  { cpus: 2 },
];
const NMIS: readonly [GuestFiles, MachineOptions] = [
  {
    image: '@kernel-v6.19',
    modules: ['@syscalls'],
    commandLine: 'trace=perf perf.source=nmi perf.period=5000',
  },
  {},
];

const TRACERS: readonly [GuestFiles, MachineOptions] = [
  { image: '@kernel-v6.17', modules: ['@tracers'], commandLine: 'trace=perf,ftrace tick=10933' },
  {},
];

interface Run {
  readonly lines: readonly string[];
  readonly hash: string;
  readonly events: number;
}

/** Runs a guest to its end, in the way that `how` does. */
function runOf(
  [files, options]: readonly [GuestFiles, MachineOptions],
  how: (machine: Machine) => void,
): Run {
  const { machine } = openGuest(files, options);
  const lines: string[] = [];
  logEvents(machine, (line) => lines.push(line));
  how(machine);
  const { hash, count } = machine.events;
  machine.close();
  return { lines, hash: hash.digest, events: count };
}
const inOne = (machine: Machine): void => void machine.run();

describe('the log', () => {
  it('has a line for each event, and does not change the run', () => {
    for (const guest of [TWO_CPUS, NMIS]) {
      const { lines, hash, events } = runOf(guest, inOne);
      const { machine } = openGuest(...guest);
      machine.run();
      expect(lines).toHaveLength(events);
      expect(machine.events).toMatchObject({ count: events, hash: { digest: hash } });
      machine.close();
    }
  });

  it.each([
    ['NMIs', NMIS],
    ['two CPUs', TWO_CPUS],
    ['tracers that come and go', TRACERS],
  ] as const)('is the same however the run is cut: %s', (_, guest) => {
    const whole = runOf(guest, inOne);
    const slice = fc.integer({ min: 1, max: 30_000 });
    fc.assert(
      fc.property(fc.array(slice, { minLength: 1, maxLength: 20 }), (slices) => {
        const cut = runOf(guest, (machine) => {
          for (let index = 0; ; index++)
            if (machine.run({ budget: slices[index % slices.length]! }).kind !== 'budget') break;
        });
        expect(cut).toEqual(whole);
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });

  it('is the same with breakpoints in the run', () => {
    const observed = runOf(TWO_CPUS, (machine) => {
      const kernel = new RunningKernel(machine);
      for (const label of ['trace_syscall_enter', 'unwind_reset_info', 'uart_put'])
        kernel.at(label, () => {});
      machine.run();
    });
    expect(observed).toEqual(runOf(TWO_CPUS, inOne));
  });

  it('goes up in steps, and says the place of all events but those in mid-instruction', () => {
    const { lines } = runOf(TWO_CPUS, inOne);
    const events = lines.map(parseEvent);
    for (const [index, event] of events.entries()) {
      expect(event.step).toBeGreaterThanOrEqual(events[index - 1]?.step ?? 0);
      expect(event.rip === undefined, event.what).toBe(/^(IN|OUT|IPI) /.test(event.what));
    }
    for (const what of [
      /^system call \d+$/,
      /^interrupt 0x/,
      /^WRMSR 0xc0000082/,
      /^IPI sipi 0x/,
      /^start-up at 0x/,
      /^OUT 0x75 to port 0x3f8$/,
    ])
      expect(
        events.some((event) => what.test(event.what)),
        String(what),
      ).toBe(true);
  });

  it('names the registers that differ', () => {
    const [one] = runOf(TWO_CPUS, inOne).lines.filter((line) => line.includes(' syscall '));
    const at = one!.lastIndexOf(' ') + 1;
    const changed = (index: number): string => {
      const digit = one![at + index] === 'A' ? 'B' : 'A';
      return one!.slice(0, at + index) + digit + one!.slice(at + index + 1);
    };
    expect(differentRegisters(parseEvent(one!), parseEvent(changed(2)))).toEqual(['rdx']);
    expect(differentRegisters(parseEvent(one!), parseEvent(changed(16)))).toEqual(['eflags']);
    expect(differentRegisters(parseEvent(one!), parseEvent(one!))).toEqual([]);
  });

  it.each(['', 'rubbish', '1 0 1 syscal 1 401000 AAAAAAAAAAAAAAAAA00000000', '1 0 1 nmi 0 401000 AAA'])(
    'does not have %j for a line',
    (line) => expect(() => parseEvent(line)).toThrow(ScheduleError),
  );
});

test('numbers are written as JavaScript writes them', () => {
  const line = new LineBuilder();
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat({ max: 0xffff_ffff }), (decimal, hex) => {
      line.decimal(decimal);
      line.blank();
      line.hex(hex);
      line.blank();
      line.hex(hex, 8);
      expect(line.take()).toBe(`${decimal} ${hex.toString(16)} ${hex.toString(16).padStart(8, '0')}`);
    }),
    {
      numRuns: 1000,
      examples: [
        [0, 0],
        [999_999_999, 1],
        [1e9, 15],
        [1e9 + 5, 16],
        [Number.MAX_SAFE_INTEGER, 0xffff_ffff],
      ],
    },
  );
});
