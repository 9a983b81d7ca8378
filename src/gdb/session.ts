/**
 * A conversation with one gdb: what each packet of the remote serial protocol does (GDB manual, appendix E). CPU N is thread N + 1. A packet that
 * is not known is answered with nothing, as the protocol asks; one that makes no sense with an error.
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Outcome } from '../../emu/machine.js';
import type { Connection } from './connection.js';
import type { Monitor } from './monitor.js';
import type { Motion, Stop } from './motion.js';
import { fromHex, hexNumber, MAX_BODY, toHex } from './packets.js';
import { POINT_TYPES } from './points.js';
import {
  PC,
  REGISTERS,
  readRegister,
  readRegisters,
  TARGET_XML,
  writeRegister,
  writeRegisters,
} from './registers.js';
import type { Timeline } from './timeline.js';

/** How a conversation has ended. */
export type Farewell =
  /** gdb lets the guest run. */
  | { readonly kind: 'detached' }
  /** gdb has gone without a word: the guest stands still. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'killed' }
  | { readonly kind: 'ended'; readonly outcome: Outcome };

export interface SessionParts {
  readonly timeline: Timeline;
  readonly motion: Motion;
  readonly monitor: Monitor;
  readonly isReversible: boolean;
  /** How a guest's end is told: the exit status, and a sentence where it did not end by itself. */
  readonly endingOf: (outcome: Outcome) => { readonly status: number; readonly sentence?: string };
}

const OK = 'OK';
const UNKNOWN = '';
/** Errors by the numbers of Unix, as gdbserver has them. */
const BAD_ADDRESS = 'E0e';
const INVALID = 'E16';
/** Signals by gdb's numbers. */
const SIGNAL = { INT: 2, TRAP: 5, BUS: 10, SEGV: 11, XCPU: 24 } as const;
const SIGNAL_OF: Readonly<Record<string, number>> = {
  'triple-fault': SIGNAL.SEGV,
  'bus-error': SIGNAL.BUS,
  budget: SIGNAL.XCPU,
};
/** Ends that a guest comes to by itself. */
const EXITS: ReadonlySet<string> = new Set<Outcome['kind']>(['poweroff', 'debug-exit', 'reset']);
const PAGE = 4096;
const MOST_BYTES = MAX_BODY / 4;

const hex = (value: number): string => value.toString(16).padStart(2, '0');

type Reply = string | Uint8Array | Farewell | undefined;

export class Session {
  readonly #parts: SessionParts;
  readonly #connection: Connection;
  /** Of what is read and written (Hg), and of what goes on (Hc). */
  #cpu = 0;
  #stepped: number | undefined;
  #lastStop: string;
  #knowsReasons = false;
  /** The guest's end has been told as a signal. */
  #endTold: Outcome | undefined;

  constructor(connection: Connection, parts: SessionParts) {
    this.#connection = connection;
    this.#parts = parts;
    this.#cpu = parts.timeline.machine.inTurn;
    this.#lastStop = `T${hex(SIGNAL.TRAP)}thread:${this.#cpu + 1};`;
  }

  /** The CPU that gdb has chosen. */
  get cpu(): number {
    return this.#cpu;
  }

  /** Answers gdb until it goes, or the guest ends. */
  async talk(signal: AbortSignal): Promise<Farewell> {
    for (;;) {
      const packet = await this.#connection.next(signal);
      if (packet === undefined) return { kind: 'lost' };
      const reply = await this.#answer(packet);
      if (reply === undefined) continue;
      if (typeof reply === 'object' && 'kind' in reply) return reply;
      this.#connection.send(reply);
      if (typeof reply === 'string' && reply.startsWith('W'))
        return { kind: 'ended', outcome: this.#parts.timeline.outcome ?? { kind: 'budget' } };
    }
  }

  async #answer(packet: Buffer): Promise<Reply> {
    const text = packet.toString('latin1');
    const argument = text.slice(1);
    switch (text[0]) {
      case '?':
        return this.#lastStop;
      case 'g':
        return argument === '' ? toHex(readRegisters(this.#vcpu)) : INVALID;
      case 'G':
        return this.#write(writeRegisters(fromHex(argument) ?? Buffer.alloc(0)));
      case 'p':
        return this.#readRegister(argument);
      case 'P':
        return this.#writeRegister(argument);
      case 'm':
        return this.#readMemory(argument);
      case 'M':
        return this.#writeMemory(argument, (data) => fromHex(data.toString('latin1')), packet);
      case 'X':
        return this.#writeMemory(argument, (data) => data, packet);
      case 'H':
        return this.#choose(argument);
      case 'T':
        return this.#threadOf(argument) === undefined ? INVALID : OK;
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return await this.#resume(text);
      case 'b':
        return await this.#reverse(argument);
      case 'Z':
      case 'z':
        return this.#point(text);
      case 'v':
        return await this.#verbose(text);
      case 'q':
      case 'Q':
        return this.#query(text);
      case 'D':
        this.#connection.send(OK);
        return { kind: 'detached' };
      case 'k':
        return { kind: 'killed' };
      default:
        return UNKNOWN;
    }
  }

  get #vcpu(): Vcpu {
    return this.#parts.timeline.machine.cpus[this.#cpu]!;
  }

  #readRegister(argument: string): string {
    const register = REGISTERS[Number(hexNumber(argument) ?? -1n)];
    return register === undefined ? INVALID : toHex(readRegister(register, this.#vcpu));
  }

  #writeRegister(argument: string): string {
    const [number, value = ''] = argument.split('=');
    const register = REGISTERS[Number(hexNumber(number) ?? -1n)];
    const bytes = fromHex(value);
    if (register === undefined || bytes === undefined) return INVALID;
    return this.#write(writeRegister(register, bytes));
  }

  #write(write: ((cpu: Vcpu) => void) | undefined): string {
    if (write === undefined) return INVALID;
    const index = this.#cpu;
    this.#parts.timeline.edit(({ cpus }) => write(cpus[index]!));
    return OK;
  }

  /** As much as there is from an address on. */
  #readMemory(argument: string): string {
    const [address, length] = numbers(argument, 2);
    if (address === undefined || length === undefined) return INVALID;
    const { machine } = this.#parts.timeline;
    const wanted = Number(length > BigInt(MOST_BYTES) ? BigInt(MOST_BYTES) : length);
    const pieces: Buffer[] = [];
    for (let done = 0; done < wanted; ) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const onPage = Math.min(PAGE - Number(at & BigInt(PAGE - 1)), wanted - done);
      const piece = machine.read(this.#cpu, at, onPage);
      if (piece === undefined) break;
      pieces.push(piece);
      done += onPage;
    }
    return pieces.length === 0 && wanted > 0 ? BAD_ADDRESS : toHex(Buffer.concat(pieces));
  }

  #writeMemory(argument: string, decode: (data: Buffer) => Buffer | undefined, packet: Buffer): string {
    const colon = argument.indexOf(':');
    const [address, length] = numbers(argument.slice(0, Math.max(colon, 0)), 2);
    const bytes = decode(packet.subarray(colon + 2));
    if (address === undefined || bytes === undefined || BigInt(bytes.length) !== length) return INVALID;
    if (bytes.length === 0) return OK; // gdb asks whether X is known
    const { timeline } = this.#parts;
    const cpu = this.#cpu;
    if (timeline.machine.read(cpu, address, bytes.length) === undefined) return BAD_ADDRESS;
    timeline.edit((machine) => void machine.write(cpu, address, bytes));
    return OK;
  }

  /** Thread -1 is all, 0 any. */
  #choose(argument: string): string {
    const [, use, name] = /^([gc])(.+)$/.exec(argument) ?? [];
    if (name === undefined) return INVALID;
    const isAny = name === '0' || name === '-1';
    const cpu = isAny ? undefined : this.#threadOf(name);
    if (cpu === undefined && !isAny) return INVALID;
    if (use === 'c') this.#stepped = cpu;
    else this.#cpu = cpu ?? this.#cpu;
    return OK;
  }

  /** The CPU that a thread is. */
  #threadOf(text: string): number | undefined {
    const cpu = Number(hexNumber(text) ?? 0n) - 1;
    return this.#parts.timeline.machine.cpus[cpu] === undefined ? undefined : cpu;
  }

  /** `c [ADDRESS]`, `s [ADDRESS]`, `C SIGNAL`, `S SIGNAL`: signals mean nothing to a machine. */
  async #resume(text: string): Promise<Reply> {
    const [, kind, address] = /^([cs]|[CS][0-9a-f]{2};?)([0-9a-f]{1,16})?$/i.exec(text) ?? [];
    if (kind === undefined) return INVALID;
    if (address !== undefined) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(`0x${address}`));
      this.#write(writeRegister(REGISTERS[PC]!, bytes));
    }
    const { motion } = this.#parts;
    const cpu = this.#stepped ?? this.#cpu;
    return this.#tell(await (/^s/i.test(kind) ? motion.step(cpu) : motion.continue()));
  }

  async #reverse(argument: string): Promise<Reply> {
    const { motion, isReversible } = this.#parts;
    if (!isReversible) return UNKNOWN;
    if (argument === 's') return this.#tell(motion.reverseStep(this.#stepped ?? this.#cpu));
    if (argument === 'c') return this.#tell(await motion.reverseContinue());
    return INVALID;
  }

  async #verbose(text: string): Promise<Reply> {
    if (text === 'vCont?') return 'vCont;c;C;s;S';
    if (text.startsWith('vCont;')) return await this.#continueThreads(text.slice('vCont;'.length).split(';'));
    if (!text.startsWith('vKill')) return UNKNOWN;
    this.#connection.send(OK);
    return { kind: 'killed' };
  }

  /** The first action that fits a thread is its own; threads without one stand still. */
  async #continueThreads(actions: readonly string[]): Promise<Reply> {
    const chosen = new Map<number, 'c' | 's'>();
    for (const action of actions) {
      const [, kind, , name] = /^([csCS])([0-9a-f]{2})?(?::(-?[0-9a-f]+))?$/.exec(action) ?? [];
      if (kind === undefined) return INVALID;
      const isAll = name === undefined || name === '-1' || name === '0';
      const only = isAll ? undefined : this.#threadOf(name);
      if (!isAll && only === undefined) return INVALID;
      for (const { index } of this.#parts.timeline.machine.cpus)
        if ((isAll || only === index) && !chosen.has(index))
          chosen.set(index, kind.toLowerCase() as 'c' | 's');
    }
    const { motion } = this.#parts;
    const cpus = [...chosen.keys()];
    const stepping = cpus.find((cpu) => chosen.get(cpu) === 's');
    if (cpus.length === 0) return INVALID;
    if (cpus.length < this.#parts.timeline.machine.cpus.length)
      return this.#tell(
        await motion.alone(stepping === undefined ? cpus : [stepping], stepping !== undefined),
      );
    return this.#tell(await (stepping === undefined ? motion.continue() : motion.step(stepping)));
  }

  #point(text: string): string {
    const [, way, number, rest] = /^([Zz])([0-4]),(.*)$/.exec(text) ?? [];
    const type = POINT_TYPES[Number(number)];
    if (type === undefined) return UNKNOWN;
    const [address, length] = numbers(rest!.split(';', 1)[0]!, 2);
    if (address === undefined || length === undefined) return INVALID;
    const { points } = this.#parts.timeline;
    if (way === 'z') points.remove(type, address, Number(length));
    else if (!points.set(type, address, Number(length), this.#vcpu)) return BAD_ADDRESS;
    return OK;
  }

  #query(text: string): Reply {
    const [name, argument] = split(text, /[:,]/);
    switch (name) {
      case 'qSupported':
        return this.#supported(argument);
      case 'QStartNoAckMode':
        this.#connection.stopAcknowledging();
        return OK;
      case 'qXfer':
        return this.#transfer(argument);
      case 'qfThreadInfo':
        return `m${this.#parts.timeline.machine.cpus.map(({ index }) => (index + 1).toString(16)).join(',')}`;
      case 'qsThreadInfo':
        return 'l';
      case 'qThreadExtraInfo': {
        const cpu = this.#threadOf(argument);
        if (cpu === undefined) return INVALID;
        const { activity } = this.#parts.timeline.machine.cpus[cpu]!;
        return toHex(Buffer.from(`CPU ${cpu} [${activity}]`));
      }
      case 'qC':
        return `QC${(this.#cpu + 1).toString(16)}`;
      case 'qAttached':
        return '1';
      case 'qSymbol':
        return OK;
      case 'qRcmd': {
        const command = fromHex(argument);
        return command === undefined ? INVALID : this.#command(command.toString('utf8'));
      }
      default:
        return UNKNOWN;
    }
  }

  #supported(features: string): string {
    this.#knowsReasons = /(^|;)swbreak\+/.test(features) && /(^|;)hwbreak\+/.test(features);
    const reverse = this.#parts.isReversible ? ';ReverseStep+;ReverseContinue+' : '';
    return `PacketSize=${MAX_BODY.toString(16)};QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+;multiprocess-${reverse}`;
  }

  #transfer(argument: string): string {
    const [, offset, length] =
      /^features:read:target\.xml:([0-9a-f]{1,8}),([0-9a-f]{1,8})$/i.exec(argument) ?? [];
    if (length === undefined) return argument.startsWith('features:read:') ? 'E00' : UNKNOWN;
    const from = Number.parseInt(offset!, 16);
    const piece = TARGET_XML.slice(from, from + Math.min(Number.parseInt(length, 16), MOST_BYTES));
    return (from + piece.length < TARGET_XML.length ? 'm' : 'l') + piece;
  }

  #command(line: string): string {
    const { monitor, timeline } = this.#parts;
    const printed = monitor.run(line);
    if (monitor.takeMoved()) {
      this.#cpu = timeline.machine.inTurn;
      this.#endTold = undefined;
    }
    return toHex(Buffer.from(printed));
  }

  /** The reply to what has moved the guest. */
  #tell(stop: Stop): string {
    const { cpu } = stop;
    this.#cpu = cpu;
    if (stop.kind !== 'ended') this.#endTold = undefined;
    if (stop.kind === 'ended') {
      const { status, sentence } = this.#parts.endingOf(stop.outcome);
      const isExit = EXITS.has(stop.outcome.kind) && !this.#parts.monitor.stopsAtExit;
      if (isExit || this.#endTold?.kind === stop.outcome.kind) return `W${hex(status)}`;
      this.#endTold = stop.outcome;
      const said = sentence ?? `the guest has ended with status ${status}`;
      this.#connection.send(`O${toHex(Buffer.from(`unwindlab: ${said}\n`))}`);
    }
    this.#lastStop = `T${hex(signalOf(stop))}thread:${(cpu + 1).toString(16)};${this.#reasonOf(stop)}`;
    return this.#lastStop;
  }

  #reasonOf(stop: Stop): string {
    if (stop.kind === 'edge') return `replaylog:${stop.edge};`;
    if (stop.kind !== 'hit') return '';
    const { type, address } = stop.hit;
    if (type !== 'swbreak' && type !== 'hwbreak') return `${type}:${address.toString(16)};`;
    return this.#knowsReasons ? `${type}:;` : '';
  }
}

function signalOf(stop: Stop): number {
  if (stop.kind === 'interrupted') return SIGNAL.INT;
  return stop.kind === 'ended' ? (SIGNAL_OF[stop.outcome.kind] ?? SIGNAL.TRAP) : SIGNAL.TRAP;
}

/** Hexadecimal numbers with commas between; none of them unless there are exactly `count`. */
function numbers(text: string, count: number): (bigint | undefined)[] {
  const words = text.split(',');
  return words.length === count ? words.map(hexNumber) : [];
}

function split(text: string, separator: RegExp): [string, string] {
  const at = text.search(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
