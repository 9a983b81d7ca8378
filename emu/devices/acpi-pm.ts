/**
 * ACPI's fixed registers (ACPI 6.5, 4.8.3): the PM1 event block, the PM1 control register and the power management timer, at the ports where
 * QEMU's PC has them. The timer is the one fixed event that there is; the others are declared absent in the tables (`acpi-tables.ts`).
 */
import type { PortDevice } from './ports.js';

export const PM1_EVENT = 0x600;
export const PM1_EVENT_LENGTH = 4;
export const PM1_CONTROL = 0x604;
export const PM1_CONTROL_LENGTH = 2;
export const PM_TIMER = 0x608;
export const PM_TIMER_LENGTH = 4;
/** The timer counts 24 bits (4.8.3.3), and tells when the highest one changes, by status and by interrupt where that is enabled. */
export const PM_TIMER_HZ = 3_579_545;
const COUNTER = 2 ** 24;
const HALF = 2 ** 23;
const NS = 1e9;
const TIMER_STATUS = 1;
/** The machine is always in ACPI mode. */
const SCI_ENABLED = 1;
const BUS_MASTER_RELOAD = 2;
/** Sleep type 0 with the enable bit: off (S5). */
const SLEEP_TYPE = 7 << 10;
const SLEEP_ENABLE = 1 << 13;

export interface PmState {
  readonly enable: number;
  readonly control: number;
  /** Changes of the timer's highest bit up to when its status was cleared last. */
  readonly cleared: number;
  readonly level: boolean;
}

export interface PmWires {
  /** The machine's time, in nanoseconds. */
  now(): number;
  powerOff(): void;
  /** The system control interrupt's line. */
  interrupt(level: boolean): void;
  /** `deadline` has changed. */
  changed(): void;
}

export class AcpiPm {
  readonly devices: readonly PortDevice[];
  readonly #wires: PmWires;
  #enable = 0;
  #control = 0;
  #cleared = 0;
  /** The interrupt's line is up. */
  #level = false;

  constructor(wires: PmWires) {
    this.#wires = wires;
    this.devices = [
      {
        firstPort: PM1_EVENT,
        ports: PM1_EVENT_LENGTH,
        read: (offset) => ((this.#enable << 16) | this.#status) >>> (8 * offset),
        write: (offset, value, size) => this.#writeEvent(offset, value, size),
      },
      {
        firstPort: PM1_CONTROL,
        ports: PM1_CONTROL_LENGTH,
        read: (offset) => (this.#control | SCI_ENABLED) >> (8 * offset),
        write: (offset, value) => {
          const written = offset === 0 ? value & 0xffff : (this.#control & 0xff) | ((value & 0xff) << 8);
          this.#control = written & (BUS_MASTER_RELOAD | SLEEP_TYPE);
          if ((written & SLEEP_ENABLE) !== 0) wires.powerOff();
        },
      },
      {
        firstPort: PM_TIMER,
        ports: PM_TIMER_LENGTH,
        read: (offset) => (this.#ticks % COUNTER) >>> (8 * offset),
        write: () => {},
      },
    ];
  }

  get #ticks(): number {
    return Math.floor((this.#wires.now() * PM_TIMER_HZ) / NS);
  }
  /** Changes of the timer's highest bit. */
  get #changes(): number {
    return Math.floor(this.#ticks / HALF);
  }
  get #status(): number {
    return this.#changes > this.#cleared ? TIMER_STATUS : 0;
  }

  /** Status, which is cleared by ones, and enable; as one double word or as two words. */
  #writeEvent(offset: number, value: number, size: number): void {
    if (offset === 0 && (value & TIMER_STATUS) !== 0) this.#cleared = this.#changes;
    if (offset === 2) this.#enable = value & 0xffff;
    else if (offset === 0 && size === 4) this.#enable = value >>> 16;
    this.advance();
    this.#wires.changed();
  }

  /** When `advance` has something to do next: only an interrupt is an event. */
  get deadline(): number {
    if ((this.#enable & TIMER_STATUS) === 0 || this.#level) return Number.POSITIVE_INFINITY;
    return Math.floor(((this.#cleared + 1) * HALF * NS) / PM_TIMER_HZ) + 1;
  }
  advance(): void {
    this.#level = (this.#status & this.#enable) !== 0;
    this.#wires.interrupt(this.#level);
  }

  capture(): PmState {
    return { enable: this.#enable, control: this.#control, cleared: this.#cleared, level: this.#level };
  }
  reinstate({ enable, control, cleared, level }: PmState): void {
    this.#enable = enable;
    this.#control = control;
    this.#cleared = cleared;
    this.#level = level;
  }
}
