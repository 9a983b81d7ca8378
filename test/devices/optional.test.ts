/** Which machine can have which device, and ACPI's tables, in which what is not there is not named. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { acpiTables, RSDP_ADDRESS } from '../../emu/devices/acpi-tables.js';
import {
  changedDevices,
  type DeviceName,
  deviceProblem,
  devicesOf,
  possibleDevices,
} from '../../emu/devices/optional.js';
import type { MachineKind } from '../../emu/machine.js';

const ALL = ['hpet', 'i8042', 'rtc', 'fw_cfg', 'isa-debugcon', 'pc-testdev'] as const;

describe('the devices of', () => {
  test.each([
    ['a pc', 'pc', {}, ALL],
    ['a pc without one', 'pc', { i8042: false }, ALL.filter((name) => name !== 'i8042')],
    ['a pc with what it has anyway', 'pc', { rtc: true }, ALL],
    ['a microvm', 'microvm', {}, []],
    ['a microvm without what it does not have anyway', 'microvm', { fw_cfg: false }, []],
    ['a microvm with two', 'microvm', { 'pc-testdev': true, fw_cfg: true }, ['fw_cfg', 'pc-testdev']],
  ] as const)('%s', (_name, kind, switches, expected) => {
    expect([...devicesOf(kind, switches)]).toEqual(expected);
  });

  test.each([
    ['pc', { hpet: true, 'pc-testdev': false, i8042: false }, { i8042: false, 'pc-testdev': false }],
    ['pc', { hpet: true }, undefined],
    ['microvm', { 'isa-debugcon': true, fw_cfg: false }, { 'isa-debugcon': true }],
  ] as const)(
    '%s: of %j only %j changes anything, in the order of its devices',
    (kind, switches, expected) => {
      expect(JSON.stringify(changedDevices(kind, switches))).toBe(JSON.stringify(expected));
    },
  );
});

test.each([
  ['pc', 'vga', 'a pc can have (hpet, i8042, rtc, fw_cfg, isa-debugcon, pc-testdev), found "vga"'],
  ['pc', 'toString', 'a pc can have (hpet, i8042, rtc, fw_cfg, isa-debugcon, pc-testdev), found "toString"'],
  [
    'microvm',
    'hpet',
    'a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "hpet", which only a pc has',
  ],
  [
    'microvm',
    'rtc',
    'a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "rtc", which only a pc has',
  ],
  ['microvm', 'HPET', 'a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "HPET"'],
] as const)('a %s cannot have %s, and the sentence says what it can have', (kind, name, rest) => {
  expect(deviceProblem(kind, ['fw_cfg', name])).toBe(`expected a device that ${rest}`);
  expect(() => devicesOf(kind, { [name]: false })).toThrow(new RangeError(`expected a device that ${rest}`));
});

test('docs/devices.md has them in its table', () => {
  const text = readFileSync('docs/devices.md', 'utf8');
  const table = text.slice(text.indexOf('\n| `--device` |')).trimStart().split('\n\n')[0]!;
  const rows = table.split('\n').slice(2);
  const stateOf = (kind: MachineKind, name: string): string => {
    if (!possibleDevices(kind).includes(name)) return '–';
    return (devicesOf(kind) as ReadonlySet<string>).has(name) ? 'on' : 'off';
  };
  expect(rows.map((row) => row.split(' | ').slice(0, 3).join(' '))).toEqual(
    ALL.map((name) => `| \`${name}\` ${stateOf('microvm', name)} ${stateOf('pc', name)}`),
  );
});

describe('ACPI tables (ACPI 6.5, 5.2) of a pc without', () => {
  const bodies = (...without: DeviceName[]): Map<string, Buffer> => {
    const block = acpiTables(1, new Set(ALL.filter((name) => !without.includes(name))));
    const tableAt = (address: number): Buffer => {
      const at = address - RSDP_ADDRESS;
      const bytes = block.subarray(at, at + block.readUInt32LE(at + 4));
      expect(bytes.reduce((sum, byte) => sum + byte, 0) & 0xff, 'checksum').toBe(0);
      return bytes;
    };
    const xsdt = tableAt(Number(block.readBigUInt64LE(24)));
    const roots = Array.from({ length: (xsdt.length - 36) / 8 }, (_, index) =>
      tableAt(Number(xsdt.readBigUInt64LE(36 + 8 * index))),
    );
    const tables = [...roots, tableAt(roots[0]!.readUInt32LE(40))];
    return new Map(tables.map((bytes) => [bytes.toString('latin1', 0, 4), bytes]));
  };
  /** IAPC_BOOT_ARCH (table 5.11): ISA devices, 8042, no VGA, no CMOS clock. */
  const bootArchitecture = (tables: Map<string, Buffer>): number => tables.get('FACP')!.readUInt16LE(109);
  /** What the DSDT names; QEMU's device by a string, the others by an EISA id. */
  const named = (tables: Map<string, Buffer>): string[] => {
    const dsdt = tables.get('DSDT')!.toString('latin1');
    return ['PCI0', 'COM1', 'KBD_', 'FWCF', 'RTC_'].filter((name) => dsdt.includes(name));
  };

  test.each<[DeviceName, string, number, number, string]>([
    ['hpet', 'FACP APIC DSDT', 0b000111, 0x32, 'PCI0 COM1 KBD_ FWCF RTC_'],
    ['i8042', 'FACP APIC HPET DSDT', 0b000101, 0x32, 'PCI0 COM1 FWCF RTC_'],
    ['rtc', 'FACP APIC HPET DSDT', 0b100111, 0x00, 'PCI0 COM1 KBD_ FWCF'],
    ['fw_cfg', 'FACP APIC HPET DSDT', 0b000111, 0x32, 'PCI0 COM1 KBD_ RTC_'],
    ['isa-debugcon', 'FACP APIC HPET DSDT', 0b000111, 0x32, 'PCI0 COM1 KBD_ FWCF RTC_'],
    ['pc-testdev', 'FACP APIC HPET DSDT', 0b000111, 0x32, 'PCI0 COM1 KBD_ FWCF RTC_'],
  ])('%s', (name, tables, boot, century, devices) => {
    const found = bodies(name);
    expect([...found.keys()].join(' ')).toBe(tables);
    expect([bootArchitecture(found), found.get('FACP')![108]]).toEqual([boot, century]);
    expect(named(found).join(' ')).toBe(devices);
  });

  test('all of them', () => {
    const found = bodies(...ALL);
    expect([...found.keys()]).toEqual(['FACP', 'APIC', 'DSDT']);
    expect([bootArchitecture(found), named(found)]).toEqual([0b100101, ['PCI0', 'COM1']]);
  });
});
