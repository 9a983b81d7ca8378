/** QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg). */
import { describe, expect, test } from 'vitest';
import { FwCfg } from '../../emu/devices/fw-cfg.js';
import { PortBus } from '../../emu/devices/ports.js';

const device = new FwCfg({
  ram: 0x1_2345_6000,
  cpus: 3,
  memoryMap: [
    { start: 0, end: 0x9_fc00, type: 1 },
    { start: 0x9_fc00, end: 0x10_0000, type: 2 },
  ],
});
const bus = new PortBus([device]);
const item = (key: number, length: number): Buffer => {
  bus.write(0x510, 2, key);
  return Buffer.from(Array.from({ length }, () => bus.read(0x511, 1)));
};

test.each([
  ['signature', 0x00, 'QEMU'],
  ['id: without DMA', 0x01, '\x01\0\0\0'],
  ['RAM', 0x03, '\0\x60\x45\x23\x01\0\0\0'],
  ['no screen', 0x04, '\x01\0'],
  ['CPUs', 0x05, '\x03\0'],
  ['CPUs at most', 0x0f, '\x03\0'],
  ['an item that is not there', 0x07, '\0\0\0\0'],
])('%s', (_name, key, bytes) => {
  expect(item(key, bytes.length).toString('latin1')).toBe(bytes);
});

test('zeros follow an item, and a selection begins anew', () => {
  expect(item(0, 6).toString('latin1')).toBe('QEMU\0\0');
  expect(item(0x4000, 4).toString('latin1')).toBe('QEMU'); // as does one for writing
});

test('only a word selects, and only a byte is read', () => {
  item(0, 1);
  bus.write(0x510, 1, 5);
  expect(bus.read(0x511, 2)).toBe(0xffff);
  expect(bus.read(0x511, 1)).toBe('E'.charCodeAt(0));
});

test('it is written in vain', () => {
  bus.write(0x510, 2, 0);
  bus.write(0x511, 1, 0x55);
  expect(item(0, 1).toString()).toBe('Q');
});

describe('the directory', () => {
  const directory = item(0x19, 4 + 64);
  test('names one file', () => {
    expect(directory.readUInt32BE(0)).toBe(1);
    expect(directory.toString('latin1', 12, 12 + 9)).toBe('etc/e820\0');
  });
  test('the file is the memory map', () => {
    const [size, key] = [directory.readUInt32BE(4), directory.readUInt16BE(8)];
    const file = item(key, size);
    const entries = Array.from({ length: size / 20 }, (_, index) => [
      file.readBigUInt64LE(20 * index),
      file.readBigUInt64LE(20 * index + 8),
      file.readUInt32LE(20 * index + 16),
    ]);
    expect(entries).toEqual([
      [0n, 0x9_fc00n, 1],
      [0x9_fc00n, 0x6_0400n, 2],
    ]);
  });
});

test('a snapshot holds the place', () => {
  item(0, 2);
  const state = device.capture();
  item(5, 1);
  device.reinstate(state);
  expect(bus.read(0x511, 1)).toBe('M'.charCodeAt(0));
});
