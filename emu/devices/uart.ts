/**
 * A 16550A serial port (National Semiconductor PC16550D data sheet, table II "Summary of Registers"). It sends at once, so the
 * transmitter is always empty; what it receives waits in a queue. No interrupt line is wired to a CPU here: guests poll.
 *
 * The line is patient: a byte reaches the receiver only when the guest looks for it. So a guest that clears the FIFOs while it
 * sets the port up loses nothing that was sent to it before.
 */
import type { PortDevice } from './ports.js';

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
const NO_INTERRUPT_PENDING = 0x01;
const FIFOS_ENABLED = 0xc0;
const MODEM_READY = 0xb0; // carrier, data set ready, clear to send
const MODEM_LOOPBACK = 0x10;

export interface UartState {
  readonly registers: Uint8Array;
  readonly divisor: readonly [number, number];
  readonly input: readonly number[];
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

  constructor(firstPort: number, transmit: (byte: number) => void) {
    this.firstPort = firstPort;
    this.#transmit = transmit;
  }

  /** Bytes that arrive on the line. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#input.push(byte);
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
    switch (offset) {
      case REGISTER.data:
        return this.#divisorLatched ? this.#divisor[0] : this.#take();
      case REGISTER.interruptEnable:
        return this.#divisorLatched ? this.#divisor[1] : this.#registers[offset]!;
      case REGISTER.fifoControl: // reads as the interrupt identification register
        return NO_INTERRUPT_PENDING | ((this.#registers[offset]! & 1) !== 0 ? FIFOS_ENABLED : 0);
      case REGISTER.lineStatus:
        return (
          LINE_STATUS.holdingEmpty |
          LINE_STATUS.transmitterEmpty |
          (this.#taken < this.#input.length ? LINE_STATUS.dataReady : 0)
        );
      case REGISTER.modemStatus:
        return MODEM_READY;
      default:
        return this.#registers[offset]!;
    }
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (offset === REGISTER.data && this.#divisorLatched) this.#divisor[0] = byte;
    else if (offset === REGISTER.interruptEnable && this.#divisorLatched) this.#divisor[1] = byte;
    else if (offset === REGISTER.data && (this.#registers[REGISTER.modemControl]! & MODEM_LOOPBACK) !== 0)
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
    };
  }
  reinstate(state: UartState): void {
    this.#registers.set(state.registers);
    this.#divisor = [...state.divisor];
    this.#input = [...state.input];
    this.#taken = 0;
  }
}
