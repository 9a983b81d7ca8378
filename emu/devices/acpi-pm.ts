/**
 * ACPI's fixed registers (ACPI 6.5, 4.8.3): the PM1 event block and the PM1 control register, at the ports where QEMU's PC has
 * them. Every fixed event is declared absent in the tables (`acpi-tables.ts`), so no status bit is ever set.
 */
import type { PortDevice } from './ports.js';

export const PM1_EVENT = 0x600;
export const PM1_EVENT_LENGTH = 4;
export const PM1_CONTROL = 0x604;
export const PM1_CONTROL_LENGTH = 2;
/** The machine is always in ACPI mode. */
const SCI_ENABLED = 1;
const BUS_MASTER_RELOAD = 2;
/** Sleep type 0 with the enable bit: off (S5). */
const SLEEP_TYPE = 7 << 10;
const SLEEP_ENABLE = 1 << 13;

export class AcpiPm {
  readonly devices: readonly PortDevice[];
  #enable = 0;
  #control = 0;

  constructor(powerOff: () => void) {
    this.devices = [
      {
        firstPort: PM1_EVENT,
        ports: PM1_EVENT_LENGTH,
        read: (offset, size) => ((this.#enable << 16) >>> (8 * offset)) & (size === 4 ? -1 : 0xffff),
        write: (offset, value, size) => {
          if (offset === 2) this.#enable = value & 0xffff;
          else if (offset === 0 && size === 4) this.#enable = value >>> 16;
        },
      },
      {
        firstPort: PM1_CONTROL,
        ports: PM1_CONTROL_LENGTH,
        read: (offset) => (this.#control | SCI_ENABLED) >> (8 * offset),
        write: (offset, value) => {
          const written = offset === 0 ? value & 0xffff : (this.#control & 0xff) | ((value & 0xff) << 8);
          this.#control = written & (BUS_MASTER_RELOAD | SLEEP_TYPE);
          if ((written & SLEEP_ENABLE) !== 0) powerOff();
        },
      },
    ];
  }

  capture(): readonly [enable: number, control: number] {
    return [this.#enable, this.#control];
  }
  reinstate([enable, control]: readonly [number, number]): void {
    this.#enable = enable;
    this.#control = control;
  }
}
