/** The high precision event timer (IA-PC HPET Specification 1.0a): registers, the counter, comparators, routes. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Hpet } from '../../emu/devices/hpet.js';

const CONFIG = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const timer = (index: number): number => 0x100 + 0x20 * index;
const comparator = (index: number): number => timer(index) + 8;
const ENABLE = 1;
const LEGACY = 2;
const T = { level: 2, interrupts: 4, periodic: 8, setValue: 0x40, narrow: 0x100, route: (input: number) => input << 9 } as const; // biome-ignore format: a table

let time: number;
let lines: string[];
let hpet: Hpet;
beforeEach(() => {
  time = 0;
  lines = [];
  hpet = new Hpet({
    now: () => time,
    line: (line, isLegacy, level) =>
      lines.push(`${isLegacy ? 'isa' : 'input'} ${line} ${level ? 'up' : 'down'}`),
    changed: () => {},
  });
});
const passTo = (now: number): void => {
  time = now;
  hpet.advance(now);
};
const PULSE = (line: string): string[] => [`${line} down`, `${line} up`];

describe('registers', () => {
  test.each([
    ['capabilities: Intel, legacy routes, 64 bits, three comparators, revision 1', 0x000, 0x8086_a201],
    ['a tick: ten million femtoseconds', 0x004, 10_000_000],
    ['configuration', CONFIG, 0],
    ['status', STATUS, 0],
    ['counter', COUNTER, 0],
    ['a comparator can repeat and has 64 bits', timer(2), 0x30],
    ['it can be led to inputs 20 to 23', timer(2) + 4, 0x00f0_0000],
    ['what it compares with', comparator(2), 0xffff_ffff],
    ['no messages', timer(2) + 0x10, 0],
    ['no fourth comparator', timer(3), 0],
    ['nothing', 0x38, 0],
  ])('%s', (_name, offset, value) => {
    expect(hpet.read(offset)).toBe(value);
  });

  test('a comparator keeps the bits that can be set', () => {
    hpet.write(timer(0), 0xffff_ffff);
    expect(hpet.read(timer(0))).toBe(0x3f7e);
  });
});

describe('the counter', () => {
  test('counts every ten nanoseconds while it is enabled', () => {
    time = 1000;
    expect(hpet.read(COUNTER)).toBe(0);
    hpet.write(CONFIG, ENABLE);
    time = 1095;
    expect(hpet.read(COUNTER)).toBe(9);
    hpet.write(CONFIG, 0);
    time = 5000;
    expect(hpet.read(COUNTER)).toBe(9);
  });
  test('is set while it is halted, and not while it runs', () => {
    hpet.write(COUNTER, 0xffff_fffe);
    hpet.write(COUNTER + 4, 7);
    hpet.write(CONFIG, ENABLE);
    hpet.write(COUNTER, 5);
    time = 30;
    expect([hpet.read(COUNTER), hpet.read(COUNTER + 4)]).toEqual([1, 8]);
  });
});

describe('a comparator', () => {
  test('interrupts once when the counter meets it, by the input that it is led to', () => {
    hpet.write(timer(0), T.interrupts | T.route(21));
    hpet.write(comparator(0), 100);
    hpet.write(comparator(0) + 4, 0);
    hpet.write(CONFIG, ENABLE);
    expect(hpet.deadline).toBe(1000);
    passTo(999);
    expect(lines).toEqual([]);
    passTo(1000);
    expect(lines).toEqual(PULSE('input 21'));
    expect(hpet.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('does nothing while its interrupt is off, or the counter', () => {
    hpet.write(comparator(0), 100);
    hpet.write(comparator(0) + 4, 0);
    hpet.write(timer(0), T.route(21));
    hpet.write(CONFIG, ENABLE);
    passTo(2000);
    expect([lines, hpet.deadline]).toEqual([[], Number.POSITIVE_INFINITY]);
    hpet.write(CONFIG, 0);
    hpet.write(timer(0), T.interrupts | T.route(21));
    expect(hpet.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('of 32 bits is met again when the lower half of the counter is', () => {
    hpet.write(timer(0), T.interrupts | T.narrow | T.route(21));
    hpet.write(comparator(0), 100);
    hpet.write(COUNTER, 101);
    hpet.write(CONFIG, ENABLE);
    expect(hpet.deadline).toBe((2 ** 32 - 1) * 10);
  });
  test('led nowhere interrupts nobody', () => {
    hpet.write(timer(0), T.interrupts | T.narrow | T.route(5));
    hpet.write(comparator(0), 1);
    hpet.write(CONFIG, ENABLE);
    passTo(10);
    expect(lines).toEqual([]);
  });
});

describe('a periodic one', () => {
  /** The first time at 50 ticks, then every 30. */
  const start = (config: number): void => {
    hpet.write(timer(0), T.interrupts | T.periodic | T.setValue | T.route(20) | config);
    hpet.write(comparator(0), 50);
    if ((config & T.narrow) === 0) hpet.write(comparator(0) + 4, 0);
    hpet.write(comparator(0), 30);
    if ((config & T.narrow) === 0) hpet.write(comparator(0) + 4, 0);
    hpet.write(CONFIG, ENABLE);
  };
  test.each([
    ['32', T.narrow],
    ['64', 0],
  ])('of %s bits goes on, also when it is looked at late', (_name, config) => {
    start(config);
    const deadlines: number[] = [];
    for (let count = 0; count < 3; count++) {
      deadlines.push(hpet.deadline);
      passTo(hpet.deadline);
    }
    expect(deadlines).toEqual([500, 800, 1100]);
    expect(lines).toEqual([...PULSE('input 20'), ...PULSE('input 20'), ...PULSE('input 20')]);
    passTo(1500);
    expect([hpet.deadline, hpet.read(comparator(0))]).toEqual([1700, 170]);
  });
  test('a write without asking for it changes the period alone', () => {
    start(T.narrow);
    hpet.write(comparator(0), 10);
    passTo(500);
    expect(hpet.deadline).toBe(600);
  });
});

describe('a level', () => {
  const start = (): void => {
    hpet.write(timer(1), T.interrupts | T.level | T.narrow | T.route(22));
    hpet.write(comparator(1), 10);
    hpet.write(CONFIG, ENABLE);
    passTo(100);
  };
  test('stands until its status is cleared by a one', () => {
    start();
    expect([lines, hpet.read(STATUS)]).toEqual([['input 22 up'], 2]);
    hpet.write(STATUS, 1);
    expect(hpet.read(STATUS)).toBe(2);
    hpet.write(STATUS, 2);
    expect([lines, hpet.read(STATUS)]).toEqual([['input 22 up', 'input 22 down'], 0]);
  });
  test('goes down when the interrupt is switched off', () => {
    start();
    hpet.write(timer(1), T.level | T.narrow | T.route(22));
    expect(lines).toEqual(['input 22 up', 'input 22 down']);
  });
});

describe('legacy routing', () => {
  test.each([
    [0, 'isa 0'],
    [1, 'isa 8'],
    [2, 'input 23'],
  ])('comparator %i leads to %s', (index, line) => {
    hpet.write(timer(index), T.interrupts | T.narrow | T.route(23));
    hpet.write(comparator(index), 10);
    hpet.write(CONFIG, ENABLE | LEGACY);
    passTo(100);
    expect([hpet.isLegacy, lines]).toEqual([true, PULSE(line)]);
  });
});

test('a snapshot holds counter, comparators and what stands', () => {
  hpet.write(timer(0), T.interrupts | T.periodic | T.setValue | T.narrow | T.route(20));
  hpet.write(comparator(0), 50);
  hpet.write(comparator(0), 30);
  hpet.write(CONFIG, ENABLE);
  passTo(600);
  const state = hpet.capture();
  hpet.write(CONFIG, 0);
  hpet.write(timer(0), 0);
  hpet.reinstate(state);
  time = 700;
  expect([hpet.deadline, hpet.read(COUNTER), hpet.read(comparator(0))]).toEqual([800, 70, 80]);
});
