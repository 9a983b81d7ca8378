/** The keyboard controller (IBM PC/AT Technical Reference; Intel 8042), with nothing behind it. */
import { beforeEach, describe, expect, test } from 'vitest';
import { KeyboardController } from '../../emu/devices/keyboard-controller.js';
import { PortBus } from '../../emu/devices/ports.js';

let seen: { resets: number; line: boolean };
let controller: KeyboardController;
let bus: PortBus;
beforeEach(() => {
  seen = { resets: 0, line: false };
  controller = new KeyboardController({
    reset: () => seen.resets++,
    interrupt: (level) => {
      seen.line = level;
    },
  });
  bus = new PortBus(controller.devices);
});

const FULL = 1;
const TIMEOUT = 0x40;
const command = (byte: number, ...data: number[]): void => {
  bus.write(0x64, 1, byte);
  for (const each of data) bus.write(0x60, 1, each);
};
const status = (): number => bus.read(0x64, 1);

test('nothing waits, and it takes what comes', () => {
  expect(status() & 3).toBe(0);
});

test.each<[string, number, number]>([
  ['read the command byte', 0x20, 0x65],
  ['test itself', 0xaa, 0x55],
  ["test the keyboard's line", 0xab, 0x00],
  ["test the mouse's line: there is none", 0xa9, 0xff],
  ['read the input port: not locked', 0xc0, 0x80],
  ['read the output port: no reset, A20 open', 0xd0, 0xc3],
  ['read the test inputs', 0xe0, 0x00],
])('%s', (_name, byte, answer) => {
  command(byte);
  expect([status() & FULL, bus.read(0x60, 1), status() & FULL]).toEqual([1, answer, 0]);
});

test('the command byte is read as it was written', () => {
  command(0x60, 0x34);
  command(0x20);
  expect(bus.read(0x60, 1)).toBe(0x34);
});

test.each([
  ['off', 0xad, 0x10],
  ['on', 0xae, 0x00],
])('the keyboard is switched %s in it', (_name, byte, bit) => {
  command(byte);
  command(0x20);
  expect(bus.read(0x60, 1) & 0x10).toBe(bit);
});

test('a byte that waits interrupts if the command byte says so', () => {
  command(0x60, 0x44);
  command(0xaa);
  expect(seen.line).toBe(false);
  command(0x60, 0x45);
  expect(seen.line).toBe(true);
  bus.read(0x60, 1);
  expect(seen.line).toBe(false);
});

test('status tells whether the last byte was a command', () => {
  command(0xd4);
  expect(status() & 8).toBe(8);
  bus.write(0x60, 1, 0xf2);
  expect(status() & 8).toBe(0);
});

describe('without a keyboard or a mouse', () => {
  test.each<[string, () => void]>([
    ['a byte for the keyboard', () => bus.write(0x60, 1, 0xed)],
    ['a byte for the mouse', () => command(0xd4, 0xf2)],
  ])('%s is not answered', (_name, send) => {
    send();
    expect([status() & (FULL | TIMEOUT), bus.read(0x60, 1)]).toEqual([FULL | TIMEOUT, 0xfe]);
    expect(status() & (FULL | TIMEOUT)).toBe(0);
  });
  test('a byte can be made to come from the keyboard, and none from the mouse', () => {
    command(0xd3, 0x5a);
    expect(status() & FULL).toBe(0);
    command(0xd2, 0x5a);
    expect(bus.read(0x60, 1)).toBe(0x5a);
  });
});

describe('reset', () => {
  test.each<[string, number[], number]>([
    ['a pulse of line 0', [0xfe], 1],
    ['a pulse of all lines', [0xf0], 1],
    ['a pulse of another', [0xfd], 0],
    ['a pulse of none', [0xff], 0],
    ['the output port with bit 0 clear', [0xd1, 0xfe], 1],
    ['with bit 0 set', [0xd1, 0xdf], 0],
  ])('%s', (_name, [byte, ...data], resets) => {
    command(byte!, ...data);
    expect(seen.resets).toBe(resets);
  });
});

test('a snapshot holds a byte that waits, and a command that waits for its own', () => {
  command(0xaa);
  command(0xd1);
  const state = controller.capture();
  bus.read(0x60, 1);
  bus.write(0x60, 1, 1);
  controller.reinstate(state);
  expect(bus.read(0x60, 1)).toBe(0x55);
  bus.write(0x60, 1, 0);
  expect(seen.resets).toBe(1);
});
