/** What a PC has around its CPUs, wired together: interrupt controllers, timers, PCI, ACPI, and the devices of `optional.ts` that it is to have. */
import { AcpiPm, type PmState } from './acpi-pm.js';
import { SCI_LINE, TIMER_INPUT } from './acpi-tables.js';
import { HPET_BASE, HPET_WINDOW, Hpet } from './hpet.js';
import { IOAPIC_BASE, IOAPIC_WINDOW, IoApic, type IoApicState, type IoInterrupt } from './ioapic.js';
import { KeyboardController } from './keyboard-controller.js';
import type { DeviceName } from './optional.js';
import { makeParts, type Part, SIMPLE_DEVICES, type SimpleWires } from './parts.js';
import { PciConfiguration, type PciState } from './pci.js';
import { type PicState, Pics } from './pic.js';
import { Pit, type PitState } from './pit.js';
import type { PortDevice } from './ports.js';
import { Rtc } from './rtc.js';

/** Interrupt lines of an ISA bus (IBM PC/AT Technical Reference). */
export const LINE = { timer: 0, keyboard: 1, serial: 4, clock: 8 } as const;
const ISA_LINES = 16;

/** What a board does at its first CPU, beside that CPU's local APIC. */
export interface Board {
  /** When `advance` has something to do next, in nanoseconds. */
  readonly deadline: number;
  advance(now: number): void;
  /** The line from the 8259s to LINT0 is up. */
  readonly intr: boolean;
  /** Acknowledges what it is up for. @returns the vector */
  acknowledge(): number;
}

/** What makes something happen by itself. */
interface Timed {
  /** When `advance` has something to do next, in nanoseconds. */
  readonly deadline: number;
  advance(now: number): void;
}

/** Registers in memory. */
export interface MemoryWindow {
  readonly address: number;
  readonly size: number;
  readonly device: { read(offset: number): number; write(offset: number, value: number): void };
}

export interface PcWires extends Omit<SimpleWires, 'setLine'> {
  /** The machine's time, in nanoseconds. */
  now(): number;
  /** `deadline` or `intr` has changed. */
  changed(): void;
  /** The 8259s' line to LINT0 of the first CPU. */
  lint0(level: boolean): void;
  /** From the I/O APIC to the local APICs. */
  deliver(interrupt: IoInterrupt): void;
  powerOff(): void;
  reset(): void;
}

/** What the devices that a PC need not have are wired to. */
interface OptionalWires extends Pick<PcWires, 'now' | 'changed' | 'reset'>, Required<SimpleWires> {
  /** A line that the HPET takes over in legacy routing. */
  setOldLine(line: number, level: boolean): void;
  /** An input of the I/O APIC. */
  setInput(input: number, level: boolean): void;
}

const OPTIONAL_DEVICES = {
  ...SIMPLE_DEVICES,
  hpet: ({ now, changed, setLine, setInput }: OptionalWires) =>
    new Hpet({
      now,
      changed,
      line: (line, isLegacy, level) => (isLegacy ? setLine : setInput)(line, level),
    }),
  i8042: ({ reset, setLine }: OptionalWires) =>
    new KeyboardController({ reset, interrupt: (level) => setLine(LINE.keyboard, level) }),
  rtc: ({ now, changed, setOldLine }: OptionalWires) =>
    new Rtc({ now, changed, interrupt: (level) => setOldLine(LINE.clock, level) }),
} as const satisfies Record<DeviceName, (wires: OptionalWires) => Part>;

export interface PcState {
  readonly pics: readonly PicState[];
  readonly pit: PitState;
  readonly ioApic: IoApicState;
  readonly pci: PciState;
  readonly pm: PmState;
}

export class PcBoard implements Board {
  readonly ioApic: IoApic;
  /** On the port bus, but for those of `optional`. */
  readonly devices: readonly PortDevice[];
  readonly windows: readonly MemoryWindow[];
  /** What it has of the devices that it need not have. */
  readonly optional: ReturnType<typeof makeOptional>;
  readonly #pics: Pics;
  readonly #pit: Pit;
  readonly #pci = new PciConfiguration();
  readonly #pm: AcpiPm;
  readonly #timed: readonly Timed[];

  constructor(wires: PcWires, devices: ReadonlySet<DeviceName>) {
    const { facts } = wires;
    const timed = { now: () => wires.now(), changed: () => wires.changed() };
    const setLine = (line: number, level: boolean): void => this.setLine(line, level);
    const setOldLine = (line: number, level: boolean): void => {
      if (!this.optional.hpet?.isLegacy) this.setLine(line, level);
    };
    this.#pics = new Pics(() => {
      wires.lint0(this.#pics.intr);
      wires.changed();
    });
    this.ioApic = new IoApic((interrupt) => wires.deliver(interrupt));
    this.#pit = new Pit({ ...timed, output0: (level) => setOldLine(LINE.timer, level) });
    this.#pm = new AcpiPm({
      ...timed,
      powerOff: () => wires.powerOff(),
      interrupt: (level) => this.setLine(SCI_LINE, level),
    });
    this.optional = makeOptional(devices, {
      ...timed,
      facts,
      setLine,
      setOldLine,
      setInput: (input, level) => this.ioApic.setLine(input, level),
      reset: () => wires.reset(),
      debug: (byte) => wires.debug(byte),
    });
    const { hpet, rtc } = this.optional;
    this.devices = [...this.#pics.devices, ...this.#pit.devices, this.#pci, ...this.#pm.devices];
    this.windows = [
      { address: IOAPIC_BASE, size: IOAPIC_WINDOW, device: this.ioApic },
      ...(hpet === undefined ? [] : [{ address: HPET_BASE, size: HPET_WINDOW, device: hpet }]),
    ];
    this.#timed = [this.#pit, rtc, hpet, this.#pm].filter((each) => each !== undefined);
  }

  /** An interrupt line of the ISA bus leads to both kinds of controller, one above them to the I/O APIC. */
  setLine(line: number, level: boolean): void {
    if (line < ISA_LINES) this.#pics.setLine(line, level);
    this.ioApic.setLine(line === LINE.timer ? TIMER_INPUT : line, level);
  }

  get deadline(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { deadline } of this.#timed) next = Math.min(next, deadline);
    return next;
  }
  advance(now: number): void {
    for (const each of this.#timed) if (now >= each.deadline) each.advance(now);
  }
  get intr(): boolean {
    return this.#pics.intr;
  }
  acknowledge(): number {
    return this.#pics.acknowledge();
  }

  /** Without the optional devices' states. */
  capture(): PcState {
    return {
      pics: this.#pics.capture(),
      pit: this.#pit.capture(),
      ioApic: this.ioApic.capture(),
      pci: this.#pci.capture(),
      pm: this.#pm.capture(),
    };
  }
  reinstate(state: PcState): void {
    this.#pics.reinstate(state.pics);
    this.#pit.reinstate(state.pit);
    this.ioApic.reinstate(state.ioApic);
    this.#pci.reinstate(state.pci);
    this.#pm.reinstate(state.pm);
  }
}

const makeOptional = (names: ReadonlySet<DeviceName>, wires: OptionalWires) =>
  makeParts(OPTIONAL_DEVICES, names, wires);
