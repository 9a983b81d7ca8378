/**
 * A 16550A serial port (National Semiconductor PC16550D data sheet, table II "Summary of Registers"). It sends at once, so the
 * transmitter is always empty; what it receives waits in a queue. Its interrupt leads where the board wires it, or nowhere.
 *
 * The line is patient: a byte reaches the receiver only when the guest looks for it. So a guest that clears the FIFOs while it
 * sets the port up loses nothing that was sent to it before.
 */
import type { PortDevice } from './ports.js';

/**
 * A guest that looks at the line status so often, and does nothing else with the port, waits for input. Drivers that start up look a
 * few times at most; not all guests that poll set "request to send" (memtest86+).
 */
const POLLS = 16;

/** The first port of a PC's first serial port. */
export const COM1 = 0x3f8;

const REGISTER = {
  data: 0,
  interruptEnable: 1,
  fifoControl: 2,
  lineControl: 3,
  modemControl: 4,
  lineStatus: 5,
  modemStatus: 6,
  scratch: 7,
} as const;
const DLAB = 0x80;
const LINE_STATUS = { dataReady: 0x01, holdingEmpty: 0x20, transmitterEmpty: 0x40 } as const;
/** Interrupt enable bits, and what the identification register then says (table III), the more urgent first. */
const ENABLE = { received: 0x01, holdingEmpty: 0x02 } as const;
const IDENTIFICATION = { received: 0x04, holdingEmpty: 0x02, none: 0x01 } as const;
const FIFOS_ENABLED = 0xc0;
const MODEM_READY = 0xb0; // carrier, data set ready, clear to send
const MODEM_CONTROL = { dtr: 0x01, rts: 0x02, out1: 0x04, out2: 0x08, loopback: 0x10 } as const;

export interface UartWiring {
  /** The interrupt output, through the gate that OUT2 is on a PC (IBM PC/AT Technical Reference, "Serial/Parallel Adapter"). */
  readonly interrupt?: (level: boolean) => void;
  /** Whoever sends to it waits for "request to send" or a guest that polls, so that nothing falls to a driver that empties the receiver while it starts. */
  readonly waitsForRts?: boolean;
}

export interface UartState {
  readonly registers: Uint8Array;
  readonly divisor: readonly [number, number];
  readonly input: readonly number[];
  /** The interrupt "holding register empty" stands until it is read or a byte is written. */
  readonly emptied: boolean;
  readonly polls: number;
}

export class Uart implements PortDevice {
  readonly firstPort: number;
  readonly ports = 8;
  readonly #transmit: (byte: number) => void;
  readonly #registers = new Uint8Array(8);
  #divisor: [number, number] = [1, 0];
  #input: number[] = [];
  /** How many bytes of the input the guest has read. */
  #taken = 0;
  #emptied = false;
  /** Looks at the line status since anything else; POLLS for good. */
  #polls = 0;
  readonly #wiring: UartWiring;

  constructor(firstPort: number, transmit: (byte: number) => void, wiring: UartWiring = {}) {
    this.firstPort = firstPort;
    this.#transmit = transmit;
    this.#wiring = wiring;
  }

  /** Bytes that arrive on the line. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#input.push(byte);
    this.#signal();
  }

  get #dataReady(): boolean {
    if (this.#taken === this.#input.length) return false;
    if (!this.#wiring.waitsForRts || this.#polls === POLLS) return true;
    return (this.#registers[REGISTER.modemControl]! & (MODEM_CONTROL.rts | MODEM_CONTROL.loopback)) !== 0;
  }

  #countPoll(offset: number): void {
    if (this.#polls < POLLS) this.#polls = offset === REGISTER.lineStatus ? this.#polls + 1 : 0;
  }

  /** The most urgent interrupt that is enabled and stands. */
  get #identification(): number {
    const enabled = this.#registers[REGISTER.interruptEnable]!;
    if ((enabled & ENABLE.received) !== 0 && this.#dataReady) return IDENTIFICATION.received;
    if ((enabled & ENABLE.holdingEmpty) !== 0 && this.#emptied) return IDENTIFICATION.holdingEmpty;
    return IDENTIFICATION.none;
  }

  #signal(): void {
    if (this.#wiring.interrupt === undefined) return;
    const gate = (this.#registers[REGISTER.modemControl]! & MODEM_CONTROL.out2) !== 0;
    this.#wiring.interrupt(gate && this.#identification !== IDENTIFICATION.none);
  }

  #take(): number {
    const byte = this.#input[this.#taken];
    if (byte === undefined) return 0;
    this.#taken++;
    if (this.#taken === this.#input.length) {
      this.#input = [];
      this.#taken = 0;
    }
    return byte;
  }

  get #divisorLatched(): boolean {
    return (this.#registers[REGISTER.lineControl]! & DLAB) !== 0;
  }

  read(offset: number): number {
    this.#countPoll(offset);
    const value = this.#read(offset);
    if (offset <= REGISTER.fifoControl) this.#signal();
    return value;
  }

  #read(offset: number): number {
    switch (offset) {
      case REGISTER.data:
        if (this.#divisorLatched) return this.#divisor[0];
        return this.#dataReady ? this.#take() : 0;
      case REGISTER.interruptEnable:
        return this.#divisorLatched ? this.#divisor[1] : this.#registers[offset]!;
      case REGISTER.fifoControl: {
        // reads as the interrupt identification register
        const identification = this.#identification;
        if (identification === IDENTIFICATION.holdingEmpty) this.#emptied = false;
        return identification | ((this.#registers[offset]! & 1) !== 0 ? FIFOS_ENABLED : 0);
      }
      case REGISTER.lineStatus:
        return (
          LINE_STATUS.holdingEmpty |
          LINE_STATUS.transmitterEmpty |
          (this.#dataReady ? LINE_STATUS.dataReady : 0)
        );
      case REGISTER.modemStatus:
        return this.#modemStatus;
      default:
        return this.#registers[offset]!;
    }
  }

  /** In loopback the four outputs lead to the four inputs: DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD (8.6.7). */
  get #modemStatus(): number {
    const control = this.#registers[REGISTER.modemControl]!;
    if ((control & MODEM_CONTROL.loopback) === 0) return MODEM_READY;
    const { dtr, rts } = MODEM_CONTROL;
    const crossed = ((control & dtr) << 1) | ((control & rts) >> 1);
    return ((control & (MODEM_CONTROL.out1 | MODEM_CONTROL.out2)) | crossed) << 4;
  }

  write(offset: number, value: number): void {
    this.#countPoll(offset);
    this.#write(offset, value);
    this.#signal();
  }

  #write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (!this.#divisorLatched) {
      // What is sent leaves at once, and enabling the interrupt of an empty register raises it (table III; "Interrupt enable").
      const enables = offset === REGISTER.interruptEnable && (byte & ENABLE.holdingEmpty) !== 0;
      if (enables || offset === REGISTER.data) this.#emptied = true;
    }
    if (offset === REGISTER.data && this.#divisorLatched) this.#divisor[0] = byte;
    else if (offset === REGISTER.interruptEnable && this.#divisorLatched) this.#divisor[1] = byte;
    else if (
      offset === REGISTER.data &&
      (this.#registers[REGISTER.modemControl]! & MODEM_CONTROL.loopback) !== 0
    )
      this.#input.push(byte);
    else if (offset === REGISTER.data) this.#transmit(byte);
    else if (offset !== REGISTER.lineStatus && offset !== REGISTER.modemStatus)
      this.#registers[offset] = byte;
  }

  capture(): UartState {
    return {
      registers: this.#registers.slice(),
      divisor: [...this.#divisor],
      input: this.#input.slice(this.#taken),
      emptied: this.#emptied,
      polls: this.#polls,
    };
  }
  reinstate(state: UartState): void {
    this.#registers.set(state.registers);
    this.#divisor = [...state.divisor];
    this.#input = [...state.input];
    this.#taken = 0;
    this.#emptied = state.emptied;
    this.#polls = state.polls;
  }
}
