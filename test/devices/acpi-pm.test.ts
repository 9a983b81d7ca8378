/** ACPI's fixed registers (ACPI 6.5, 4.8.3): events, control, and the power management timer. */
import { expect, test } from 'vitest';
import { AcpiPm } from '../../emu/devices/acpi-pm.js';
import { PortBus } from '../../emu/devices/ports.js';

function bench() {
  const seen = { time: 0, offs: 0, level: false };
  const pm = new AcpiPm({
    now: () => seen.time,
    powerOff: () => seen.offs++,
    interrupt: (level) => {
      seen.level = level;
    },
    changed: () => {},
  });
  return { pm, seen, bus: new PortBus(pm.devices) };
}
/** When the highest of the timer's 24 bits has changed `count` times: 2^23 ticks of 3.579545 MHz each, rounded up. */
const afterChanges = (count: number): number => Math.ceil((count * 2 ** 23 * 1e9) / 3_579_545);

test('the machine is in ACPI mode', () => expect(bench().bus.read(0x604, 2) & 1).toBe(1));

test('no event stands, and the enable bits read back', () => {
  const { bus } = bench();
  bus.write(0x602, 2, 0x0120);
  expect([bus.read(0x600, 2), bus.read(0x602, 2), bus.read(0x600, 4)]).toEqual([0, 0x0120, 0x0120_0000]);
});

test('a sleep type alone does nothing; with SLP_EN it powers off, by a byte too', () => {
  const { bus, seen } = bench();
  bus.write(0x604, 2, 0x1c00);
  expect([seen.offs, bus.read(0x604, 2)]).toEqual([0, 0x1c01]);
  bus.write(0x604, 2, 0x2000);
  bus.write(0x605, 1, 0x20);
  expect(seen.offs).toBe(2);
});

test.each([
  ['a microsecond', 1000, 3],
  ['a second', 1e9, 3_579_545],
  ['its last value', afterChanges(2) - 1, 0xff_ffff],
  ['its first again', afterChanges(2), 0],
])('the timer after %s', (_name, time, value) => {
  const { bus, seen } = bench();
  seen.time = time;
  expect(bus.read(0x608, 4)).toBe(value);
  bus.write(0x608, 4, 0x1234);
  expect(bus.read(0x608, 4)).toBe(value);
});

test('its status is set when the highest bit changes, and cleared by a one', () => {
  const { bus, seen } = bench();
  const statusAt = (time: number): number => {
    seen.time = time;
    return bus.read(0x600, 2);
  };
  expect([statusAt(afterChanges(1) - 1), statusAt(afterChanges(1))]).toEqual([0, 1]);
  bus.write(0x600, 2, 0);
  expect(bus.read(0x600, 2)).toBe(1);
  bus.write(0x600, 2, 1);
  expect([bus.read(0x600, 2), statusAt(afterChanges(2))]).toEqual([0, 1]);
});

test('it interrupts only where it is enabled, until the status is cleared', () => {
  const { pm, bus, seen } = bench();
  expect(pm.deadline).toBe(Number.POSITIVE_INFINITY);
  bus.write(0x602, 2, 1);
  expect([pm.deadline, seen.level]).toEqual([afterChanges(1), false]);
  seen.time = pm.deadline;
  expect(pm.deadline, 'it is due').toBe(seen.time);
  pm.advance();
  expect([seen.level, pm.deadline]).toEqual([true, Number.POSITIVE_INFINITY]);
  bus.write(0x600, 2, 1);
  expect([seen.level, pm.deadline]).toEqual([false, afterChanges(2)]);
});

test('a status that stands interrupts when it is enabled', () => {
  const { bus, seen } = bench();
  seen.time = afterChanges(1);
  bus.write(0x602, 2, 1);
  expect(seen.level).toBe(true);
});
