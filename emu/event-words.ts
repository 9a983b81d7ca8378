/** What an event is about, packed into the word that is hashed, and unpacked again into words of a reader. */
import { EXCEPTIONS } from './cpu/architecture.js';
import type { EventKind } from './events.js';

/** Those that came later are behind the others, whose words are in records. */
const IPI_MODES = ['fixed', 'nmi', 'init', 'sipi', 'lowest', 'smi'] as const;
const IS_OUT = 1 << 20;
/** No MSR has this bit in its number (SDM 4, table 2-2; AMD64 manual 2, appendix A). */
const IS_WRITE = 1 << 29;

export const exceptionWord = (vector: number, errorCode: number | undefined): number =>
  vector | ((errorCode ?? 0) << 8);
export const ipiWord = (mode: (typeof IPI_MODES)[number], vector: number): number =>
  vector | (IPI_MODES.indexOf(mode) << 8);
export const portWord = (direction: 'in' | 'out', port: number, size: number): number =>
  port | (size << 16) | (direction === 'out' ? IS_OUT : 0);
export const msrWord = (direction: 'read' | 'write', msr: number): number =>
  (direction === 'write' ? msr | IS_WRITE : msr) >>> 0;

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** By kind: the event in a few words, from its word and the low half of its address or value. */
const DESCRIPTIONS: Readonly<Record<EventKind, (word: number, value: number) => string>> = {
  exception: (word) => {
    const vector = word & 0xff;
    const { mnemonic, errorCode } = EXCEPTIONS[vector] ?? {};
    const code = errorCode ? `, error code ${hex(word >>> 8)}` : '';
    return mnemonic === undefined ? `INT ${hex(vector)}` : `exception ${mnemonic}${code}`;
  },
  interrupt: (vector) => `interrupt ${hex(vector)}`,
  nmi: () => 'NMI',
  syscall: (number) => `system call ${number}`,
  halt: () => 'HLT',
  ipi: (word) => `IPI ${IPI_MODES[(word >>> 8) & 7]} ${hex(word & 0xff)}`,
  port: (word, value) => {
    const port = hex(word & 0xffff);
    return (word & IS_OUT) === 0 ? `IN ${hex(value)} from port ${port}` : `OUT ${hex(value)} to port ${port}`;
  },
  msr: (word, value) =>
    (word & IS_WRITE) === 0
      ? `RDMSR ${hex(word)}, low half ${hex(value)}`
      : `WRMSR ${hex(word & ~IS_WRITE)}, low half ${hex(value)}`,
  start: (vector) => `start-up at ${hex(vector << 12)}`,
  shutdown: (vector) => `triple fault after vector ${vector}`,
};

export const EVENT_KINDS = Object.keys(DESCRIPTIONS) as readonly EventKind[];

/** The event in a few words, as its witness has it. */
export const describeEvent = (kind: EventKind, word: number, value: number): string =>
  DESCRIPTIONS[kind](word, value);
