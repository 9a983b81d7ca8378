/**
 * The ACPI tables of the PC (ACPI 6.5, chapter 5 "ACPI Software Programming Model"): RSDP, RSDT and XSDT, FADT with FACS and DSDT,
 * the MADT that names the CPUs and the I/O APIC, and the HPET's where there is one. They lie where firmware has them, below 1 MiB, where guests search for the
 * RSDP on 16-byte boundaries (5.2.5.1).
 */
import {
  PM_TIMER,
  PM_TIMER_LENGTH,
  PM1_CONTROL,
  PM1_CONTROL_LENGTH,
  PM1_EVENT,
  PM1_EVENT_LENGTH,
} from './acpi-pm.js';
import {
  buses,
  device,
  eisaId,
  integer,
  irq,
  name,
  packageOf,
  ports,
  resources,
  scope,
  text,
} from './aml.js';
import { APIC_DEFAULT_BASE } from './apic-base.js';
import { FW_CFG_PORTS } from './fw-cfg.js';
import { HPET_BASE, HPET_ID } from './hpet.js';
import { IOAPIC_BASE } from './ioapic.js';
import { KEYBOARD_PORTS } from './keyboard-controller.js';
import type { DeviceName } from './optional.js';
import { HARD_RESET, RESET_CONTROL } from './power.js';

/** Where the RSDP lies; the other tables follow it. */
export const RSDP_ADDRESS = 0xe_0000;
const FACS_ALIGNMENT = 64;
export const SCI_LINE = 9;
const KEYBOARD_LINE = 1;
/** The timer's line leads to input 2 of the I/O APIC, as on every PC. */
const TIMER_LINE = 0;
export const TIMER_INPUT = 2;
const SIZE = { rsdp: 36, header: 36, facs: 64, fadt: 276 } as const;
const OEM = 'UNWLAB';

/** FADT: there are ISA devices, a keyboard controller, no screen, no CMOS clock (IAPC_BOOT_ARCH, table 5.11). */
const BOOT_ARCHITECTURE = { isa: 1 << 0, keyboard: 1 << 1, noScreen: 1 << 2, noClock: 1 << 5 } as const;
/** Where the clock's memory has the century. */
const CENTURY = 0x32;
/** FADT flags (table 5.10): WBINVD works, C1 works, no fixed power button, no fixed sleep button, no fixed RTC wake-up, a reset register. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 10);

function checksum(bytes: Buffer): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A system description table: header (5.2.6) and body. */
function table(signature: string, revision: number, body: Buffer): Buffer {
  const bytes = Buffer.alloc(SIZE.header + body.length);
  bytes.write(signature, 0);
  bytes.writeUInt32LE(bytes.length, 4);
  bytes[8] = revision;
  bytes.write(OEM, 10);
  bytes.write('UNWINDPC', 16);
  bytes.writeUInt32LE(1, 24);
  bytes.write(OEM.slice(0, 4), 28);
  bytes.writeUInt32LE(1, 32);
  body.copy(bytes, SIZE.header);
  bytes[9] = checksum(bytes);
  return bytes;
}

/** The bus with its bridge; what is at fixed ports, with its lines; and that of it which a machine can do without. */
const FIXED = [
  device('PCI0', name('_HID', eisaId('PNP0A03')), name('_CRS', resources(buses(0), ports(0xcf8, 8)))),
  device('COM1', name('_HID', eisaId('PNP0501')), name('_UID', integer(1)), name('_CRS', resources(ports(0x3f8, 8), irq(4)))),
]; // biome-ignore format: a device to a line
const OPTIONAL = [
  ['i8042', device('KBD', name('_HID', eisaId('PNP0303')), name('_CRS', resources(ports(KEYBOARD_PORTS.data, 1), ports(KEYBOARD_PORTS.command, 1), irq(KEYBOARD_LINE))))],
  ['fw_cfg', device('FWCF', name('_HID', text('QEMU0002')), name('_STA', integer(0x0b)), name('_CRS', resources(ports(FW_CFG_PORTS.first, FW_CFG_PORTS.count))))],
  ['rtc', device('RTC', name('_HID', eisaId('PNP0B00')), name('_CRS', resources(ports(0x70, 2), irq(8))))],
] as const satisfies readonly (readonly [DeviceName, readonly number[]])[]; // biome-ignore format: a device to a line

/** Power-off is sleep type 0. */
function dsdt(devices: ReadonlySet<DeviceName>): Buffer {
  const optional = OPTIONAL.filter(([needed]) => devices.has(needed)).map(([, aml]) => aml);
  const aml = [
    name('_S5', packageOf(integer(0), integer(0), integer(0), integer(0))),
    scope('_SB', ...FIXED, ...optional),
  ].flat();
  return table('DSDT', 2, Buffer.from(aml));
}

function bootArchitecture(devices: ReadonlySet<DeviceName>): number {
  const { isa, keyboard, noScreen, noClock } = BOOT_ARCHITECTURE;
  return isa | noScreen | (devices.has('i8042') ? keyboard : 0) | (devices.has('rtc') ? 0 : noClock);
}

function facs(): Buffer {
  const bytes = Buffer.alloc(SIZE.facs);
  bytes.write('FACS', 0);
  bytes.writeUInt32LE(SIZE.facs, 4);
  bytes[32] = 2;
  return bytes;
}

function fadt(facsAt: number, dsdtAt: number, devices: ReadonlySet<DeviceName>): Buffer {
  const whole = Buffer.alloc(SIZE.fadt);
  whole.writeUInt32LE(facsAt, 36);
  whole.writeUInt32LE(dsdtAt, 40);
  whole.writeUInt16LE(SCI_LINE, 46);
  whole.writeUInt32LE(PM1_EVENT, 56);
  whole.writeUInt32LE(PM1_CONTROL, 64);
  whole.writeUInt32LE(PM_TIMER, 76);
  whole[88] = PM1_EVENT_LENGTH;
  whole[89] = PM1_CONTROL_LENGTH;
  whole[91] = PM_TIMER_LENGTH;
  whole[108] = devices.has('rtc') ? CENTURY : 0;
  whole.writeUInt16LE(bootArchitecture(devices), 109);
  whole.writeUInt32LE(FADT_FLAGS, 112);
  writePortBlock(whole, 116, RESET_CONTROL, 1);
  whole[128] = HARD_RESET;
  whole.writeBigUInt64LE(BigInt(dsdtAt), 140);
  writePortBlock(whole, 148, PM1_EVENT, PM1_EVENT_LENGTH);
  writePortBlock(whole, 172, PM1_CONTROL, PM1_CONTROL_LENGTH);
  writePortBlock(whole, 208, PM_TIMER, PM_TIMER_LENGTH);
  return table('FACP', 6, whole.subarray(SIZE.header));
}

/** A generic address structure of system I/O space (5.2.3.2). */
function writePortBlock(bytes: Buffer, at: number, port: number, length: number): void {
  bytes[at] = 1;
  bytes[at + 1] = 8 * length;
  bytes.writeBigUInt64LE(BigInt(port), at + 4);
}

/** The MADT's structures (5.2.12): a local APIC per CPU, the I/O APIC, where the timer's and ACPI's own lines lead, NMIs at LINT1. */
function madt(cpus: number): Buffer {
  const address = Buffer.alloc(8);
  address.writeUInt32LE(APIC_DEFAULT_BASE, 0);
  address.writeUInt32LE(1, 4); // 8259s are there too
  const locals = Array.from({ length: cpus }, (_, id) => Buffer.of(0, 8, id, id, 1, 0, 0, 0));
  const ioApic = Buffer.alloc(12);
  ioApic.set([1, 12, cpus]);
  ioApic.writeUInt32LE(IOAPIC_BASE, 4);
  const timer = Buffer.of(2, 10, 0, TIMER_LINE, TIMER_INPUT, 0, 0, 0, 0, 0);
  const sci = Buffer.of(2, 10, 0, SCI_LINE, SCI_LINE, 0, 0, 0, 0x0d, 0); // active high, level
  const nmi = Buffer.of(4, 6, 0xff, 0, 0, 1);
  return table('APIC', 4, Buffer.concat([address, ...locals, ioApic, timer, sci, nmi]));
}

/** The HPET's (IA-PC HPET Specification 1.0a, 3.2.4): its block's id, where it is, its number, and how short its ticks may be. */
function hpet(): Buffer {
  const body = Buffer.alloc(20);
  body.writeUInt32LE(HPET_ID, 0);
  body[5] = 64; // in memory, 64 bits wide
  body.writeBigUInt64LE(BigInt(HPET_BASE), 8);
  body.writeUInt16LE(1, 17);
  return table('HPET', 1, body);
}

/** A table of addresses: 4 bytes each in the RSDT, 8 in the XSDT. */
function pointers(signature: 'RSDT' | 'XSDT', addresses: readonly number[]): Buffer {
  const width = signature === 'RSDT' ? 4 : 8;
  const body = Buffer.alloc(width * addresses.length);
  for (const [index, address] of addresses.entries()) body.writeUInt32LE(address, width * index);
  return table(signature, 1, body);
}

function rsdp(rsdt: number, xsdt: number): Buffer {
  const bytes = Buffer.alloc(SIZE.rsdp);
  bytes.write('RSD PTR ', 0);
  bytes.write(OEM, 9);
  bytes[15] = 2;
  bytes.writeUInt32LE(rsdt, 16);
  bytes.writeUInt32LE(SIZE.rsdp, 20);
  bytes.writeBigUInt64LE(BigInt(xsdt), 24);
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** All tables as one block for `RSDP_ADDRESS`; what is not there of the optional devices is in none of them. */
export function acpiTables(cpus: number, devices: ReadonlySet<DeviceName>): Buffer {
  const parts: Buffer[] = [Buffer.alloc(FACS_ALIGNMENT)]; // the RSDP, when all is known
  let at = RSDP_ADDRESS + FACS_ALIGNMENT;
  const place = (bytes: Buffer): number => {
    const padded = Buffer.alloc(Math.ceil(bytes.length / FACS_ALIGNMENT) * FACS_ALIGNMENT);
    bytes.copy(padded);
    parts.push(padded);
    const address = at;
    at += padded.length;
    return address;
  };
  const facsAt = place(facs());
  const dsdtAt = place(dsdt(devices));
  const tables = [fadt(facsAt, dsdtAt, devices), madt(cpus), ...(devices.has('hpet') ? [hpet()] : [])];
  const roots = tables.map(place);
  const rsdt = place(pointers('RSDT', roots));
  rsdp(rsdt, place(pointers('XSDT', roots))).copy(parts[0]!);
  return Buffer.concat(parts);
}
