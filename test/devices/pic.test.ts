/** The 8259A pair against the rules of its data sheet (Intel 231468). */
import { beforeEach, describe, expect, test } from 'vitest';
import { Pics } from '../../emu/devices/pic.js';
import { PortBus } from '../../emu/devices/ports.js';

const MASTER = 0x20;
const SLAVE = 0xa0;
const EOI = 0x20;
const BASE = 0x30;

let pics: Pics;
let bus: PortBus;
const out = (port: number, ...values: number[]): void => {
  for (const value of values) bus.write(port, 1, value);
};
const initialize = (icw4 = 0x01): void => {
  out(MASTER, 0x11);
  out(MASTER + 1, BASE, 0x04, icw4);
  out(SLAVE, 0x11);
  out(SLAVE + 1, BASE + 8, 0x02, 0x01);
};
const raise = (...lines: number[]): void => {
  for (const line of lines) pics.setLine(line, true);
};
const isr = (port = MASTER): number => {
  out(port, 0x0b);
  return bus.read(port, 1);
};
const irr = (port = MASTER): number => {
  out(port, 0x0a);
  return bus.read(port, 1);
};

beforeEach(() => {
  pics = new Pics(() => {});
  bus = new PortBus(pics.devices);
  initialize();
});

describe('initialization', () => {
  test('clears the mask', () => expect(bus.read(MASTER + 1, 1)).toBe(0));
  test('ICW4 is awaited only where ICW1 asks for it', () => {
    out(MASTER, 0x10);
    out(MASTER + 1, 0x40, 0x04, 0xaa); // the third is a mask
    expect(bus.read(MASTER + 1, 1)).toBe(0xaa);
  });
  test('a single controller has no ICW3', () => {
    out(MASTER, 0x13);
    out(MASTER + 1, 0x40, 0x01, 0x55);
    expect(bus.read(MASTER + 1, 1)).toBe(0x55);
  });
  test('the low bits of the vector are the input', () => {
    out(MASTER, 0x11);
    out(MASTER + 1, 0x47, 0x04, 0x01);
    raise(3);
    expect(pics.acknowledge()).toBe(0x43);
  });
});

describe('requests', () => {
  test('an edge is a request until it is acknowledged', () => {
    raise(4);
    expect([pics.intr, irr()]).toEqual([true, 0x10]);
    expect(pics.acknowledge()).toBe(BASE + 4);
    expect([pics.intr, irr(), isr()]).toEqual([false, 0, 0x10]);
  });
  test('a level that stays is no second edge', () => {
    raise(4);
    pics.acknowledge();
    out(MASTER, EOI);
    raise(4);
    expect(pics.intr).toBe(false);
  });
  test('a request that goes before it is acknowledged answers as input 7, and is not in service', () => {
    raise(1);
    pics.setLine(1, false);
    expect([pics.acknowledge(), isr()]).toEqual([BASE + 7, 0]);
  });
  test('a masked request waits', () => {
    out(MASTER + 1, 0x10);
    raise(4);
    expect(pics.intr).toBe(false);
    out(MASTER + 1, 0);
    expect(pics.intr).toBe(true);
  });
  test('a level-triggered input asks again after its end', () => {
    bus.write(0x4d0, 1, 1 << 5);
    raise(5);
    pics.acknowledge();
    expect(pics.intr).toBe(false);
    out(MASTER, EOI);
    expect(pics.intr).toBe(true);
    pics.setLine(5, false);
    expect(pics.intr).toBe(false);
  });
  test('timer, keyboard, cascade, clock and coprocessor cannot be level-triggered', () => {
    bus.write(0x4d0, 1, 0xff);
    bus.write(0x4d1, 1, 0xff);
    expect([bus.read(0x4d0, 1), bus.read(0x4d1, 1)]).toEqual([0xf8, 0xde]);
  });
});

describe('priority', () => {
  test('the lowest number comes first', () => {
    raise(6, 3);
    expect(pics.acknowledge()).toBe(BASE + 3);
  });
  test('what is in service holds back its own and lower priorities only', () => {
    raise(3);
    pics.acknowledge();
    raise(4);
    expect(pics.intr).toBe(false);
    raise(1);
    expect(pics.acknowledge()).toBe(BASE + 1);
  });
  test('EOI ends the most urgent one', () => {
    raise(3);
    pics.acknowledge();
    raise(1);
    pics.acknowledge();
    out(MASTER, EOI);
    expect(isr()).toBe(1 << 3);
  });
  test('a specific EOI ends the one that it names', () => {
    raise(3);
    pics.acknowledge();
    raise(1);
    pics.acknowledge();
    out(MASTER, 0x60 | 3);
    expect(isr()).toBe(1 << 1);
  });
  test('rotation on EOI makes the one just ended the lowest', () => {
    raise(3);
    pics.acknowledge();
    out(MASTER, 0xa0);
    pics.setLine(3, false);
    raise(3, 4);
    expect(pics.acknowledge()).toBe(BASE + 4);
  });
  test('set priority', () => {
    out(MASTER, 0xc0 | 5); // 5 is the lowest, so 6 the highest
    raise(0, 6);
    expect(pics.acknowledge()).toBe(BASE + 6);
  });
  test('special mask: what is masked while in service holds back nothing', () => {
    raise(1);
    pics.acknowledge();
    raise(4);
    out(MASTER + 1, 1 << 1);
    expect(pics.intr).toBe(false);
    out(MASTER, 0x68);
    expect(pics.intr).toBe(true);
  });
  test('automatic EOI leaves nothing in service', () => {
    initialize(0x03);
    raise(3);
    pics.acknowledge();
    expect(isr()).toBe(0);
  });
});

describe('two controllers', () => {
  test("the second one's requests come through input 2 with its own vector", () => {
    raise(12);
    expect(pics.acknowledge()).toBe(BASE + 12);
    expect([isr(), isr(SLAVE)]).toEqual([1 << 2, 1 << 4]);
  });
  test('both must be ended', () => {
    raise(12);
    pics.acknowledge();
    out(SLAVE, EOI);
    raise(13);
    expect(pics.intr).toBe(false);
    out(MASTER, EOI);
    expect(pics.acknowledge()).toBe(BASE + 13);
  });
  test.each([
    ['fully nested: a more urgent one of the second waits', 0x01, false],
    ['special fully nested: it does not', 0x11, true],
  ])('%s', (_name, icw4, expected) => {
    initialize(icw4);
    raise(12);
    pics.acknowledge();
    raise(9);
    expect(pics.intr).toBe(expected);
  });
  test('what has gone at the second answers as its input 7', () => {
    raise(12);
    pics.setLine(12, false);
    expect(pics.intr).toBe(false);
    expect(pics.acknowledge()).toBe(BASE + 7);
  });
});

test('a poll acknowledges', () => {
  raise(4);
  out(MASTER, 0x0c);
  expect([bus.read(MASTER, 1), isr()]).toEqual([0x84, 0x10]);
  out(MASTER, 0x0c);
  expect(bus.read(MASTER, 1)).toBe(0);
});

test('a state can be gone back to', () => {
  raise(4, 12);
  const before = pics.capture();
  pics.acknowledge();
  pics.reinstate(before);
  expect([pics.intr, irr(), isr()]).toEqual([true, 0x14, 0]);
});
