/** What stands around the CPUs of a machine: a serial port, the ways to end it, a PC's board if it is one, and the optional devices that it has. */
import type { MachineKind } from '../terms.js';
import type { DeviceName } from './optional.js';
import {
  captureParts,
  makeParts,
  type PartStates,
  type Parts,
  portsOf,
  reinstateParts,
  SIMPLE_DEVICES,
} from './parts.js';
import { LINE, type MemoryWindow, PcBoard, type PcState, type PcWires } from './pc-board.js';
import { PortBus } from './ports.js';
import { MICROVM_POWER, PC_POWER, type PowerEvent, powerDevices } from './power.js';
import { COM1, Uart, type UartState, type UartWiring } from './uart.js';

export interface SurroundingsWires extends Omit<PcWires, 'debug' | 'powerOff' | 'reset'> {
  /** A byte that the guest prints. */
  print(byte: number): void;
  power(event: PowerEvent): void;
}

export interface SurroundingsState {
  readonly uart: UartState;
  readonly board: PcState | undefined;
  readonly optional: PartStates;
}

export class Surroundings {
  readonly uart: Uart;
  readonly board: PcBoard | undefined;
  readonly ports: PortBus;
  readonly #optional: Parts;

  /** @param devices the optional ones, all of which such a machine can have */
  constructor(kind: MachineKind, devices: ReadonlySet<DeviceName>, wires: SurroundingsWires) {
    const { facts, print, power } = wires;
    const powerOff = (): void => power({ kind: 'poweroff' });
    const reset = (): void => power({ kind: 'reset' });
    const board =
      kind === 'pc' ? new PcBoard({ ...wires, debug: print, powerOff, reset }, devices) : undefined;
    this.board = board;
    this.uart = board === undefined ? new Uart(COM1, print) : new Uart(COM1, print, uartWiring(board));
    this.#optional = board?.optional ?? makeParts(SIMPLE_DEVICES, devices, { facts, debug: print });
    // The first one that has a port answers: a keyboard controller stands before the line that only resets, and that before PCI's address
    // register, a double word in the middle of which the reset control register is a byte.
    this.ports = new PortBus([
      this.uart,
      ...portsOf(this.#optional),
      ...powerDevices(power, board === undefined ? MICROVM_POWER : PC_POWER),
      ...(board?.devices ?? []),
    ]);
  }

  /** Registers in memory, but for the local APICs'. */
  get windows(): readonly MemoryWindow[] {
    return this.board?.windows ?? [];
  }

  capture(): SurroundingsState {
    return {
      uart: this.uart.capture(),
      board: this.board?.capture(),
      optional: captureParts(this.#optional),
    };
  }
  reinstate({ uart, board, optional }: SurroundingsState): void {
    this.uart.reinstate(uart);
    if (board !== undefined) this.board?.reinstate(board);
    reinstateParts(this.#optional, optional);
  }
}

const uartWiring = (board: PcBoard): UartWiring => ({
  interrupt: (level) => board.setLine(LINE.serial, level),
  waitsForRts: true,
});
