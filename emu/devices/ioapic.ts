/**
 * The I/O APIC (Intel 82093AA data sheet, order number 290566): 24 inputs, each with an entry that says which interrupt it
 * becomes and at which CPUs. It answers on one page of the physical bus through an index and a data register.
 */
import { type Destination, physicalDestination } from './apic-command.js';

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_WINDOW = 0x1000;
export const IOAPIC_INPUTS = 24;

const OFFSET = { select: 0x00, window: 0x10 } as const;
const INDEX = { id: 0, version: 1, arbitration: 2, table: 0x10 } as const;
const VERSION = 0x11 | ((IOAPIC_INPUTS - 1) << 16);
/** The low half of a redirection table entry (3.2.4). */
const ENTRY = {
  vector: 0xff,
  modeShift: 8,
  logical: 1 << 11,
  pending: 1 << 12,
  activeLow: 1 << 13,
  remoteIrr: 1 << 14,
  level: 1 << 15,
  masked: 1 << 16,
} as const;
const READ_ONLY = ENTRY.pending | ENTRY.remoteIrr;
/** A physical destination of all ones. */
const EVERYBODY = 0xff;
const LOW_BITS = 0x1_ffff;
const HIGH_BITS = 0xff00_0000;

/** Delivery modes by their code; SMI (2) and ExtINT (7) lead nowhere here: the 8259s are wired to LINT0. */
const MODES = { 0: 'fixed', 1: 'lowest', 4: 'nmi', 5: 'init' } as const;
type IoApicMode = (typeof MODES)[keyof typeof MODES];

/** What an entry sends to the local APICs. */
export interface IoInterrupt {
  readonly mode: IoApicMode;
  readonly vector: number;
  readonly isLevel: boolean;
  readonly destination: Destination;
}

export interface IoApicState {
  readonly select: number;
  readonly id: number;
  readonly entries: readonly (readonly [low: number, high: number])[];
  readonly lines: number;
}

export class IoApic {
  readonly #send: (interrupt: IoInterrupt) => void;
  #select = 0;
  #id = 0;
  #entries: [low: number, high: number][] = Array.from({ length: IOAPIC_INPUTS }, () => [ENTRY.masked, 0]);
  /** Inputs that are asserted, whatever their polarity. */
  #lines = 0;

  constructor(send: (interrupt: IoInterrupt) => void) {
    this.#send = send;
  }

  /** An input is asserted or not. An edge is sent when it comes, and lost while the entry is masked. */
  setLine(input: number, asserted: boolean): void {
    const bit = 1 << input;
    const rises = asserted && (this.#lines & bit) === 0;
    this.#lines = asserted ? this.#lines | bit : this.#lines & ~bit;
    const entry = this.#entries[input]!;
    if ((entry[0] & ENTRY.level) !== 0) this.#serveLevel(input);
    else if (rises && (entry[0] & ENTRY.masked) === 0) this.#deliver(entry);
  }

  /** A level is sent once, until its end of interrupt comes back from a local APIC (3.2.4, "Remote IRR"). */
  #serveLevel(input: number): void {
    const entry = this.#entries[input]!;
    const idle = (entry[0] & (ENTRY.masked | ENTRY.remoteIrr)) === 0;
    if (!idle || (entry[0] & ENTRY.level) === 0 || (this.#lines & (1 << input)) === 0) return;
    entry[0] |= ENTRY.remoteIrr;
    this.#deliver(entry);
  }

  #deliver([low, high]: readonly [number, number]): void {
    const mode = MODES[((low >> ENTRY.modeShift) & 7) as keyof typeof MODES];
    if (mode === undefined) return;
    const target = high >>> 24;
    this.#send({
      mode,
      vector: low & ENTRY.vector,
      isLevel: (low & ENTRY.level) !== 0,
      destination: (low & ENTRY.logical) !== 0 ? { logical: target } : physicalDestination(target, EVERYBODY),
    });
  }

  /** A local APIC has ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    for (const [input, entry] of this.#entries.entries()) {
      if ((entry[0] & ENTRY.remoteIrr) === 0 || (entry[0] & ENTRY.vector) !== vector) continue;
      entry[0] &= ~ENTRY.remoteIrr;
      this.#serveLevel(input);
    }
  }

  /** Whether a rise of the input would be sent. */
  isUnmasked(input: number): boolean {
    return (this.#entries[input]![0] & ENTRY.masked) === 0;
  }

  read(offset: number): number {
    if (offset === OFFSET.select) return this.#select;
    if (offset !== OFFSET.window) return 0;
    switch (this.#select) {
      case INDEX.id:
      case INDEX.arbitration:
        return this.#id;
      case INDEX.version:
        return VERSION;
      default: {
        const [input, half] = this.#place();
        return (this.#entries[input]?.[half] ?? 0) >>> 0;
      }
    }
  }

  write(offset: number, value: number): void {
    if (offset === OFFSET.select) this.#select = value & 0xff;
    else if (offset !== OFFSET.window) return;
    else if (this.#select === INDEX.id) this.#id = value & 0x0f00_0000;
    else this.#writeEntry(value);
  }

  #place(): [input: number, half: 0 | 1] {
    const place = this.#select - INDEX.table;
    return [place >> 1, (place & 1) as 0 | 1];
  }

  #writeEntry(value: number): void {
    const [input, half] = this.#place();
    const entry = this.#entries[input];
    if (entry === undefined) return;
    if (half === 1) {
      entry[1] = value & HIGH_BITS;
      return;
    }
    entry[0] = (value & LOW_BITS & ~READ_ONLY) | (entry[0] & READ_ONLY);
    if ((entry[0] & ENTRY.level) === 0) entry[0] &= ~ENTRY.remoteIrr;
    this.#serveLevel(input);
  }

  capture(): IoApicState {
    return {
      select: this.#select,
      id: this.#id,
      entries: this.#entries.map(([low, high]) => [low, high] as const),
      lines: this.#lines,
    };
  }
  reinstate(state: IoApicState): void {
    this.#select = state.select;
    this.#id = state.id;
    this.#entries = state.entries.map(([low, high]) => [low, high]);
    this.#lines = state.lines;
  }
}
