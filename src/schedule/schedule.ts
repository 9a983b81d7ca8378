/**
 * A schedule: which guest, and all that was decided about its run. What it does not name follows from the guest's image and
 * arguments, so the same schedule is the same run, instruction for instruction. It is one line of text that can be pasted:
 *
 *     unwindlab/1 image=@kernel-v6.19#1f2e3d4c5b6a7988 module="@roundtrip,20#…" append=trace=ftrace cpus=1 ram=67108864 turn=2000
 *         do=183920,nmi:0,4012 end=user:187932#0123456789abcdef
 */

import { FORMAT_NAMES, type FormatName } from '../../emu/boot/formats.js';
import { changedDevices, type DeviceSwitches, deviceProblem } from '../../emu/devices/optional.js';
import {
  DEFAULT_KIND,
  MACHINE_KINDS,
  MAX_CPUS,
  MAX_RAM,
  MAX_TURN,
  type MachineKind,
  MIN_RAM,
} from '../../emu/machine.js';

/** One decision. They are taken in order; each begins where the one before it has ended. */
export type Choice =
  /** The CPUs execute so many instructions together, in their turns. */
  | { readonly kind: 'run'; readonly count: number }
  /** One CPU executes so many instructions, out of turn. */
  | { readonly kind: 'cpu'; readonly cpu: number; readonly count: number }
  | { readonly kind: 'nmi'; readonly cpu: number }
  | { readonly kind: 'irq'; readonly cpu: number; readonly vector: number }
  /** What is pending at the CPU, and may be taken, is delivered; no instruction executes. */
  | { readonly kind: 'deliver'; readonly cpu: number }
  /** The CPU calls a routine as if its next instruction were preceded by a call; the routine preserves all registers. */
  | { readonly kind: 'call'; readonly cpu: number; readonly symbol: string }
  /** Bytes that arrive on the first serial port. */
  | { readonly kind: 'input'; readonly bytes: Uint8Array };

/** A file by the name that the user gave it, and the beginning of the SHA-256 of its contents. */
export interface PinnedFile {
  readonly name: string;
  /** 16 hexadecimal digits; undefined: any contents will do. */
  readonly digest: string | undefined;
}

/** Instructions of the image replaced by others before it is loaded. */
export interface PatchText {
  /** A label or `symbol+0x12`. */
  readonly at: string;
  /** Bytes to replace; undefined: one instruction. */
  readonly bytes: number | undefined;
  /** Assembly, AT&T syntax. */
  readonly with: string;
}

/** All that a run depends on but its choices. */
export interface GuestSpec {
  readonly image: PinnedFile;
  /** Each name `FILE` or `FILE,ARGS`. */
  readonly modules: readonly PinnedFile[];
  readonly initrd?: PinnedFile;
  readonly commandLine: string;
  /** The boot protocol; undefined: the image's own. */
  readonly format?: FormatName;
  /** What stands around the CPUs; undefined: a microvm. */
  readonly machine?: MachineKind;
  /** What differs from the devices that such a machine has by itself; undefined: nothing. */
  readonly devices?: DeviceSwitches;
  readonly cpus: number;
  /** Bytes. */
  readonly ram: number;
  /** Instructions. */
  readonly turn: number;
  readonly patches: readonly PatchText[];
  /** The host takes the tracers' records as they are committed, and gives their room back; otherwise the rings fill up. */
  readonly drained?: boolean;
}

/** The names of a guest's files, its kernel's first. */
export const fileNames = ({ image, initrd, modules }: GuestSpec): string[] =>
  [image, ...(initrd === undefined ? [] : [initrd]), ...modules].map(({ name }) => name);

/** How the run ended. */
export interface ScheduleEnd {
  /** The outcome's kind; `user`: a task was about to go on in user mode. */
  readonly kind: string;
  /** Instructions that all CPUs have executed since the machine was made. */
  readonly retired: number;
  /** The rolling hash over the machine's events. */
  readonly hash: string;
}

export interface Schedule {
  readonly guest: GuestSpec;
  readonly choices: readonly Choice[];
  readonly end?: ScheduleEnd;
  /** Ids of the invariants that this run breaks. */
  readonly breaks?: readonly string[];
}

/** A line that is no schedule. The message says what was expected and what was found. */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
}

const PAGE = 4096;
const MAGIC = 'unwindlab/';
const VERSION = 1;

/** The schedule as one line, without the newline. */
export function formatSchedule({ guest, choices, end, breaks }: Schedule): string {
  const words: (readonly [string, string])[] = [
    ['image', formatPinned(guest.image)],
    ...guest.modules.map((module) => ['module', formatPinned(module)] as const),
    ...(guest.initrd === undefined ? [] : [['initrd', formatPinned(guest.initrd)] as const]),
    ...(guest.commandLine === '' ? [] : [['append', guest.commandLine] as const]),
    ...(guest.format === undefined ? [] : [['format', guest.format] as const]),
    ...(guest.machine === undefined ? [] : [['machine', guest.machine] as const]),
    ...Object.entries(guest.devices ?? {}).map(([name, on]) => ['device', formatDevice(name, on)] as const),
    ['cpus', String(guest.cpus)],
    ['ram', String(guest.ram)],
    ['turn', String(guest.turn)],
    ...guest.patches.map((patch) => ['patch', formatPatch(patch)] as const),
    ...(guest.drained ? [['drained', 'yes'] as const] : []),
    ['do', choices.map(formatChoice).join(',')],
  ];
  if (end !== undefined) words.push(['end', `${end.kind}:${end.retired}#${end.hash}`]);
  if (breaks !== undefined && breaks.length > 0) words.push(['breaks', breaks.join(',')]);
  return [`${MAGIC}${VERSION}`, ...words.map(([key, value]) => `${key}=${quoted(value)}`)].join(' ');
}

const formatDevice = (name: string, isThere: boolean): string => `${name}=${isThere ? 'on' : 'off'}`;

/**
 * Reads devices, each NAME, NAME=on or NAME=off; the last word about one counts.
 * @returns what differs from the devices that such a machine has by itself; undefined: nothing
 * @throws ScheduleError for other text, and for a device that the machine cannot have
 */
export function parseDevices(
  kind: MachineKind | undefined,
  texts: readonly string[],
): DeviceSwitches | undefined {
  const switches = texts.map((text): [name: string, isThere: boolean] => {
    const match = /^([\w-]{1,40})(?:=(on|off))?$/.exec(text);
    if (match !== null) return [match[1]!, match[2] !== 'off'];
    throw new ScheduleError(`expected a device as NAME, NAME=on or NAME=off, found ${shortened(text)}`);
  });
  const problem = deviceProblem(
    kind ?? DEFAULT_KIND,
    switches.map(([name]) => name),
  );
  if (problem !== undefined) throw new ScheduleError(problem);
  return changedDevices(kind ?? DEFAULT_KIND, Object.fromEntries(switches));
}

export function formatPatch({ at, bytes, with: code }: PatchText): string {
  return `${at}${bytes === undefined ? '' : `/${bytes}`}=${code}`;
}

/** @throws ScheduleError for `text` that is not `AT[/BYTES]=ASSEMBLY`. */
export function parsePatch(text: string): PatchText {
  const match = /^([^=/\s]+)(?:\/(\d+))?=(.*)$/s.exec(text);
  if (match === null)
    throw new ScheduleError(`expected a patch as AT[/BYTES]=ASSEMBLY, found ${shortened(text)}`);
  const [, at, bytes, code] = match;
  return { at: at!, bytes: bytes === undefined ? undefined : whole('patch', bytes), with: code! };
}

/** Printable ASCII stands as it is, but for blanks, quotes and backslashes. */
const quoted = (value: string): string => (/^[!#-[\]-~]+$/.test(value) ? value : JSON.stringify(value));

/** A name with a # of its own gets another one behind it, so that nothing of it is taken for a digest. */
function formatPinned({ name, digest }: PinnedFile): string {
  if (digest !== undefined) return `${name}#${digest}`;
  return name.includes('#') ? `${name}#` : name;
}

export function formatChoice(choice: Choice): string {
  switch (choice.kind) {
    case 'run':
      return String(choice.count);
    case 'cpu':
      return `cpu:${choice.cpu}:${choice.count}`;
    case 'nmi':
    case 'deliver':
      return `${choice.kind}:${choice.cpu}`;
    case 'irq':
      return `irq:${choice.cpu}:0x${choice.vector.toString(16)}`;
    case 'call':
      return `call:${choice.cpu}:${choice.symbol}`;
    case 'input':
      return `in:${Buffer.from(choice.bytes).toString('hex')}`;
  }
}

const WORD = /^(\w+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?:\s+|$)/;

/** Reads what `formatSchedule` writes. @throws ScheduleError */
export function parseSchedule(line: string): Schedule {
  const [, version, rest] = /^unwindlab\/(\d+)(?:\s+(.*))?$/s.exec(line.trim()) ?? [];
  if (version === undefined)
    throw new ScheduleError(
      `expected a schedule, which begins with ${MAGIC}${VERSION}, found ${shortened(line)}`,
    );
  if (Number(version) !== VERSION)
    throw new ScheduleError(`expected a schedule of version ${VERSION}, found version ${version}`);
  const words = new Words(rest ?? '');
  const choices = words.one('do');
  const initrd = words.optional('initrd');
  const format = words.among('format', FORMAT_NAMES);
  const machine = words.among('machine', MACHINE_KINDS);
  const devices = parseDevices(machine, words.all('device'));
  const end = words.optional('end');
  const breaks = words.optional('breaks');
  const schedule: Schedule = {
    guest: {
      image: pinned(words.one('image')),
      modules: words.all('module').map(pinned),
      ...(initrd !== undefined && { initrd: pinned(initrd) }),
      commandLine: words.optional('append') ?? '',
      ...(format !== undefined && { format }),
      ...(machine !== undefined && { machine }),
      ...(devices !== undefined && { devices }),
      cpus: words.within('cpus', 1, MAX_CPUS),
      ram: words.within('ram', MIN_RAM, MAX_RAM, PAGE),
      turn: words.within('turn', 1, MAX_TURN),
      patches: words.all('patch').map(parsePatch),
      ...(words.flag('drained') && { drained: true }),
    },
    choices: choices === '' ? [] : choices.split(',').map(parseChoice),
    ...(end !== undefined && { end: parseEnd(end) }),
    ...(breaks !== undefined && { breaks: breaks.split(',') }),
  };
  words.end();
  return schedule;
}

/** The `key=value` words of a schedule; each is taken once. */
class Words {
  readonly #values = new Map<string, string[]>();

  constructor(text: string) {
    for (let rest = text; rest !== ''; ) {
      const match = WORD.exec(rest);
      if (match === null) throw new ScheduleError(`expected key=value, found ${shortened(rest)}`);
      const [all, key, value] = match;
      const values = this.#values.get(key!) ?? [];
      values.push(value!.startsWith('"') ? unquoted(value!) : value!);
      this.#values.set(key!, values);
      rest = rest.slice(all!.length);
    }
  }

  all(key: string): readonly string[] {
    const values = this.#values.get(key) ?? [];
    this.#values.delete(key);
    return values;
  }
  optional(key: string): string | undefined {
    const values = this.all(key);
    if (values.length > 1) throw new ScheduleError(`expected ${key}= once, found it ${values.length} times`);
    return values[0];
  }
  one(key: string): string {
    const value = this.optional(key);
    if (value === undefined) throw new ScheduleError(`expected ${key}= in the schedule, found none`);
    return value;
  }
  /** A whole number from `from` to `to`, a multiple of `step`. */
  within(key: string, from: number, to: number, step = 1): number {
    const value = whole(key, this.one(key));
    if (value >= from && value <= to && value % step === 0) return value;
    const steps = step === 1 ? '' : ` in steps of ${step}`;
    throw new ScheduleError(`expected ${key} from ${from} to ${to}${steps}, found ${value}`);
  }
  /** One of a few words. */
  among<T extends string>(key: string, known: readonly T[]): T | undefined {
    const value = this.optional(key);
    const found = known.find((word) => word === value);
    if (value === undefined || found !== undefined) return found;
    throw new ScheduleError(`expected ${key} ${known.join(', ')}, found ${shortened(value)}`);
  }
  flag(key: string): boolean {
    const value = this.optional(key);
    if (value === undefined || value === 'yes') return value !== undefined;
    throw new ScheduleError(`expected ${key}=yes or nothing of it, found ${shortened(value)}`);
  }
  end(): void {
    for (const key of this.#values.keys())
      throw new ScheduleError(`expected no ${key}= in a schedule, found one`);
  }
}

function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    throw new ScheduleError(`expected a quoted value, found ${shortened(text)}`);
  }
}

function pinned(text: string): PinnedFile {
  const [, name = text, digest = ''] = /^(.*)#([0-9a-f]{16}|)$/s.exec(text) ?? [];
  return { name, digest: digest === '' ? undefined : digest };
}

function parseEnd(text: string): ScheduleEnd {
  const match = /^([\w-]+):(\d+)#([0-9a-f]{16})$/.exec(text);
  if (match === null)
    throw new ScheduleError(`expected end=KIND:INSTRUCTIONS#HASH, found ${shortened(text)}`);
  return { kind: match[1]!, retired: whole('end', match[2]!), hash: match[3]! };
}

/** By the first word of a decision: the shape of what follows it, and what that makes. */
const CHOICES: readonly (readonly [head: string, words: number, make: (...words: string[]) => Choice])[] = [
  ['nmi', 1, (cpu = '') => ({ kind: 'nmi', cpu: whole('nmi', cpu) })],
  ['deliver', 1, (cpu = '') => ({ kind: 'deliver', cpu: whole('deliver', cpu) })],
  ['irq', 2, (cpu = '', number = '') => ({ kind: 'irq', cpu: whole('irq', cpu), vector: vector(number) })],
  ['call', 2, (cpu = '', symbol = '') => ({ kind: 'call', cpu: whole('call', cpu), symbol })],
  ['cpu', 2, (cpu = '', count = '') => ({ kind: 'cpu', cpu: whole('cpu', cpu), count: whole('cpu', count) })],
  ['in', 1, (hex = '') => ({ kind: 'input', bytes: fromHex(hex) })],
];

/** Reads one decision, such as `nmi:0`. @throws ScheduleError */
export function parseChoice(text: string): Choice {
  const [head, ...words] = text.split(':');
  if (words.length === 0) return { kind: 'run', count: whole('do', text) };
  const row = CHOICES.find(([name, count]) => name === head && count === words.length);
  if (row !== undefined && !words.includes('')) return row[2](...words);
  throw new ScheduleError(
    `expected COUNT, nmi:CPU, deliver:CPU, irq:CPU:VECTOR, call:CPU:SYMBOL, cpu:CPU:COUNT or in:HEX, found ${shortened(text)}`,
  );
}

function whole(key: string, text: string): number {
  const value = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new ScheduleError(`expected a whole number for ${key}, found ${shortened(text)}`);
}

function vector(text: string): number {
  const value = /^(0x[0-9a-f]{1,2}|\d{1,3})$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 16 && value <= 255) return value;
  throw new ScheduleError(`expected an interrupt vector from 16 to 255, found ${shortened(text)}`);
}

function fromHex(text: string): Uint8Array {
  if (/^([0-9a-f]{2})+$/.test(text)) return Buffer.from(text, 'hex');
  throw new ScheduleError(`expected bytes in hexadecimal for in, found ${shortened(text)}`);
}

const shortened = (text: string): string => json(text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** As JSON has it, with nothing in it that a terminal obeys. */
const json = (text: string): string =>
  JSON.stringify(text).replace(
    /\p{Cc}/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
