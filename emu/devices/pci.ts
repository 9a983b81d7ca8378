/**
 * PCI configuration space by mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2): an address at port 0xCF8, data at 0xCFC. The bus
 * holds the host bridge and nothing else.
 */
import type { PortDevice } from './ports.js';

const FIRST_PORT = 0xcf8;
const DATA = 4;
const ENABLED = 0x8000_0000;
const NOTHING = 0xffff_ffff;
/** Bus, device, function of an address: bits 23 to 8. */
const PLACE = 0x00ff_ff00;

/** The host bridge at 00:00.0: Intel 82441FX, as QEMU's pc has it. Registers that are not here read as zero (6.2). */
const HOST_BRIDGE: Readonly<Record<number, number>> = {
  0: 0x1237_8086, // device, vendor
  8: 0x0600_0002, // class: host bridge; revision
  44: 0x1100_1af4, // subsystem
};

export interface PciState {
  readonly address: number;
}

export class PciConfiguration implements PortDevice {
  readonly firstPort = FIRST_PORT;
  readonly ports = 8;
  #address = 0;

  /** Only a whole double word reaches the address register. */
  read(offset: number, size: number): number {
    if (offset < DATA) return offset === 0 && size === 4 ? this.#address : NOTHING;
    if ((this.#address & ENABLED) === 0) return NOTHING;
    const register = this.#address & 0xfc;
    const word = (this.#address & PLACE) === 0 ? (HOST_BRIDGE[register] ?? 0) : NOTHING;
    return word >>> (8 * (offset - DATA));
  }

  /** Nothing on the bus can be set up. */
  write(offset: number, value: number, size: number): void {
    if (offset === 0 && size === 4) this.#address = value >>> 0;
  }

  capture(): PciState {
    return { address: this.#address };
  }
  reinstate({ address }: PciState): void {
    this.#address = address;
  }
}
