/** What a PC has around its CPUs, wired together: interrupt controllers, timers, clock, keyboard controller, PCI, ACPI, what tells of the machine. */
import { AcpiPm, type PmState } from './acpi-pm.js';
import { SCI_LINE, TIMER_INPUT } from './acpi-tables.js';
import { FwCfg, type FwCfgFacts, type FwCfgState } from './fw-cfg.js';
import { Hpet, type HpetState } from './hpet.js';
import { IoApic, type IoApicState, type IoInterrupt } from './ioapic.js';
import { KeyboardController, type KeyboardState } from './keyboard-controller.js';
import { PciConfiguration, type PciState } from './pci.js';
import { type PicState, Pics } from './pic.js';
import { Pit, type PitState } from './pit.js';
import type { PortDevice } from './ports.js';
import { Rtc, type RtcState } from './rtc.js';
import { TestDevice, type TestDeviceState } from './test-device.js';

/** Interrupt lines of an ISA bus (IBM PC/AT Technical Reference). */
export const LINE = { timer: 0, keyboard: 1, serial: 4, clock: 8 } as const;
const ISA_LINES = 16;
const DEBUG_CONSOLE = 0xe9;

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

export interface PcWires {
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
  /** A byte for the debug console at port 0xE9 (Bochs; QEMU's isa-debugcon). */
  debug(byte: number): void;
}

export interface PcState {
  readonly pics: readonly PicState[];
  readonly pit: PitState;
  readonly rtc: RtcState;
  readonly ioApic: IoApicState;
  readonly pci: PciState;
  readonly pm: PmState;
  readonly hpet: HpetState;
  readonly keyboard: KeyboardState;
  readonly fwCfg: FwCfgState;
  readonly test: TestDeviceState;
}

export class PcBoard implements Board {
  readonly ioApic: IoApic;
  readonly hpet: Hpet;
  readonly devices: readonly PortDevice[];
  readonly #pics: Pics;
  readonly #pit: Pit;
  readonly #rtc: Rtc;
  readonly #pci = new PciConfiguration();
  readonly #pm: AcpiPm;
  readonly #keyboard: KeyboardController;
  readonly #fwCfg: FwCfg;
  readonly #test: TestDevice;

  constructor(wires: PcWires, facts: FwCfgFacts) {
    const timed = { now: () => wires.now(), changed: () => wires.changed() };
    this.#pics = new Pics(() => {
      wires.lint0(this.#pics.intr);
      wires.changed();
    });
    this.ioApic = new IoApic((interrupt) => wires.deliver(interrupt));
    this.#pit = new Pit({ ...timed, output0: (level) => this.#setOldLine(LINE.timer, level) });
    this.#rtc = new Rtc({ ...timed, interrupt: (level) => this.#setOldLine(LINE.clock, level) });
    this.hpet = new Hpet({
      ...timed,
      line: (line, isLegacy, level) => {
        if (isLegacy) this.setLine(line, level);
        else this.ioApic.setLine(line, level);
      },
    });
    this.#pm = new AcpiPm({
      ...timed,
      powerOff: () => wires.powerOff(),
      interrupt: (level) => this.setLine(SCI_LINE, level),
    });
    this.#keyboard = new KeyboardController({
      reset: () => wires.reset(),
      interrupt: (level) => this.setLine(LINE.keyboard, level),
    });
    this.#fwCfg = new FwCfg(facts);
    this.#test = new TestDevice((line, level) => this.setLine(line, level));
    this.devices = [
      ...this.#pics.devices,
      ...this.#pit.devices,
      this.#rtc.device,
      this.#pci,
      ...this.#pm.devices,
      ...this.#keyboard.devices,
      this.#fwCfg,
      ...this.#test.devices,
      {
        firstPort: DEBUG_CONSOLE,
        ports: 1,
        read: () => DEBUG_CONSOLE, // by which guests tell that it is there
        write: (_offset, value) => wires.debug(value & 0xff),
      },
    ];
  }

  /** A line that the HPET takes over in legacy routing. */
  #setOldLine(line: number, level: boolean): void {
    if (!this.hpet.isLegacy) this.setLine(line, level);
  }

  /** An interrupt line of the ISA bus leads to both kinds of controller, one above them to the I/O APIC. */
  setLine(line: number, level: boolean): void {
    if (line < ISA_LINES) this.#pics.setLine(line, level);
    this.ioApic.setLine(line === LINE.timer ? TIMER_INPUT : line, level);
  }

  get deadline(): number {
    return Math.min(this.#pit.deadline, this.#rtc.deadline, this.hpet.deadline, this.#pm.deadline);
  }
  advance(now: number): void {
    if (now >= this.#pit.deadline) this.#pit.advance(now);
    if (now >= this.#rtc.deadline) this.#rtc.advance(now);
    if (now >= this.hpet.deadline) this.hpet.advance(now);
    if (now >= this.#pm.deadline) this.#pm.advance();
  }
  get intr(): boolean {
    return this.#pics.intr;
  }
  acknowledge(): number {
    return this.#pics.acknowledge();
  }

  capture(): PcState {
    return {
      pics: this.#pics.capture(),
      pit: this.#pit.capture(),
      rtc: this.#rtc.capture(),
      ioApic: this.ioApic.capture(),
      pci: this.#pci.capture(),
      pm: this.#pm.capture(),
      hpet: this.hpet.capture(),
      keyboard: this.#keyboard.capture(),
      fwCfg: this.#fwCfg.capture(),
      test: this.#test.capture(),
    };
  }
  reinstate(state: PcState): void {
    this.#pics.reinstate(state.pics);
    this.#pit.reinstate(state.pit);
    this.#rtc.reinstate(state.rtc);
    this.ioApic.reinstate(state.ioApic);
    this.#pci.reinstate(state.pci);
    this.#pm.reinstate(state.pm);
    this.hpet.reinstate(state.hpet);
    this.#keyboard.reinstate(state.keyboard);
    this.#fwCfg.reinstate(state.fwCfg);
    this.#test.reinstate(state.test);
  }
}
