/**
 * The real-time clock with 114 bytes of battery-backed memory (Motorola MC146818A data sheet; Intel 82371AB data sheet, "Real time clock"),
 * at ports 0x70 and 0x71. It starts at a fixed moment and runs on the machine's clock, so a run stays a function of its inputs.
 *
 * The idea: the three interrupt flags are functions of the time of the last look and of now, so nothing is done second by
 * second; only an interrupt that is enabled makes an event.
 */
import type { PortDevice } from './ports.js';

/** 2026-01-01 00:00:00 UTC. */
export const RTC_START = Date.UTC(2026, 0, 1);
const FIRST_PORT = 0x70;
const NS_PER_MS = 1e6;
const SECOND = 1e9;
const DAY_SECONDS = 86_400;
const REGISTER = {
  seconds: 0, secondsAlarm: 1, minutes: 2, minutesAlarm: 3, hours: 4, hoursAlarm: 5,
  weekday: 6, day: 7, month: 8, year: 9, a: 10, b: 11, c: 12, d: 13, century: 0x32,
} as const; // biome-ignore format: a table
const A = { updating: 0x80, rate: 0x0f } as const;
const B = { set: 0x80, binary: 0x04, hours24: 0x02 } as const;
/** Interrupt flags of register C, and their enable bits in register B: the same bits. */
const FLAG = { periodic: 0x40, alarm: 0x20, update: 0x10, any: 0x80 } as const;
/** Memory is valid: the battery is good. */
const D_VALID = 0x80;
/** The time bytes may change 244 µs after bit 7 of register A has gone up. */
const UPDATE_NOTICE = 244_000;
/** An alarm byte of 0xC0 and above matches any value. */
const ANY = 0xc0;
const PM = 0x80;
const BASE_HZ = 32_768;

export interface RtcState {
  readonly ram: Uint8Array;
  readonly index: number;
  readonly offset: number;
  readonly seen: number;
  readonly flags: number;
}

export interface RtcWires {
  /** The machine's time, in nanoseconds. */
  now(): number;
  interrupt(level: boolean): void;
  /** `deadline` has changed. */
  changed(): void;
}

export class Rtc {
  readonly devices: readonly PortDevice[];
  readonly #wires: RtcWires;
  readonly #ram = new Uint8Array(128);
  #index = 0;
  /** Milliseconds that the guest has moved the clock by. */
  #offset = 0;
  /** The flags are worked out up to here, in nanoseconds. */
  #seen = 0;
  #flags = 0;

  constructor(wires: RtcWires) {
    this.#wires = wires;
    this.#ram[REGISTER.a] = 0x26; // 32 kHz, a periodic rate of 1024 Hz
    this.#ram[REGISTER.b] = B.hours24;
    this.devices = [
      {
        firstPort: FIRST_PORT,
        ports: 2,
        read: (offset) => (offset === 0 ? 0xff : this.#read(this.#index)),
        write: (offset, value) => {
          if (offset === 0) this.#index = value & 0x7f;
          else this.#write(this.#index, value & 0xff);
        },
      },
    ];
  }

  #date(now: number): Date {
    return new Date(RTC_START + this.#offset + Math.floor(now / NS_PER_MS));
  }

  #encode(value: number): number {
    return (this.#ram[REGISTER.b]! & B.binary) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }
  #decode(byte: number): number {
    return (this.#ram[REGISTER.b]! & B.binary) !== 0 ? byte : (byte >> 4) * 10 + (byte & 0xf);
  }
  #encodeHours(hours: number): number {
    if ((this.#ram[REGISTER.b]! & B.hours24) !== 0) return this.#encode(hours);
    return this.#encode(hours % 12 === 0 ? 12 : hours % 12) | (hours >= 12 ? PM : 0);
  }
  #decodeHours(byte: number): number {
    if ((this.#ram[REGISTER.b]! & B.hours24) !== 0) return this.#decode(byte);
    return (this.#decode(byte & ~PM) % 12) + ((byte & PM) !== 0 ? 12 : 0);
  }

  /** A byte of the time; `undefined` for what is no such. */
  #timeByte(index: number, date: Date): number | undefined {
    switch (index) {
      case REGISTER.seconds:
        return this.#encode(date.getUTCSeconds());
      case REGISTER.minutes:
        return this.#encode(date.getUTCMinutes());
      case REGISTER.hours:
        return this.#encodeHours(date.getUTCHours());
      case REGISTER.weekday:
        return this.#encode(date.getUTCDay() + 1);
      case REGISTER.day:
        return this.#encode(date.getUTCDate());
      case REGISTER.month:
        return this.#encode(date.getUTCMonth() + 1);
      case REGISTER.year:
        return this.#encode(date.getUTCFullYear() % 100);
      case REGISTER.century:
        return this.#encode(Math.floor(date.getUTCFullYear() / 100));
      default:
        return undefined;
    }
  }

  get #isSet(): boolean {
    return (this.#ram[REGISTER.b]! & B.set) !== 0;
  }

  #read(index: number): number {
    const now = this.#wires.now();
    const time = this.#isSet ? undefined : this.#timeByte(index, this.#date(now));
    if (time !== undefined) return time;
    switch (index) {
      case REGISTER.a: {
        const isNear = !this.#isSet && this.#nextSecond(now) - now <= UPDATE_NOTICE;
        return this.#ram[index]! | (isNear ? A.updating : 0);
      }
      case REGISTER.c: {
        this.advance(now);
        const flags = this.#flags;
        this.#flags = 0;
        this.#settle();
        return (flags & this.#ram[REGISTER.b]!) !== 0 ? flags | FLAG.any : flags;
      }
      case REGISTER.d:
        return D_VALID;
      default:
        return this.#ram[index]!;
    }
  }

  #write(index: number, byte: number): void {
    const now = this.#wires.now();
    this.advance(now);
    if (index === REGISTER.c || index === REGISTER.d) return;
    if (index === REGISTER.b && (byte & B.set) !== 0 && !this.#isSet) this.#freeze(now);
    const isTime = this.#timeByte(index, this.#date(now)) !== undefined;
    if (isTime && !this.#isSet) this.#freeze(now);
    const wasSet = this.#isSet;
    this.#ram[index] = index === REGISTER.a ? byte & ~A.updating : byte;
    if ((isTime && !wasSet) || (wasSet && !this.#isSet)) this.#thaw(now);
    this.#settle();
  }

  /** The time of now becomes the bytes, to be written one by one. */
  #freeze(now: number): void {
    const date = this.#date(now);
    for (let index = 0; index < this.#ram.length; index++) {
      const byte = this.#timeByte(index, date);
      if (byte !== undefined) this.#ram[index] = byte;
    }
  }

  /** The bytes become the time. */
  #thaw(now: number): void {
    const field = (index: number): number => this.#decode(this.#ram[index]!);
    const time = Date.UTC(
      field(REGISTER.century) * 100 + field(REGISTER.year),
      field(REGISTER.month) - 1,
      field(REGISTER.day),
      this.#decodeHours(this.#ram[REGISTER.hours]!),
      field(REGISTER.minutes),
      field(REGISTER.seconds),
    );
    this.#offset = time - RTC_START - Math.floor(now / NS_PER_MS);
  }

  /** The offset is whole seconds less the milliseconds of when it was set. */
  #nextSecond(now: number): number {
    const phase = (((-this.#offset % 1000) + 1000) % 1000) * NS_PER_MS;
    return Math.floor((now - phase) / SECOND + 1) * SECOND + phase;
  }

  /** Nanoseconds of the periodic interrupt; 0: none. Rates 1 and 2 are 256 and 128 Hz. */
  get #period(): number {
    const rate = this.#ram[REGISTER.a]! & A.rate;
    if (rate === 0) return 0;
    return SECOND / (BASE_HZ >> ((rate < 3 ? rate + 7 : rate) - 1));
  }
  #nextPeriodic(now: number): number {
    const period = this.#period;
    return period === 0 ? Number.POSITIVE_INFINITY : (Math.floor(now / period) + 1) * period;
  }

  /** When the alarm matches next after `now`. */
  #nextAlarm(now: number): number {
    const matches = (alarm: number, value: number, decode: (byte: number) => number): boolean => {
      const byte = this.#ram[alarm]!;
      return byte >= ANY || decode(byte) === value;
    };
    const plain = (byte: number): number => this.#decode(byte);
    const second = this.#nextSecond(now);
    for (let later = 0; later < DAY_SECONDS; later++) {
      const at = second + later * SECOND;
      const date = this.#date(at);
      if (
        matches(REGISTER.secondsAlarm, date.getUTCSeconds(), plain) &&
        matches(REGISTER.minutesAlarm, date.getUTCMinutes(), plain) &&
        matches(REGISTER.hoursAlarm, date.getUTCHours(), (byte) => this.#decodeHours(byte))
      )
        return at;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** The enabled flag that will go up next, and when. */
  #nextFlag(): number {
    const enabled = this.#ram[REGISTER.b]! & ~this.#flags;
    const from = this.#seen;
    const running = !this.#isSet;
    return Math.min(
      (enabled & FLAG.periodic) !== 0 ? this.#nextPeriodic(from) : Number.POSITIVE_INFINITY,
      (enabled & FLAG.update) !== 0 && running ? this.#nextSecond(from) : Number.POSITIVE_INFINITY,
      (enabled & FLAG.alarm) !== 0 && running ? this.#nextAlarm(from) : Number.POSITIVE_INFINITY,
    );
  }
  #deadline = Number.POSITIVE_INFINITY;

  /** When `advance` has something to do next. */
  get deadline(): number {
    return this.#deadline;
  }

  /** Works the flags out up to `now`. */
  advance(now: number): void {
    const from = this.#seen;
    if (now <= from) return;
    this.#seen = now;
    if (this.#nextPeriodic(from) <= now) this.#flags |= FLAG.periodic;
    if (!this.#isSet && this.#nextSecond(from) <= now) {
      this.#flags |= FLAG.update;
      if (this.#nextAlarm(from) <= now) this.#flags |= FLAG.alarm;
    }
    this.#settle();
  }

  #settle(): void {
    const isUp = (this.#flags & this.#ram[REGISTER.b]! & (FLAG.periodic | FLAG.alarm | FLAG.update)) !== 0;
    this.#wires.interrupt(isUp);
    this.#deadline = this.#nextFlag();
    this.#wires.changed();
  }

  capture(): RtcState {
    return {
      ram: this.#ram.slice(),
      index: this.#index,
      offset: this.#offset,
      seen: this.#seen,
      flags: this.#flags,
    };
  }
  reinstate(state: RtcState): void {
    this.#ram.set(state.ram);
    this.#index = state.index;
    this.#offset = state.offset;
    this.#seen = state.seen;
    this.#flags = state.flags;
    this.#deadline = this.#nextFlag();
  }
}
