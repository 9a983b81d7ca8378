/** The options that all commands which run a guest share, and their reading. */
import type { Command } from 'commander';
import {
  DEFAULT_BUDGET,
  DEFAULT_RAM,
  DEFAULT_TURN,
  MAX_CPUS,
  type MachineOptions,
} from '../../emu/machine.js';
import type { GuestFiles } from '../lab/open.js';
import { UsageError } from './errors.js';

interface RawOptions {
  module: string[];
  append: string;
  cpus: number;
  ram: number;
  turn: number;
  budget: number;
}

export interface GuestRun {
  readonly files: GuestFiles;
  readonly options: MachineOptions;
  /** Instructions after which the run ends. */
  readonly budget: number;
}

const SUFFIX: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const DECIMAL_SUFFIX: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

function quantity(name: string, text: string, suffixes: Readonly<Record<string, number>>): number {
  const match = /^(\d+)([kmg]?)b?$/i.exec(text);
  if (match === null)
    throw new UsageError(
      `expected ${name} as a number, with K, M or G behind it if need be, found "${text}"`,
    );
  return Number(match[1]) * suffixes[match[2]!.toLowerCase()]!;
}

function whole(name: string, from: number, to: number) {
  return (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= from && value <= to))
      throw new UsageError(`expected ${name} from ${from} to ${to}, found "${text}"`);
    return value;
  };
}

/** Adds the options; what the user gave is read by `guestRun`. */
export function addGuestOptions(command: Command): Command {
  const collect = (value: string, previous: string[]): string[] => [...previous, value];
  return command
    .argument('<image>', 'kernel: an ELF file with a PVH note, or @kernel, the one of this package')
    .option(
      '-m, --module <file[,args]>',
      'a program for the kernel, such as build/hello.elf or @hello; can be given again',
      collect,
      [],
    )
    .option('--append <text>', 'kernel command line', '')
    .option('--cpus <n>', `CPUs, 1 to ${MAX_CPUS}`, whole('--cpus', 1, MAX_CPUS), 1)
    .option('--ram <size>', 'RAM, such as 64M', (text) => quantity('--ram', text, SUFFIX), DEFAULT_RAM)
    .option('--turn <n>', "instructions of a CPU's turn", whole('--turn', 1, 1e9), DEFAULT_TURN)
    .option(
      '--budget <n>',
      'instructions after which the run ends, such as 500M',
      (text) => quantity('--budget', text, DECIMAL_SUFFIX),
      DEFAULT_BUDGET,
    );
}

export function guestRun(image: string, raw: RawOptions): GuestRun {
  if (raw.budget < 1) throw new UsageError('expected --budget of at least 1 instruction, found 0');
  return {
    files: { image, modules: raw.module, commandLine: raw.append },
    options: { cpus: raw.cpus, ram: raw.ram, turn: raw.turn },
    budget: raw.budget,
  };
}

export type GuestOptions = RawOptions;

/** The kernel command line with `word` (`key=value`) added, unless the user has given that key. */
export function withWord(commandLine: string, word: string): string {
  const key = word.slice(0, word.indexOf('=') + 1);
  return commandLine.split(/\s+/).some((given) => given.startsWith(key))
    ? commandLine
    : `${word} ${commandLine}`.trim();
}
