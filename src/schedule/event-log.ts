/**
 * The events of a run as lines of text, so that a replay can name the first one that differs. A line has seven words:
 *
 *     187932 0 187930 syscall 1 401136 q3Zk0...17 digits1a2b3c4d
 *     STEP  CPU TIME  KIND WORD PLACE REGISTERS
 *
 * STEP counts the instructions of all CPUs, in decimal like TIME, which is that CPU's. WORD (hexadecimal) is what the event is
 * about, as `emu/event-words.ts` packs it. PLACE is RIP (hexadecimal) where the engine knows it at such an event; otherwise `=` and
 * the low half of the value that moves. REGISTERS has a digit of 6 bits for each general register and RFLAGS, which tells the
 * ones that differ, and a hash of all.
 */
import { type CpuState, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { describeEvent, EVENT_KINDS } from '../../emu/event-words.js';
import type { EventKind } from '../../emu/events.js';
import type { Machine } from '../../emu/machine.js';
import { ScheduleError } from './schedule.js';

/** In the middle of an instruction that moves data, the engine knows the general registers but neither RIP nor the flags. */
const PLACELESS: ReadonlySet<EventKind> = new Set(['port', 'ipi']);

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const REGISTERS = [...GPR_NAMES, 'eflags'] as const;
export type LoggedRegister = (typeof REGISTERS)[number];
const SPREAD_HIGH = 0x9e37_79b1;
const SPREAD = 0x85eb_ca6b;
const FNV_PRIME = 0x0100_0193;
const FNV_SEED = 0x811c_9dc5;
/** The upper bits of a product depend on all bits of its factor. */
const DIGIT_SHIFT = 26;

const hex = (value: number): string => (value >>> 0).toString(16);
const hex8 = (value: number): string => hex(value).padStart(8, '0');

/** A word for the registers of a CPU; `flags` is 0 where they are not known. */
function registerWord(state: CpuState, flags: number): string {
  let digits = '';
  let hash = FNV_SEED;
  for (let index = 0; index < REGISTERS.length; index++) {
    const low = index < GPR_NAMES.length ? state.reg32(index) : flags;
    const high = index < GPR_NAMES.length ? state.regHigh32(index) : 0;
    const mixed = Math.imul(low ^ Math.imul(high, SPREAD_HIGH), SPREAD);
    digits += DIGITS[mixed >>> DIGIT_SHIFT];
    hash = Math.imul(hash ^ mixed, FNV_PRIME);
  }
  return digits + hex8(hash);
}

/**
 * Hands over a line for each event of a machine, as it comes; the machine does not notice.
 * @returns a function that ends it.
 */
export function logEvents(machine: Machine, put: (line: string, cpu: number) => void): () => void {
  return machine.events.witness((kind, cpu, time, word, address) => {
    const { state } = machine.cpus[cpu]!;
    const isPlaceless = PLACELESS.has(kind);
    const high = isPlaceless ? 0 : state.ripHigh;
    const place = isPlaceless
      ? `=${hex(address)}`
      : high === 0
        ? hex(state.ripLow)
        : hex(high) + hex8(state.ripLow);
    const registers = registerWord(state, isPlaceless ? 0 : state.rflags);
    put(`${machine.retired} ${cpu} ${time} ${kind} ${hex(word)} ${place} ${registers}`, cpu);
  });
}

export interface LoggedEvent {
  /** Instructions of all CPUs before the event. */
  readonly step: number;
  readonly cpu: number;
  /** Nanoseconds of guest time at that CPU. */
  readonly time: number;
  /** In a few words. */
  readonly what: string;
  /** RIP, where it is known. */
  readonly rip: bigint | undefined;
  readonly registers: string;
}

const LINE = /^(\d{1,16}) (\d) (\d{1,16}) (\w+) ([0-9a-f]{1,8}) (=?)([0-9a-f]{1,16}) ([\w-]{17}[0-9a-f]{8})$/;

/** Reads a line. @throws ScheduleError when it is none. */
export function parseEvent(line: string): LoggedEvent {
  const [, step, cpu, time, name, word, equals, place, registers] = LINE.exec(line) ?? [];
  const kind = EVENT_KINDS.find((known) => known === name);
  if (kind === undefined)
    throw new ScheduleError(`expected an event of a run, found ${JSON.stringify(line.slice(0, 100))}`);
  return {
    step: Number(step),
    cpu: Number(cpu),
    time: Number(time),
    what: describeEvent(kind, Number.parseInt(word!, 16), Number.parseInt(place!.slice(-8), 16)),
    rip: equals === '' ? BigInt(`0x${place}`) : undefined,
    registers: registers!,
  };
}

/** The registers whose digits differ between two events; none where only the hash tells. */
export const differentRegisters = (one: LoggedEvent, other: LoggedEvent): LoggedRegister[] =>
  REGISTERS.filter((_, index) => one.registers[index] !== other.registers[index]);
