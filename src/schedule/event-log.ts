/**
 * The events of a run as lines of text, so that a replay can name the first one that differs. A line has seven words:
 *
 *     187932 0 187930 syscall 1 401136 q3Zk0...17 digits1a2b3c4d
 *     STEP  CPU TIME  KIND WORD PLACE REGISTERS
 *
 * STEP counts the instructions of all CPUs, in decimal like TIME, which is that CPU's. WORD (hexadecimal) is what the event is
 * about, as `emu/event-words.ts` packs it. PLACE is RIP (hexadecimal) where the engine knows it at such an event; otherwise `=` and
 * the low half of the value that moves. REGISTERS has a digit of 6 bits for each general register and RFLAGS, which tells the
 * ones that differ, and a hash of all; RF is left out, for the engine clears it only at the end of a block.
 */
import { RFLAGS } from '../../emu/cpu/architecture.js';
import { type CpuState, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { describeEvent, EVENT_KINDS } from '../../emu/event-words.js';
import type { EventKind } from '../../emu/events.js';
import type { Machine } from '../../emu/machine.js';
import { LineBuilder } from './line-builder.js';
import { ScheduleError } from './schedule.js';

/** In the middle of an instruction that moves data, the engine knows the general registers but neither RIP nor the flags. */
const PLACELESS: ReadonlySet<EventKind> = new Set(['port', 'ipi']);

const DIGITS = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');
const REGISTERS = [...GPR_NAMES, 'eflags'] as const;
export type LoggedRegister = (typeof REGISTERS)[number];
const SPREAD_HIGH = 0x9e37_79b1;
const SPREAD = 0x85eb_ca6b;
const FNV_PRIME = 0x0100_0193;
const FNV_SEED = 0x811c_9dc5;
/** The upper bits of a product depend on all bits of its factor. */
const DIGIT_SHIFT = 26;
/** Digits of a 32-bit number. */
const ALL_DIGITS = 8;
const EQUALS = 0x3d;

/** The word for the registers of a CPU; `flags` is 0 where they are not known. */
function addRegisters(line: LineBuilder, state: CpuState, flags: number): void {
  let hash = FNV_SEED;
  for (let index = 0; index < REGISTERS.length; index++) {
    const isGeneral = index < GPR_NAMES.length;
    const low = isGeneral ? state.reg32(index) : flags;
    const high = isGeneral ? state.regHigh32(index) : 0;
    const mixed = Math.imul(low ^ Math.imul(high, SPREAD_HIGH), SPREAD);
    line.byte(DIGITS[mixed >>> DIGIT_SHIFT]!);
    hash = Math.imul(hash ^ mixed, FNV_PRIME);
  }
  line.hex(hash, ALL_DIGITS);
}

/**
 * Hands over a line for each event of a machine, as it comes; the machine does not notice.
 * @returns a function that ends it.
 */
export function logEvents(machine: Machine, put: (line: string, cpu: number) => void): () => void {
  const line = new LineBuilder();
  return machine.events.witness((kind, cpu, time, word, address) => {
    const { state } = machine.cpus[cpu]!;
    const isPlaceless = PLACELESS.has(kind);
    line.decimal(machine.retired);
    line.blank();
    line.decimal(cpu);
    line.blank();
    line.decimal(time);
    line.blank();
    line.text(kind);
    line.blank();
    line.hex(word);
    line.blank();
    if (isPlaceless) {
      line.byte(EQUALS);
      line.hex(address);
    } else addPlace(line, state);
    line.blank();
    addRegisters(line, state, isPlaceless ? 0 : state.rflags & ~RFLAGS.RF);
    put(line.take(), cpu);
  });
}

function addPlace(line: LineBuilder, { ripHigh, ripLow }: CpuState): void {
  if (ripHigh !== 0) line.hex(ripHigh);
  line.hex(ripLow, ripHigh === 0 ? 1 : ALL_DIGITS);
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
