/**
 * The 8254 interval timer of a PC (Intel 8254 data sheet, order number 231164) and the port at 0x61 that gates its channel 2. Channel 0
 * drives interrupt line 0; channel 1, which once refreshed memory, counts and drives nothing.
 *
 * The idea: what a counter holds and whether its output is high are functions of the time since it was loaded. So nothing
 * is done tick by tick: only the rises of channel 0's output are events. Its falls in between are not shown
 * to the interrupt controller one by one: a rise is shown as a fall and a rise.
 */
import type { PortDevice } from './ports.js';

/** Hertz of the input clock: a third of the NTSC colour carrier. */
export const PIT_HZ = 1_193_182;
const NS = 1e9;
const FIRST_PORT = 0x40;
const CONTROL = 3;
const GATE_PORT = 0x61;
/** Port 0x61 (Intel 82371AB data sheet, "NMI status and control"): bit 4 toggles with each refresh, about every 15 µs. */
const GATE = { timer2: 0x01, speaker: 0x02, refresh: 0x10, out2: 0x20, writable: 0x0f } as const;
const REFRESH_NS = 15_085;
const READ_BACK = 3;
/** Access field of a control word: latch, low byte, high byte, low then high. */
const ACCESS = { latch: 0, low: 1, high: 2, both: 3 } as const;

const POWER_UP = {
  mode: 3,
  isBcd: false,
  access: ACCESS.both as number,
  /** Loaded count in input clocks: 1 to 65536. Undefined: a control word was written and no count since. */
  count: undefined as number | undefined,
  /** When counting began, in nanoseconds; infinity: it waits for its gate. */
  start: Number.POSITIVE_INFINITY,
  /** Clocks that had passed when the gate fell. */
  held: 0,
  gate: true,
  /** The low byte of a count of two bytes. */
  lowByte: undefined as number | undefined,
  /** Bytes latched for reading, first one first. */
  latch: [] as readonly number[],
  status: undefined as number | undefined,
  readsHigh: false,
};
type ChannelState = Readonly<typeof POWER_UP>;

/** Modes in which a low gate stops counting, and those in which a rising gate starts it anew (data sheet, "Gate operations"). */
const GATE_STOPS = [0, 2, 3, 4] as const;
const GATE_STARTS = [1, 2, 3, 5] as const;
const includes = (modes: readonly number[], mode: number): boolean => modes.includes(mode);

class Channel {
  state = { ...POWER_UP };

  /** Input clocks counted since the count was loaded; negative: none yet. */
  #clocks(now: number): number {
    const { start, held } = this.state;
    return start === Number.POSITIVE_INFINITY ? held : held + Math.floor(((now - start) * PIT_HZ) / NS);
  }

  /** The counting element: 16 bits, binary or four decimal digits. */
  #counter(now: number): number {
    const { count, mode, isBcd } = this.state;
    if (count === undefined) return 0;
    const clocks = this.#clocks(now);
    const modulus = isBcd ? 10_000 : 0x1_0000;
    if (mode === 2) return count - (clocks % count);
    if (mode === 3) return (count - ((2 * clocks) % count)) & 0xfffe; // counts by two
    return (((count - clocks) % modulus) + modulus) % modulus;
  }

  output(now: number): boolean {
    const { count, mode } = this.state;
    if (count === undefined) return mode !== 0;
    const clocks = this.#clocks(now);
    switch (mode) {
      case 0:
        return clocks >= count;
      case 1:
        return !this.#isTriggered || clocks >= count;
      case 2:
        return clocks % count !== count - 1 || !this.state.gate;
      case 3:
        return clocks % count < Math.ceil(count / 2) || !this.state.gate;
      default:
        return clocks !== count || !this.#isTriggered;
    }
  }
  get #isTriggered(): boolean {
    return this.state.start !== Number.POSITIVE_INFINITY;
  }

  /** When the output rises next after `now`, in nanoseconds; infinity: never. */
  nextRise(now: number): number {
    const { count, mode, start, held } = this.state;
    if (count === undefined || start === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    const at = (clocks: number): number => start + Math.ceil(((clocks - held) * NS) / PIT_HZ);
    if (mode === 2 || mode === 3) {
      const next = at((Math.floor(this.#clocks(now) / count) + 1) * count);
      return next > now ? next : at((Math.floor(this.#clocks(now) / count) + 2) * count);
    }
    const once = at(mode === 0 || mode === 1 ? count : count + 1);
    return once > now ? once : Number.POSITIVE_INFINITY;
  }

  control(word: number, now: number): void {
    const access = (word >> 4) & 3;
    if (access === ACCESS.latch) {
      this.#latchCount(now);
      return;
    }
    const mode = (word >> 1) & 7;
    this.state = {
      ...POWER_UP,
      gate: this.state.gate,
      access,
      mode: mode > 5 ? mode - 4 : mode, // 6 and 7 are 2 and 3
      isBcd: (word & 1) !== 0,
    };
  }

  /** A second latch before the first has been read changes nothing. */
  #latchCount(now: number): void {
    const { state } = this;
    if (state.latch.length > 0) return;
    const value = this.#encode(this.#counter(now));
    const bytes = [value & 0xff, value >> 8];
    state.latch = state.access === ACCESS.both ? bytes : [bytes[state.access - 1]!];
  }

  /** Read-back command: bit 5 clear latches the count, bit 4 clear the status. */
  readBack(word: number, now: number): void {
    const { state } = this;
    if ((word & 0x20) === 0) this.#latchCount(now);
    if ((word & 0x10) === 0) {
      const out = this.output(now) ? 0x80 : 0;
      const isNull = state.count === undefined ? 0x40 : 0;
      state.status ??= out | isNull | (state.access << 4) | (state.mode << 1) | (state.isBcd ? 1 : 0);
    }
  }

  read(now: number): number {
    const { state } = this;
    if (state.status !== undefined) {
      const { status } = state;
      state.status = undefined;
      return status;
    }
    const [latched, ...rest] = state.latch;
    if (latched !== undefined) {
      state.latch = rest;
      return latched;
    }
    const value = this.#encode(this.#counter(now));
    if (state.access === ACCESS.high || (state.access === ACCESS.both && state.readsHigh)) {
      state.readsHigh = false;
      return value >> 8;
    }
    state.readsHigh = state.access === ACCESS.both;
    return value & 0xff;
  }

  write(byte: number, now: number): void {
    const { state } = this;
    if (state.access === ACCESS.both && state.lowByte === undefined) {
      state.lowByte = byte;
      if (state.mode === 0) state.start = Number.POSITIVE_INFINITY; // the first byte stops the count
      return;
    }
    const low = state.access === ACCESS.high ? 0 : state.access === ACCESS.low ? byte : state.lowByte!;
    const high = state.access === ACCESS.low ? 0 : byte;
    state.lowByte = undefined;
    this.#load(this.#decode((high << 8) | low), now);
  }

  /** A running counter of modes 2 and 3 takes a new count at the end of its period; here at once, as if the period ended. */
  #load(value: number, now: number): void {
    const { state } = this;
    state.count = value === 0 ? (state.isBcd ? 10_000 : 0x1_0000) : value;
    if (state.mode === 1 || state.mode === 5) return; // the gate starts these
    state.held = 0;
    state.start = state.gate ? now : Number.POSITIVE_INFINITY;
  }

  setGate(gate: boolean, now: number): void {
    const { state } = this;
    if (gate === state.gate) return;
    const clocks = this.#clocks(now);
    state.gate = gate;
    if (gate && state.count !== undefined) {
      if (includes(GATE_STARTS, state.mode)) state.held = 0;
      state.start = now;
    } else if (!gate && includes(GATE_STOPS, state.mode)) {
      state.held = clocks;
      state.start = Number.POSITIVE_INFINITY;
    }
  }

  #encode(value: number): number {
    return this.state.isBcd ? Number.parseInt(String(value % 10_000), 16) : value & 0xffff;
  }
  #decode(value: number): number {
    return this.state.isBcd ? Number.parseInt(value.toString(16).replace(/[a-f]/g, '9'), 10) : value;
  }
}

export interface PitState {
  readonly channels: readonly ChannelState[];
  readonly gatePort: number;
  readonly nextRise: number;
}

export interface PitWires {
  /** The machine's time, in nanoseconds. */
  now(): number;
  /** Channel 0's output has become this. */
  output0(level: boolean): void;
  /** `deadline` has changed. */
  changed(): void;
}

export class Pit {
  readonly devices: readonly PortDevice[];
  readonly #wires: PitWires;
  readonly #channels = [new Channel(), new Channel(), new Channel()];
  #gatePort = 0;
  #nextRise = Number.POSITIVE_INFINITY;

  constructor(wires: PitWires) {
    this.#wires = wires;
    this.#channels[2]!.setGate(false, 0);
    this.devices = [
      {
        firstPort: FIRST_PORT,
        ports: 4,
        read: (offset) => this.#channels[offset]?.read(wires.now()) ?? 0xff,
        write: (offset, value) => this.#write(offset, value & 0xff),
      },
      {
        firstPort: GATE_PORT,
        ports: 1,
        read: () => this.#readGate(),
        write: (_offset, value) => {
          this.#gatePort = value & GATE.writable;
          this.#channels[2]!.setGate((value & GATE.timer2) !== 0, wires.now());
        },
      },
    ];
  }

  #write(offset: number, value: number): void {
    const now = this.#wires.now();
    const selected = value >> 6;
    const isLatch = ((value >> 4) & 3) === ACCESS.latch;
    if (offset !== CONTROL) this.#channels[offset]!.write(value, now);
    else if (selected !== READ_BACK) this.#channels[selected]!.control(value, now);
    else
      for (const [index, channel] of this.#channels.entries())
        if ((value & (2 << index)) !== 0) channel.readBack(value, now);
    // Guests latch channel 0 over and over to wait: that changes nothing.
    if (offset !== 0 && !(offset === CONTROL && selected === 0 && !isLatch)) return;
    this.#wires.output0(this.#channels[0]!.output(now));
    this.#nextRise = this.#channels[0]!.nextRise(now);
    this.#wires.changed();
  }

  #readGate(): number {
    const now = this.#wires.now();
    const refresh = Math.floor(now / REFRESH_NS) % 2 === 0 ? 0 : GATE.refresh;
    return this.#gatePort | refresh | (this.#channels[2]!.output(now) ? GATE.out2 : 0);
  }

  /** When `advance` has something to do next. */
  get deadline(): number {
    return this.#nextRise;
  }

  advance(now: number): void {
    if (now < this.#nextRise) return;
    this.#wires.output0(false);
    this.#wires.output0(true);
    this.#nextRise = this.#channels[0]!.nextRise(now);
  }

  capture(): PitState {
    return {
      channels: this.#channels.map((channel) => ({ ...channel.state })),
      gatePort: this.#gatePort,
      nextRise: this.#nextRise,
    };
  }
  reinstate(state: PitState): void {
    for (const [index, channel] of this.#channels.entries()) channel.state = { ...state.channels[index]! };
    this.#gatePort = state.gatePort;
    this.#nextRise = state.nextRise;
  }
}
