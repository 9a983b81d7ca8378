/** PCI configuration, ACPI's tables, the debug console, and the 16550's interrupts, as ports and bytes. */
import { describe, expect, test } from 'vitest';
import { acpiTables, RSDP_ADDRESS } from '../../emu/devices/acpi-tables.js';
import { devicesOf } from '../../emu/devices/optional.js';
import { PciConfiguration } from '../../emu/devices/pci.js';
import { PortBus } from '../../emu/devices/ports.js';
import { Uart } from '../../emu/devices/uart.js';

describe('PCI configuration (PCI 3.0, 3.2.2.3.2)', () => {
  const bus = new PortBus([new PciConfiguration()]);
  const at = (address: number): void => bus.write(0xcf8, 4, address);
  test('the address register is a double word', () => {
    at(0x8000_0008);
    bus.write(0xcf8, 1, 0x55);
    expect(bus.read(0xcf8, 4)).toBe(0x8000_0008);
  });
  test.each([
    ['vendor and device', 0x8000_0000, 0xcfc, 4, 0x1237_8086],
    ['device', 0x8000_0000, 0xcfe, 2, 0x1237],
    ['class', 0x8000_0008, 0xcff, 1, 0x06],
    ['header type', 0x8000_000c, 0xcfe, 1, 0],
    ['no device', 0x8000_0800, 0xcfc, 4, 0xffff_ffff],
    ['no function', 0x8000_0100, 0xcfc, 2, 0xffff],
    ['no bus', 0x8001_0000, 0xcfc, 4, 0xffff_ffff],
    ['not enabled', 0x0000_0000, 0xcfc, 4, 0xffff_ffff],
  ])('%s', (_name, address, port, size, expected) => {
    at(address);
    expect(bus.read(port, size)).toBe(expected);
  });
});

describe('ACPI tables (ACPI 6.5, 5.2)', () => {
  const block = acpiTables(3, devicesOf('pc'));
  const sum = (at: number, length: number): number =>
    block.subarray(at, at + length).reduce((total, byte) => total + byte, 0) & 0xff;
  /** Signature and body of the table at a physical address. */
  const tableAt = (address: number): { signature: string; bytes: Buffer } => {
    const at = address - RSDP_ADDRESS;
    const length = block.readUInt32LE(at + 4);
    expect(sum(at, length)).toBe(0);
    return { signature: block.toString('latin1', at, at + 4), bytes: block.subarray(at, at + length) };
  };
  const { bytes: xsdt } = tableAt(Number(block.readBigUInt64LE(24)));
  const roots = [36, 44, 52].map((at) => Number(xsdt.readBigUInt64LE(at)));

  test('the RSDP has both checksums', () => {
    expect([block.toString('latin1', 0, 8), sum(0, 20), sum(0, 36)]).toEqual(['RSD PTR ', 0, 0]);
  });
  test('RSDT and XSDT name the same tables', () => {
    const { bytes: rsdt } = tableAt(block.readUInt32LE(16));
    expect([36, 40, 44].map((at) => rsdt.readUInt32LE(at))).toEqual(roots);
    expect(roots.map((address) => tableAt(address).signature)).toEqual(['FACP', 'APIC', 'HPET']);
  });
  test('the FADT names FACS, DSDT and the registers', () => {
    const { bytes } = tableAt(roots[0]!);
    expect([56, 64, 76].map((at) => bytes.readUInt32LE(at))).toEqual([0x600, 0x604, 0x608]);
    expect([148, 172, 208, 116].map((at) => bytes.readBigUInt64LE(at + 4))).toEqual([
      0x600n,
      0x604n,
      0x608n,
      0xcf9n,
    ]);
    expect(bytes.readUInt32LE(36) % 64).toBe(0);
    expect(tableAt(bytes.readUInt32LE(40)).signature).toBe('DSDT');
    expect(Number(bytes.readBigUInt64LE(140))).toBe(bytes.readUInt32LE(40));
  });
  test('the HPET is where its table says', () => {
    const { bytes } = tableAt(roots[2]!);
    expect([bytes.length, bytes.readUInt32LE(36), bytes.readBigUInt64LE(44)]).toEqual([
      56,
      0x8086_a201,
      0xfed0_0000n,
    ]);
  });
  test('the MADT has a local APIC for each CPU', () => {
    const { bytes } = tableAt(roots[1]!);
    const entries: string[] = [];
    for (let at = 44; at < bytes.length; at += bytes[at + 1]!)
      entries.push(bytes.subarray(at, at + bytes[at + 1]!).toString('hex'));
    expect(entries).toEqual([
      '0008000001000000',
      '0008010101000000',
      '0008020201000000',
      '010c03000000c0fe00000000',
      '020a0000020000000000',
      '020a0009090000000d00',
      '0406ff000001',
    ]);
  });
});

describe("the 16550's interrupts (PC16550D, table III)", () => {
  function bench() {
    const sent: number[] = [];
    const line = { level: false };
    const uart = new Uart(0x3f8, (byte) => sent.push(byte), {
      interrupt: (level) => {
        line.level = level;
      },
      waitsForRts: true,
    });
    const OUT2_RTS = 0x0a;
    uart.write(4, OUT2_RTS);
    return { uart, line, sent };
  }
  test('received data, until it is read', () => {
    const { uart, line } = bench();
    uart.write(1, 1);
    uart.receive(Uint8Array.of(0x41));
    expect([line.level, uart.read(2)]).toEqual([true, 0x04]);
    expect([uart.read(0), line.level, uart.read(2)]).toEqual([0x41, false, 0x01]);
  });
  test('holding register empty: raised by enabling it, ended by reading it, raised by sending', () => {
    const { uart, line, sent } = bench();
    uart.write(1, 2);
    expect(line.level).toBe(true);
    expect([uart.read(2), line.level]).toEqual([0x02, false]);
    uart.write(0, 0x42);
    expect([line.level, sent]).toEqual([true, [0x42]]);
  });
  test('received data comes first', () => {
    const { uart } = bench();
    uart.write(1, 3);
    uart.receive(Uint8Array.of(1));
    expect([uart.read(2), uart.read(0), uart.read(2)]).toEqual([0x04, 1, 0x02]);
  });
  test('OUT2 is the gate of its line', () => {
    const { uart, line } = bench();
    uart.write(4, 0x02);
    uart.write(1, 2);
    expect(line.level).toBe(false);
    uart.write(4, 0x0a);
    expect(line.level).toBe(true);
  });
  test('who sends to it waits for RTS', () => {
    const { uart } = bench();
    uart.write(4, 0x08);
    uart.receive(Uint8Array.of(1));
    expect([uart.read(5) & 1, uart.read(0)]).toEqual([0, 0]);
    uart.write(4, 0x0a);
    expect([uart.read(5) & 1, uart.read(0)]).toEqual([1, 1]);
  });
  test('or for a guest that looks for it over and over and does nothing else', () => {
    const { uart } = bench();
    uart.write(4, 0x08);
    uart.receive(Uint8Array.of(1));
    const looks = (times: number): number =>
      Array.from({ length: times }, () => uart.read(5) & 1).reduce((seen, bit) => seen + bit);
    for (let sent = 0; sent < 100; sent++) {
      expect(looks(3)).toBe(0); // this one waits for the transmitter
      uart.write(0, 0x41);
    }
    expect(looks(15)).toBe(0);
    const before = uart.capture();
    expect(looks(1)).toBe(1);
    expect(uart.read(0)).toBe(1);
    uart.receive(Uint8Array.of(2));
    expect([uart.read(5) & 1, uart.read(0)]).toEqual([1, 2]);
    uart.reinstate(before);
    expect([uart.read(0), looks(16)]).toEqual([0, 1]);
  });
  test.each([
    [0x11, 0x20],
    [0x12, 0x10],
    [0x14, 0x40],
    [0x18, 0x80],
    [0x1a, 0x90],
  ])('in loopback, modem control 0x%s reads as status', (control, status) => {
    const { uart } = bench();
    uart.write(4, control);
    expect(uart.read(6) & 0xf0).toBe(status);
  });
});
