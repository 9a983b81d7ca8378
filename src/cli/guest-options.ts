/** The options that all commands which run a guest share, and their reading. */
import { type Command, Option } from 'commander';
import { FORMAT_NAMES, type FormatName } from '../../emu/boot/formats.js';
import { possibleDevices } from '../../emu/devices/optional.js';
import {
  DEFAULT_BUDGET,
  DEFAULT_RAM,
  DEFAULT_TURN,
  MACHINE_KINDS,
  MAX_CPUS,
  MAX_RAM,
  MAX_TURN,
  type MachineKind,
  type MachineOptions,
  MIN_RAM,
} from '../../emu/machine.js';
import type { NamedImage } from '../asm/code.js';
import { type GuestFiles, openImage, programName } from '../lab/open.js';
import { parseDevices } from '../schedule/schedule.js';
import { UsageError } from './errors.js';
import { type GdbAddress, gdbOption } from './gdb-option.js';

interface RawOptions {
  module: string[];
  initrd?: string;
  append: string;
  machine?: MachineKind;
  device: string[];
  cpus: number;
  ram: number;
  turn?: number;
  budget?: number;
  record?: string;
  checkDeterminism?: boolean;
  gdb?: GdbAddress;
  deterministic?: boolean;
  freeRunning?: boolean;
}

export interface GuestRun {
  readonly files: GuestFiles;
  readonly options: MachineOptions;
  /** Instructions after which the run ends. */
  readonly budget: number;
  /** The file to record the run in. */
  readonly record: string | undefined;
  /** Do the run twice and compare. */
  readonly isChecked: boolean;
  /** Where to wait for gdb. */
  readonly gdb: GdbAddress | undefined;
}

type Suffixes = Readonly<Record<string, number>>;
const BINARY: Suffixes = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const DECIMAL: Suffixes = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

interface Bounds {
  readonly from: number;
  readonly to: number;
  readonly step?: number;
  /** The bounds in words, as the message about a wrong value gives them. */
  readonly range: string;
}

/** A reader of a whole number within bounds; the suffixes may follow it. */
function number(name: string, { from, to, step = 1, range }: Bounds, suffixes: Suffixes = { '': 1 }) {
  return (text: string): number => {
    const [, digits, suffix = ''] = /^(\d+)([a-z]?)$/i.exec(text) ?? [];
    const value = Number(digits) * (suffixes[suffix.toLowerCase()] ?? Number.NaN);
    if (!(value >= from && value <= to && value % step === 0))
      throw new UsageError(`expected ${name} ${range}, found "${text}"`);
    return value;
  };
}

const RAM: Bounds = { from: MIN_RAM, to: MAX_RAM, step: 4096, range: 'from 2M to 2G in steps of 4K' };
const CPUS: Bounds = { from: 1, to: MAX_CPUS, range: `from 1 to ${MAX_CPUS}` };
const TURN: Bounds = { from: 1, to: MAX_TURN, range: `from 1 to ${MAX_TURN}` };
const BUDGET: Bounds = {
  from: 1,
  to: Number.MAX_SAFE_INTEGER,
  range: 'of at least 1 instruction, with K, M or G behind it if need be',
};

/** What a run takes that nobody will repeat. */
const FREE_RUNNING = { turn: 50_000, budget: 100_000_000_000 } as const;

const option = <T>(flags: string, text: string, read: (value: string, before: T) => T): Option =>
  new Option(flags, text).argParser(read);
const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** An option that may be given several times. */
export const repeated = (flags: string, text: string): Option =>
  option(flags, `${text}; may be repeated`, collect).default([], 'none');

/** Names for the frames of programs that the guest has by itself. */
export const programOption = (): Option =>
  repeated('--program <file>', 'names for the user frames of the task with that name');
/** The programs that it names, by the names of their tasks. */
export const programsOf = (files: readonly string[]): ReadonlyMap<string, NamedImage> =>
  new Map(files.map((file) => [programName(file), openImage(file)]));

/** A Linux kernel's command line by which its functions lie where its file says. */
export const withoutKaslr = (commandLine: string): string =>
  commandLine.split(/\s+/).includes('nokaslr') ? commandLine : `${commandLine} nokaslr`.trim();

const deviceList = (kind: MachineKind): string => possibleDevices(kind).join(', ');

/** An option that takes a whole number. */
export function numberOption(flags: string, text: string, bounds: { from: number; to: number }): Option {
  const name = flags.replace(/^-\w, /, '').replace(/ .*/, '');
  return option(flags, text, number(name, { ...bounds, range: `from ${bounds.from} to ${bounds.to}` }));
}

/** Adds the options; what the user gave is read by `guestRun`. */
export function addGuestOptions(command: Command): Command {
  const options = [
    repeated(
      '-m, --module <file[,args]>',
      'a program for the kernel, such as @hello, or a file for a multiboot one',
    ),
    new Option('--initrd <file>', "Linux's initial RAM disk; for other kernels the first module"),
    new Option('--append <text>', 'kernel command line').default('', 'empty'),
    new Option('--machine <kind>', 'what stands around the CPUs; default: microvm').choices(MACHINE_KINDS),
    repeated(
      '--device <name[=on|off]>',
      `a device that the machine is to have or not, such as hpet=off; a microvm can have ${deviceList('microvm')}, a pc has ${deviceList('pc')}`,
    ).default([], "the machine's own"),
    option('--cpus <n>', `CPUs, ${CPUS.range}`, number('--cpus', CPUS)).default(1),
    option('--ram <size>', `RAM, ${RAM.range}`, number('--ram', RAM, BINARY)).default(DEFAULT_RAM, '64M'),
    option(
      '--turn <n>',
      `instructions of a CPU's turn (default: ${DEFAULT_TURN}; free running: ${FREE_RUNNING.turn})`,
      number('--turn', TURN),
    ),
    option(
      '--budget <n>',
      'instructions after which the run ends, such as 500M (default: 10G; free running: 100G)',
      number('--budget', BUDGET, DECIMAL),
    ),
  ];
  command.argument(
    '<image>',
    'kernel: a Linux bzImage, a multiboot image or an ELF file with a PVH note; or @kernel, the one of this package',
  );
  for (const each of options) command.addOption(each);
  return command;
}

/** The options of commands that run a guest once. */
export const addRunOptions = (command: Command): Command =>
  addGuestOptions(command)
    .option('--record <file>', 'write the schedule and the events of the run there, for unwindlab replay')
    .option('--check-determinism', 'run the guest twice and compare the two runs');

/** The same for those that gdb may move. */
export const addDebugOptions = (command: Command): Command => addRunOptions(command).addOption(gdbOption());

/** For commands whose output has no formats of its own. */
export const formatOption = (): Option =>
  new Option('--format <format>', "boot protocol; default: the image's own").choices(FORMAT_NAMES);

type Speed = 'exact' | 'free';

/** For commands whose guest may run freely. @param speed of a pc, where the user does not say */
export const addSpeedOptions = (command: Command, speed: Speed): Command =>
  command
    .option(
      '--deterministic',
      `count every instruction: the same run each time; the default${speed === 'free' ? ' of a microvm' : ''}`,
    )
    .option(
      '--free-running',
      `count blocks of code only: many times faster${speed === 'free' ? '; the default of a pc' : ''}`,
    );

/** Whether nothing asks for an exact run. @throws UsageError where something asks for both */
function runsFreely(raw: RawOptions, speed: Speed): boolean {
  const isRepeated = raw.record !== undefined || raw.checkDeterminism || raw.gdb !== undefined;
  if (raw.freeRunning && (isRepeated || raw.deterministic))
    throw new UsageError(
      'expected --free-running without --deterministic, --record, --check-determinism and --gdb, which need an exact run',
    );
  return raw.freeRunning ?? (speed === 'free' && raw.machine === 'pc' && !isRepeated && !raw.deterministic);
}

/**
 * @param format the boot protocol; undefined: the image's own
 * @param speed of commands that take `addSpeedOptions`: what a pc does where the user does not say
 * @throws UsageError for options that do not go together; ScheduleError for a device that the machine cannot have
 */
export function guestRun(
  image: string,
  raw: RawOptions,
  format?: FormatName,
  speed: Speed = 'exact',
): GuestRun {
  const freeRunning = runsFreely(raw, speed);
  const devices = parseDevices(raw.machine, raw.device);
  if (raw.gdb !== undefined && (raw.record !== undefined || raw.checkDeterminism))
    throw new UsageError(
      'expected --gdb without --record and --check-determinism; `monitor schedule` in gdb gives the schedule',
    );
  return {
    files: {
      image,
      modules: raw.module,
      ...(raw.initrd !== undefined && { initrd: raw.initrd }),
      commandLine: raw.append,
      ...(format !== undefined && { format }),
    },
    options: {
      ...(raw.machine !== undefined && { kind: raw.machine }),
      ...(devices !== undefined && { devices }),
      cpus: raw.cpus,
      ram: raw.ram,
      turn: raw.turn ?? (freeRunning ? FREE_RUNNING.turn : DEFAULT_TURN),
      ...(freeRunning && { freeRunning }),
    },
    budget: raw.budget ?? (freeRunning ? FREE_RUNNING.budget : DEFAULT_BUDGET),
    record: raw.record,
    isChecked: raw.checkDeterminism ?? false,
    gdb: raw.gdb,
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
