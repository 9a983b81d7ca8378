/**
 * The keyboard controller of a PC (IBM PC/AT Technical Reference, "Keyboard controller"; Intel 8042), with neither keyboard nor mouse behind it: data at port 0x60,
 * status and commands at 0x64. Its output port resets the machine; the A20 gate that it once was stands open.
 */
import type { PortDevice } from './ports.js';

export const KEYBOARD_PORTS = { data: 0x60, command: 0x64 } as const;
/** Status: a byte waits; a command's byte is expected; passed its self-test; the last byte was a command; not locked; no answer came. */
const STATUS = { full: 0x01, tested: 0x04, command: 0x08, unlocked: 0x10, timeout: 0x40 } as const;
/** The command byte: interrupt when a byte waits; tested; the keyboard is off; scan codes are translated. */
const MODE = { interrupt: 0x01, tested: 0x04, off: 0x10, translates: 0x40, auxiliaryOff: 0x20 } as const;
const POWER_UP_MODE = MODE.interrupt | MODE.tested | MODE.translates | MODE.auxiliaryOff;
/** The output port: the reset line, low active; the A20 gate; keyboard clock and data. */
const OUTPUT = { reset: 0x01, a20: 0x02, full: 0x10, idle: 0xc0 } as const;
/** The input port: the keyboard is not locked. */
const INPUT_UNLOCKED = 0x80;
/** What is answered for a keyboard that does not answer. */
const NO_ANSWER = 0xfe;
const TEST = { self: 0x55, passed: 0x00, failed: 0xff } as const;

const COMMAND = {
  readMode: 0x20,
  writeMode: 0x60,
  auxiliaryOff: 0xa7,
  auxiliaryOn: 0xa8,
  auxiliaryTest: 0xa9,
  selfTest: 0xaa,
  keyboardTest: 0xab,
  keyboardOff: 0xad,
  keyboardOn: 0xae,
  readInput: 0xc0,
  readOutput: 0xd0,
  writeOutput: 0xd1,
  fakeKeyboard: 0xd2,
  fakeAuxiliary: 0xd3,
  toAuxiliary: 0xd4,
  readTests: 0xe0,
  pulse: 0xf0,
} as const;
/** Commands that take a byte. */
const TAKES_BYTE: readonly number[] = [
  COMMAND.writeMode,
  COMMAND.writeOutput,
  COMMAND.fakeKeyboard,
  COMMAND.fakeAuxiliary,
  COMMAND.toAuxiliary,
];

export interface KeyboardState {
  readonly mode: number;
  /** The byte that waits. */
  readonly output: number | undefined;
  readonly timeout: boolean;
  /** The last byte that was written, and whether it was a command. */
  readonly last: number;
  readonly wasCommand: boolean;
  /** The command that waits for its byte. */
  readonly pending: number | undefined;
}

export interface KeyboardWires {
  reset(): void;
  /** Interrupt line 1. */
  interrupt(level: boolean): void;
}

export class KeyboardController {
  readonly devices: readonly PortDevice[];
  readonly #wires: KeyboardWires;
  #state: KeyboardState = {
    mode: POWER_UP_MODE,
    output: undefined,
    timeout: false,
    last: 0,
    wasCommand: false,
    pending: undefined,
  };

  constructor(wires: KeyboardWires) {
    this.#wires = wires;
    this.devices = [
      {
        firstPort: KEYBOARD_PORTS.data,
        ports: 1,
        read: () => this.#readData(),
        write: (_offset, value) => this.#writeData(value & 0xff),
      },
      {
        firstPort: KEYBOARD_PORTS.command,
        ports: 1,
        read: () => this.#status,
        write: (_offset, value) => this.#command(value & 0xff),
      },
    ];
  }

  #change(change: Partial<KeyboardState>): void {
    this.#state = { ...this.#state, ...change };
    const { mode, output } = this.#state;
    this.#wires.interrupt(output !== undefined && (mode & MODE.interrupt) !== 0);
  }

  get #status(): number {
    const { output, timeout, wasCommand, mode } = this.#state;
    return (
      (output === undefined ? 0 : STATUS.full) |
      (mode & MODE.tested) |
      (wasCommand ? STATUS.command : 0) |
      STATUS.unlocked |
      (timeout ? STATUS.timeout : 0)
    );
  }

  /** The byte that waits; without one, the last there was. */
  #readData(): number {
    const { output, last } = this.#state;
    if (output !== undefined) this.#change({ output: undefined, timeout: false, last: output });
    return output ?? last;
  }

  #answer(output: number, timeout = false): void {
    this.#change({ output, timeout });
  }

  #writeData(value: number): void {
    const { pending } = this.#state;
    this.#change({ pending: undefined, wasCommand: false });
    switch (pending) {
      case COMMAND.writeMode:
        this.#change({ mode: value });
        break;
      case COMMAND.writeOutput:
        if ((value & OUTPUT.reset) === 0) this.#wires.reset();
        break;
      case COMMAND.fakeKeyboard:
        this.#answer(value);
        break;
      case COMMAND.fakeAuxiliary: // there is no port that it could come from
        break;
      default:
        this.#answer(NO_ANSWER, true); // for the keyboard or the mouse
    }
  }

  #command(command: number): void {
    this.#change({ pending: TAKES_BYTE.includes(command) ? command : undefined, wasCommand: true });
    const { mode } = this.#state;
    if (command >= COMMAND.pulse) {
      if ((command & OUTPUT.reset) === 0) this.#wires.reset(); // a bit of zero pulses its line
      return;
    }
    switch (command) {
      case COMMAND.readMode:
        this.#answer(mode);
        break;
      case COMMAND.auxiliaryTest:
        this.#answer(TEST.failed);
        break;
      case COMMAND.selfTest:
        this.#change({ mode: mode | MODE.tested });
        this.#answer(TEST.self);
        break;
      case COMMAND.keyboardTest:
        this.#answer(TEST.passed);
        break;
      case COMMAND.keyboardOff:
        this.#change({ mode: mode | MODE.off });
        break;
      case COMMAND.keyboardOn:
        this.#change({ mode: mode & ~MODE.off });
        break;
      case COMMAND.readInput:
        this.#answer(INPUT_UNLOCKED);
        break;
      case COMMAND.readOutput:
        this.#answer(
          OUTPUT.idle | OUTPUT.reset | OUTPUT.a20 | (this.#status & STATUS.full ? OUTPUT.full : 0),
        );
        break;
      case COMMAND.readTests:
        this.#answer(0);
        break;
    }
  }

  capture(): KeyboardState {
    return this.#state;
  }
  reinstate(state: KeyboardState): void {
    this.#state = state;
  }
}
