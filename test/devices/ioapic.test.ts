/** The I/O APIC against the rules of its data sheet (Intel 82093AA). */
import { beforeEach, describe, expect, test } from 'vitest';
import { IoApic, type IoInterrupt } from '../../emu/devices/ioapic.js';

const MASKED = 1 << 16;
const LEVEL = 1 << 15;
const REMOTE_IRR = 1 << 14;
const LOGICAL = 1 << 11;

let sent: IoInterrupt[];
let ioApic: IoApic;
const read = (index: number): number => {
  ioApic.write(0, index);
  return ioApic.read(0x10);
};
const write = (index: number, value: number): void => {
  ioApic.write(0, index);
  ioApic.write(0x10, value);
};
const entry = (input: number, low: number, high = 0): void => {
  write(0x11 + 2 * input, high);
  write(0x10 + 2 * input, low);
};

beforeEach(() => {
  sent = [];
  ioApic = new IoApic((interrupt) => sent.push(interrupt));
});

test('24 inputs, version 0x11, all masked', () => {
  expect(read(1)).toBe(0x0017_0011);
  expect(Array.from({ length: 24 }, (_, input) => read(0x10 + 2 * input))).toEqual(Array(24).fill(MASKED));
});
test('the ID has four bits', () => {
  write(0, 0xffff_ffff);
  expect([read(0), read(2)]).toEqual([0x0f00_0000, 0x0f00_0000]);
});
test('delivery status and remote IRR cannot be written', () => {
  entry(3, 0xffff_ffff);
  expect(read(0x16)).toBe(0x1_afff);
});

describe('edges', () => {
  test('one interrupt for each rise', () => {
    entry(4, 0x41, 0x0200_0000);
    ioApic.setLine(4, true);
    ioApic.setLine(4, true);
    expect(sent).toEqual([{ mode: 'fixed', vector: 0x41, isLevel: false, destination: { physical: 2 } }]);
    ioApic.setLine(4, false);
    ioApic.setLine(4, true);
    expect(sent.length).toBe(2);
  });
  test('one that comes while the entry is masked is lost', () => {
    entry(4, 0x41 | MASKED);
    ioApic.setLine(4, true);
    entry(4, 0x41);
    expect(sent).toEqual([]);
  });
  test.each([
    [0, 'fixed'],
    [1, 'lowest'],
    [4, 'nmi'],
    [5, 'init'],
  ])('delivery mode %i is %s', (code, mode) => {
    entry(4, 0x41 | (code << 8) | LOGICAL, 0x0300_0000);
    ioApic.setLine(4, true);
    expect(sent[0]).toMatchObject({ mode, destination: { logical: 3 } });
  });
  test.each([2, 3, 6, 7])('delivery mode %i leads nowhere', (code) => {
    entry(4, 0x41 | (code << 8));
    ioApic.setLine(4, true);
    expect(sent).toEqual([]);
  });
});

describe('levels', () => {
  test('one interrupt until its end, then another while the line is up', () => {
    entry(9, 0x51 | LEVEL);
    ioApic.setLine(9, true);
    expect([sent.length, read(0x22) & REMOTE_IRR]).toEqual([1, REMOTE_IRR]);
    ioApic.endOfInterrupt(0x51);
    expect(sent.length).toBe(2);
    ioApic.setLine(9, false);
    ioApic.endOfInterrupt(0x51);
    expect([sent.length, read(0x22) & REMOTE_IRR]).toEqual([2, 0]);
  });
  test('the end of another vector changes nothing', () => {
    entry(9, 0x51 | LEVEL);
    ioApic.setLine(9, true);
    ioApic.endOfInterrupt(0x52);
    expect(sent.length).toBe(1);
  });
  test('one that comes while the entry is masked waits', () => {
    entry(9, 0x51 | LEVEL | MASKED);
    ioApic.setLine(9, true);
    entry(9, 0x51 | LEVEL);
    expect(sent.length).toBe(1);
  });
});

test('a state can be gone back to', () => {
  entry(9, 0x51 | LEVEL);
  const before = ioApic.capture();
  entry(9, MASKED);
  ioApic.reinstate(before);
  ioApic.setLine(9, true);
  expect(sent.length).toBe(1);
});
