/** The MC146818A against the rules of its data sheet. */
import { beforeEach, describe, expect, test } from 'vitest';
import { PortBus } from '../../emu/devices/ports.js';
import { Rtc } from '../../emu/devices/rtc.js';

const SECOND = 1e9;
const HOUR = 3600 * SECOND;
const A = 10;
const B = 11;
const C = 12;
const D = 13;

let now: number;
let line: boolean;
let rtc: Rtc;
let bus: PortBus;
const read = (index: number): number => {
  bus.write(0x70, 1, index);
  return bus.read(0x71, 1);
};
const write = (index: number, value: number): void => {
  bus.write(0x70, 1, index);
  bus.write(0x71, 1, value);
};
/** Hours, minutes, seconds. */
const time = (): number[] => [read(4), read(2), read(0)];
/** Lets time pass up to `until`, event by event. */
const passTo = (until: number): void => {
  while (rtc.deadline <= until) {
    now = rtc.deadline;
    rtc.advance(now);
    if (line) return;
  }
  now = until;
};

beforeEach(() => {
  now = 0;
  line = false;
  rtc = new Rtc({
    now: () => now,
    interrupt: (level) => {
      line = level;
    },
    changed: () => {},
  });
  bus = new PortBus(rtc.devices);
});

describe('the time', () => {
  test('starts on Thursday, 2026-01-01, in BCD and 24 hours', () => {
    expect([6, 7, 8, 9, 0x32].map(read)).toEqual([5, 1, 1, 0x26, 0x20]);
    expect(time()).toEqual([0, 0, 0]);
  });
  test('follows the clock', () => {
    now = 13 * HOUR + 59 * 60 * SECOND + 58 * SECOND;
    expect(time()).toEqual([0x13, 0x59, 0x58]);
  });
  test.each([
    ['12 hours', 0x00, 0x81],
    ['binary', 0x06, 13],
    ['binary, 12 hours', 0x04, 0x81],
  ])('%s', (_name, format, expected) => {
    write(B, format);
    now = 13 * HOUR;
    expect(read(4)).toBe(expected);
  });
  test('midnight is 12 in 12 hours', () => {
    write(B, 0x00);
    expect(read(4)).toBe(0x12);
  });
  test('SET stops the bytes, and what was written runs on from there', () => {
    write(B, 0x82);
    write(4, 0x23);
    write(2, 0x59);
    write(0, 0x59);
    now = 10 * SECOND;
    expect(time()).toEqual([0x23, 0x59, 0x59]);
    write(B, 0x02);
    now += SECOND;
    expect([...time(), read(7)]).toEqual([0, 0, 0, 0x02]);
  });
  test('bit 7 of register A tells of an update 244 µs before it', () => {
    now = SECOND - 300_000;
    expect(read(A) & 0x80).toBe(0);
    now = SECOND - 200_000;
    expect(read(A) & 0x80).toBe(0x80);
  });
  test('the battery is good', () => expect(read(D)).toBe(0x80));
  test('memory keeps what is written', () => {
    write(0x40, 0xa5);
    expect(read(0x40)).toBe(0xa5);
  });
});

describe('interrupts', () => {
  test('none without being enabled, but the flags go up', () => {
    expect(rtc.deadline).toBe(Number.POSITIVE_INFINITY);
    now = 2 * SECOND;
    expect([read(C), line]).toEqual([0x40 | 0x10, false]);
  });
  test('update-ended: each second, and reading register C ends it', () => {
    write(B, 0x12);
    passTo(10 * SECOND);
    expect([now, line, read(C) & 0x90, line]).toEqual([SECOND, true, 0x90, false]);
  });
  test('periodic: 1024 Hz by default', () => {
    write(B, 0x42);
    passTo(SECOND);
    expect(now).toBe(SECOND / 1024);
  });
  test('periodic: rate 0 is none', () => {
    write(A, 0x20);
    write(B, 0x42);
    expect(rtc.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('alarm: at its time', () => {
    write(1, 0x05);
    write(3, 0x01);
    write(5, 0x00);
    write(B, 0x22);
    passTo(HOUR);
    expect([now, read(C) & 0xa0]).toEqual([65 * SECOND, 0xa0]);
  });
  test('alarm: bytes from 0xC0 on match any', () => {
    write(1, 0x30);
    write(3, 0xff);
    write(5, 0xc0);
    write(B, 0x22);
    passTo(HOUR);
    read(C);
    passTo(HOUR);
    expect(now).toBe(90 * SECOND);
  });
});

test('a state can be gone back to', () => {
  write(B, 0x12);
  const before = rtc.capture();
  write(B, 0x02);
  rtc.reinstate(before);
  expect(rtc.deadline).toBe(SECOND);
});
