/** The 8254 against the rules of its data sheet (Intel 231164). */
import { beforeEach, describe, expect, test } from 'vitest';
import { PIT_HZ, Pit } from '../../emu/devices/pit.js';
import { PortBus } from '../../emu/devices/ports.js';

const CONTROL = 0x43;
const GATE = 0x61;
const COUNT = 1000;
/** Nanoseconds after which exactly so many input clocks have passed. */
const nsOf = (clocks: number): number => Math.ceil((clocks * 1e9) / PIT_HZ);

let now: number;
let edges: number;
/** How often the machine has been told to look at the deadline again. */
let changes: number;
let level: boolean;
let pit: Pit;
let bus: PortBus;

const out = (port: number, ...values: number[]): void => {
  for (const value of values) bus.write(port, 1, value);
};
const read = (port: number): number => bus.read(port, 1);
/** Control word: low then high byte. */
const program = (channel: number, mode: number, count: number): void => {
  out(CONTROL, (channel << 6) | 0x30 | (mode << 1));
  out(0x40 + channel, count & 0xff, count >> 8);
};
const latched = (channel: number): number => {
  out(CONTROL, channel << 6);
  return read(0x40 + channel) | (read(0x40 + channel) << 8);
};
const out2 = (): boolean => (read(GATE) & 0x20) !== 0;
/** Lets time pass up to `time`, event by event. */
const passTo = (time: number): void => {
  while (pit.deadline <= time) {
    now = pit.deadline;
    pit.advance(now);
  }
  now = time;
};

beforeEach(() => {
  now = 0;
  edges = 0;
  changes = 0;
  level = true;
  pit = new Pit({
    now: () => now,
    output0: (to) => {
      if (to && !level) edges++;
      level = to;
    },
    changed: () => changes++,
  });
  bus = new PortBus(pit.devices);
});

describe('counting', () => {
  test.each([
    [0, 1, COUNT - 1],
    [2, 1, COUNT - 1],
    [3, 1, COUNT - 2],
    [4, 1, COUNT - 1],
    [2, COUNT, COUNT],
    [2, COUNT + 3, COUNT - 3],
    [3, COUNT / 2, COUNT],
    [0, COUNT + 1, 0xffff],
  ])('mode %i after %i clocks holds %i', (mode, clocks, expected) => {
    program(0, mode, COUNT);
    now = nsOf(clocks);
    expect(latched(0)).toBe(expected);
  });
  test('a count of 0 is 65536', () => {
    program(0, 2, 0);
    now = nsOf(1);
    expect(latched(0)).toBe(0xffff);
  });
  test('in BCD a count of 0 is 10000', () => {
    out(CONTROL, 0x35);
    out(0x40, 0, 0);
    now = nsOf(1);
    expect(latched(0)).toBe(0x9999);
  });
  test('a latched count stays until it is read, and a second latch changes nothing', () => {
    program(0, 2, COUNT);
    now = nsOf(10);
    out(CONTROL, 0);
    now = nsOf(20);
    out(CONTROL, 0);
    expect(read(0x40) | (read(0x40) << 8)).toBe(COUNT - 10);
    expect(latched(0)).toBe(COUNT - 20);
  });
  test('latching disturbs neither the counter nor the machine', () => {
    program(0, 2, COUNT);
    const before = [changes, edges, pit.deadline];
    for (now = 0; now < nsOf(COUNT) - 1; now += nsOf(100)) latched(0);
    expect([changes, edges, pit.deadline]).toEqual(before);
  });
  test.each([
    ['low byte', 0x14, 0x34],
    ['high byte', 0x24, 0x12],
  ])('one byte alone: %s', (_name, control, expected) => {
    out(CONTROL, control);
    out(0x40, expected);
    expect([read(0x40), read(0x40)]).toEqual([expected, expected]);
  });
});

describe('read-back', () => {
  test('status: output, null count, access, mode', () => {
    program(0, 2, COUNT);
    out(CONTROL, 0xe2);
    expect(read(0x40)).toBe(0x80 | 0x30 | (2 << 1));
    out(CONTROL, 0x30);
    out(CONTROL, 0xe2);
    expect(read(0x40)).toBe(0x40 | 0x30);
  });
  test('status first, then the count', () => {
    program(0, 2, COUNT);
    now = nsOf(7);
    out(CONTROL, 0xc2);
    expect([read(0x40), read(0x40) | (read(0x40) << 8)]).toEqual([0x80 | 0x34, COUNT - 7]);
  });
});

describe('channel 0 drives its line', () => {
  test.each([
    ['0: once, at the count', 0, 1],
    ['2: each period', 2, 5],
    ['3: each period', 3, 5],
    ['4: once, behind the count', 4, 1],
  ])('mode %s', (_name, mode, expected) => {
    program(0, mode, COUNT);
    edges = 0;
    passTo(nsOf(5 * COUNT + 10));
    expect(edges).toBe(expected);
  });
  test('a control word alone ends the interrupts', () => {
    program(0, 2, COUNT);
    out(CONTROL, 0x30);
    expect(pit.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('periods do not drift', () => {
    program(0, 2, 11_932);
    edges = 0;
    passTo(10e9);
    expect(edges).toBe(Math.floor((10 * PIT_HZ) / 11_932));
  });
});

describe('channel 2 has its gate at port 0x61', () => {
  test('mode 0 waits for the gate, and its output is bit 5', () => {
    program(2, 0, COUNT);
    now = nsOf(2 * COUNT);
    expect(out2()).toBe(false);
    out(GATE, 1);
    now += nsOf(COUNT - 2);
    expect(out2()).toBe(false);
    now += nsOf(3);
    expect(out2()).toBe(true);
  });
  test('a low gate holds the count', () => {
    out(GATE, 1);
    program(2, 0, COUNT);
    now = nsOf(400);
    out(GATE, 0);
    now += nsOf(5 * COUNT);
    expect(latched(2)).toBe(COUNT - 400);
  });
  test('mode 1: the gate triggers one shot', () => {
    program(2, 1, COUNT);
    expect(out2()).toBe(true);
    out(GATE, 1);
    expect(out2()).toBe(false);
    now += nsOf(COUNT + 1);
    expect(out2()).toBe(true);
  });
  test('its low bits read back, and bit 4 toggles', () => {
    out(GATE, 3);
    const seen = new Set<number>();
    for (; now < 100_000; now += 5000) seen.add(read(GATE) & 0x13);
    expect(seen).toEqual(new Set([0x03, 0x13]));
  });
});

test('a state can be gone back to', () => {
  program(0, 2, COUNT);
  now = nsOf(10);
  const before = pit.capture();
  program(0, 0, 5);
  pit.reinstate(before);
  expect([latched(0), pit.deadline]).toEqual([COUNT - 10, nsOf(COUNT)]);
});
