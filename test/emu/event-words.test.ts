/** What an event's words say to a reader, by kind. */
import { expect, it } from 'vitest';
import {
  describeEvent,
  EVENT_KINDS,
  exceptionWord,
  ipiWord,
  msrWord,
  portWord,
} from '../../emu/event-words.js';
import type { EventKind } from '../../emu/events.js';

const ROWS: readonly (readonly [kind: EventKind, word: number, value: number, text: string])[] = [
  ['exception', exceptionWord(14, 0x7), 0x401000, 'exception #PF, error code 0x7'],
  ['exception', exceptionWord(6, undefined), 0x401000, 'exception #UD'],
  ['exception', exceptionWord(0x80, undefined), 0x401000, 'INT 0x80'],
  ['interrupt', 0xec, 0x401000, 'interrupt 0xec'],
  ['nmi', 0, 0x401000, 'NMI'],
  ['syscall', 39, 0x401000, 'system call 39'],
  ['halt', 0, 0x401000, 'HLT'],
  ['ipi', ipiWord('fixed', 0xfd), 0, 'IPI fixed 0xfd'],
  ['ipi', ipiWord('init', 0), 0, 'IPI init 0x0'],
  ['port', portWord('out', 0x3f8, 1), 0x41, 'OUT 0x41 to port 0x3f8'],
  ['port', portWord('in', 0x3fd, 1), 0x61, 'IN 0x61 from port 0x3fd'],
  ['msr', msrWord('read', 0xc000_0080), 0x500, 'RDMSR 0xc0000080, low half 0x500'],
  ['msr', msrWord('write', 0x1b), 0xfee0_0900, 'WRMSR 0x1b, low half 0xfee00900'],
  ['start', 8, 0, 'start-up at 0x8000'],
  ['shutdown', 14, 0x401000, 'triple fault after vector 14'],
];

it.each(ROWS)('%s %x: %x is "%s"', (kind, word, value, text) => {
  expect(describeEvent(kind, word, value)).toBe(text);
});

it('no kind is without a row', () => {
  expect([...new Set(ROWS.map(([kind]) => kind))].sort()).toEqual([...EVENT_KINDS].sort());
});
