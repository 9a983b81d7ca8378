/**
 * What the firmware of a PC leaves behind in memory for the kernel that it starts: interrupt vectors and data of a BIOS (IBM PC/AT Technical
 * Reference, "System BIOS"), and the ACPI tables.
 *
 * There is no BIOS behind them. A kernel that goes back to real mode and asks for one of its services, as Xen does, is told by the
 * carry flag that there is none, and goes by what its loader has told it.
 */
import { acpiTables, RSDP_ADDRESS } from '../devices/acpi-tables.js';
import type { DeviceName } from '../devices/optional.js';
import { COM1 } from '../devices/uart.js';
import { phys } from '../memory/address.js';
import { LOW_MEMORY_END } from './placement.js';
import type { Piece } from './plan.js';

const VECTORS = 256;
/** The software interrupts of BIOS services, from video (0x10) to the clock (0x1a), and pointers to tables behind them. */
const SERVICES = { first: 0x10, last: 0x1f } as const;
/** Segment of the BIOS's code, and where IBM's BIOS and those after it have the IRET of interrupts that nobody handles. */
const ROM_SEGMENT = 0xf000;
const UNUSED = 0xff53;
const UNUSED_CODE = Buffer.of(0xcf); // iret
const NO_SERVICE = UNUSED + UNUSED_CODE.length;
/** Sets the carry flag where the caller gets its flags from. */
const NO_SERVICE_CODE = Buffer.of(
  ...[0x55], //                   push %bp
  ...[0x89, 0xe5], //             mov  %sp, %bp
  ...[0x80, 0x4e, 0x06, 0x01], // orb  $1, 6(%bp)
  ...[0x5d], //                   pop  %bp
  ...[0xcf], //                   iret
);

/** The BIOS data area, by physical address. */
const BIOS_DATA = { start: 0x400, com1: 0x400, ebdaSegment: 0x40e, memoryKib: 0x413, end: 0x500 } as const;

/** The extended data area behind low memory; its first byte is its size. */
const EXTENDED_DATA_KIB = 1;

function vectors(): Buffer {
  const table = Buffer.alloc(4 * VECTORS);
  for (let vector = 0; vector < VECTORS; vector++) {
    const isService = vector >= SERVICES.first && vector <= SERVICES.last;
    table.writeUInt16LE(isService ? NO_SERVICE : UNUSED, 4 * vector);
    table.writeUInt16LE(ROM_SEGMENT, 4 * vector + 2);
  }
  return table;
}

/** What is not named is zero: no printers, no disks, no screen. */
function biosData(): Buffer {
  const bytes = Buffer.alloc(BIOS_DATA.end - BIOS_DATA.start);
  const put = (address: number, word: number): void => {
    bytes.writeUInt16LE(word, address - BIOS_DATA.start);
  };
  put(BIOS_DATA.com1, COM1);
  put(BIOS_DATA.ebdaSegment, LOW_MEMORY_END >> 4);
  put(BIOS_DATA.memoryKib, LOW_MEMORY_END >> 10);
  return bytes;
}

/** @param devices that the machine has, of the optional ones */
export const firmware = (cpus: number, devices: ReadonlySet<DeviceName>): Piece[] => [
  { address: phys(0), bytes: vectors() },
  { address: phys(BIOS_DATA.start), bytes: biosData() },
  { address: phys(LOW_MEMORY_END), bytes: Buffer.of(EXTENDED_DATA_KIB) },
  { address: phys(RSDP_ADDRESS), bytes: acpiTables(cpus, devices) },
  { address: phys((ROM_SEGMENT << 4) + UNUSED), bytes: Buffer.concat([UNUSED_CODE, NO_SERVICE_CODE]) },
];
