/** The ports of QEMU's test device for PCs (QEMU, hw/misc/pc-testdev.c). */
import { expect, test } from 'vitest';
import { PortBus } from '../../emu/devices/ports.js';
import { TestDevice } from '../../emu/devices/test-device.js';

function bench() {
  const lines: [number, boolean][] = [];
  const device = new TestDevice((line, level) => lines.push([line, level]));
  return { lines, device, bus: new PortBus(device.devices) };
}

test.each([0xe0, 0xe8])('port 0x%s: what is written in any size is read in any', (port) => {
  const { bus } = bench();
  bus.write(port, 4, 0x8765_4321);
  bus.write(port + 2, 1, 0xab);
  expect([bus.read(port, 4), bus.read(port + 2, 2), bus.read(port + 1, 1)]).toEqual([
    0x87ab_4321, 0x87ab, 0x43,
  ]);
});

test('a port sets its interrupt line', () => {
  const { bus, lines } = bench();
  bus.write(0x2000, 1, 1);
  bus.write(0x2017, 1, 0x80);
  bus.write(0x2000, 1, 0);
  expect(lines).toEqual([[0, true], [23, true], [0, false]]); // biome-ignore format: a line
});

test('a page is flushed in silence', () => {
  const { bus } = bench();
  bus.write(0xe4, 4, 0x1000);
  expect(bus.read(0xe0, 4)).toBe(0);
});

test('a snapshot holds what was written', () => {
  const { bus, device } = bench();
  bus.write(0xe0, 2, 0x1234);
  const state = device.capture();
  bus.write(0xe0, 2, 0x5678);
  device.reinstate(state);
  expect(bus.read(0xe0, 2)).toBe(0x1234);
});
