/** Where a window's instruction boundaries lie: the guest is led to it, and walked through it one instruction at a time. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import type { Disassembler } from '../asm/capstone.js';
import { commutes, LONGEST_INSTRUCTION } from './commutes.js';
import { mayStrike, type Question, USER } from './question.js';

/** Why a boundary is not struck itself. */
export type Reason =
  /** The instruction touches registers only: the event may as well come behind it. */
  | 'registers'
  /** NMIs are blocked here and at the next boundary: the event waits as it would if it came there. */
  | 'blocked'
  /** A second injection where the first one has just been made. */
  | 'same'
  /** A routine cannot be called here: user mode, or not on the kernel's stack or GS. */
  | 'uncallable';

/** A point of the struck CPU's run between two instructions. */
export interface Boundary {
  /** Instructions of all CPUs since the window's beginning. */
  readonly at: number;
  /** What was pending there has been delivered: the CPU stands before a handler's first instruction. */
  readonly delivered: boolean;
  /** The next instruction; where something is to be delivered, the interrupted one. */
  readonly rip: bigint;
  /** Why it is left out; undefined: it is struck. */
  readonly skip: Reason | undefined;
}

/** A window cannot be found, or asks for what is not there. */
export class WindowError extends Error {
  override readonly name = 'WindowError';
}

/** A handler under way: where it returns to, and the stack pointer then. */
export interface Frame {
  readonly rip: bigint;
  readonly rsp: bigint;
}

/** A window that the machine stands at the beginning of. */
export class Window {
  /** Instructions that all CPUs have executed since the machine was made. */
  readonly start: number;
  /** An event was delivered at the first boundary already. */
  readonly startsDelivered: boolean;
  readonly #machine: Machine;
  readonly #question: Question;
  readonly #decoder: Disassembler;
  readonly #cpu: Vcpu;
  readonly #from: bigint;
  readonly #to: bigint | undefined;
  readonly #rsp: bigint;
  readonly #ring: number;
  /** By the bytes: decoding costs more than a step, and handlers are walked again and again. */
  readonly #known = new Map<string, boolean>();

  private constructor(machine: Machine, question: Question, decoder: Disassembler, delivered: boolean) {
    this.#machine = machine;
    this.#question = question;
    this.#decoder = decoder;
    this.#cpu = machine.cpus[question.cpu]!;
    const { state } = this.#cpu;
    this.start = machine.retired;
    this.startsDelivered = delivered;
    this.#from = state.rip;
    this.#to = question.to === undefined || question.to === USER ? undefined : placeOf(machine, question.to);
    this.#rsp = state.reg(GPR.rsp);
    this.#ring = state.cpl;
  }

  /**
   * Runs the machine to the window, at most `budget` instructions.
   * @throws WindowError when the guest does not come there.
   */
  static reach(machine: Machine, question: Question, decoder: Disassembler, budget: number): Window {
    const { from, occurrence, cpu } = question;
    if (cpu >= machine.cpus.length)
      throw new WindowError(`expected a CPU from 0 to ${machine.cpus.length - 1}, found ${cpu}`);
    if (from === USER && question.to === USER)
      throw new WindowError(`expected a window that begins at \`${USER}\` to end at a symbol, found ${USER}`);
    if (question.to !== undefined && question.to !== USER) placeOf(machine, question.to);
    let left = occurrence;
    const arrived = (at: Vcpu): boolean => at.index === cpu && --left === 0;
    let delivery = -1;
    const forget = (['nmi', 'interrupt'] as const).map((kind) =>
      machine.events.on(kind, (event) => {
        if (event.cpu === cpu) delivery = event.time;
      }),
    );
    const place = from === USER ? undefined : placeOf(machine, from);
    const remove = place === undefined ? machine.onUserCode(arrived) : machine.breakpoint(place, arrived);
    try {
      const outcome = machine.run({ budget });
      if (outcome.kind !== 'reached') {
        const seen = occurrence - left;
        throw new WindowError(
          `expected CPU ${cpu} to come to ${from}${occurrence > 1 ? ` ${occurrence} times` : ''}, ` +
            `found the run ended (${outcome.kind})${seen > 0 ? ` after ${seen}` : ' before'}`,
        );
      }
    } finally {
      remove();
      for (const end of forget) end();
    }
    machine.cpus[cpu]!.meetAgain();
    return new Window(machine, question, decoder, delivery === machine.cpus[cpu]!.time);
  }

  /**
   * The boundaries from the machine's present state to the window's end, in order; the machine is left there.
   * @param called where a routine that was called here returns to: it is walked as a handler is
   * @returns `complete`: false when the end was not reached within the bound, or the guest ended before
   */
  walk(called?: Frame): { boundaries: Boundary[]; complete: boolean } {
    const machine = this.#machine;
    const cpu = this.#cpu;
    const { state } = cpu;
    const frames: Frame[] = called === undefined ? [] : [called];
    const forget = (['nmi', 'interrupt', 'exception'] as const).map((kind) =>
      machine.events.on(kind, (event) => {
        if (event.cpu === cpu.index) frames.push({ rip: event.rip, rsp: state.reg(GPR.rsp) });
      }),
    );
    const found: Found[] = [];
    const end = machine.retired + this.#question.bound;
    let seen = -1;
    try {
      for (;;) {
        if (cpu.retired !== seen && machine.inTurn === cpu.index && cpu.activity === 'running') {
          seen = cpu.retired;
          const top = frames.at(-1);
          if (top !== undefined && top.rip === state.rip && top.rsp === state.reg(GPR.rsp)) frames.pop();
          else if (frames.length === 0 && this.#isOver())
            return { boundaries: prune(found, this.#question), complete: true };
          this.#note(found, frames.length);
        }
        if (machine.retired >= end) return { boundaries: prune(found, this.#question), complete: false };
        const outcome = machine.run({ budget: 1 });
        if (outcome.kind !== 'budget')
          return {
            boundaries: prune(found, this.#question),
            complete: outcome.kind !== 'reached' && outcome.kind !== 'stopped',
          };
      }
    } finally {
      for (const each of forget) each();
    }
  }

  #note(found: Found[], depth: number): void {
    const { state } = this.#cpu;
    const at = this.#machine.retired - this.start;
    found.push({
      at,
      delivered: false,
      rip: state.rip,
      depth,
      isBlocked: state.nmiBlocked,
      isStrikable: mayStrike(this.#machine, this.#question),
      commutes: this.#commutes(),
    });
    if (!this.#cpu.takesEvent) return;
    const last = found.at(-1)!;
    found.push({ ...last, delivered: true, commutes: false });
  }

  /** Whether the next instruction does. Not asked where it decides nothing: most boundaries of handlers are in blocked NMIs. */
  #commutes(): boolean {
    const { state, index } = this.#cpu;
    const { prune: wanted, injection } = this.#question;
    if (!wanted || state.cpl > 0 || (injection.kind === 'nmi' && state.nmiBlocked)) return false;
    const code = this.#machine.read(index, state.rip, LONGEST_INSTRUCTION);
    if (code === undefined) return false;
    const key = code.toString('latin1');
    let answer = this.#known.get(key);
    if (answer === undefined) {
      answer = commutes(this.#decoder, code, state.rip);
      this.#known.set(key, answer);
    }
    return answer;
  }

  #isOver(): boolean {
    const { state } = this.#cpu;
    const { rip } = state;
    if (this.#to !== undefined && rip === this.#to) return true;
    if (this.#ring === 0 && state.cpl > 0) return true;
    if (this.#question.to === USER || this.#ring !== state.cpl) return false;
    const isInside = this.#to !== undefined && rip >= this.#from && rip < this.#to;
    return !isInside && state.reg(GPR.rsp) > this.#rsp;
  }
}

interface Found extends Omit<Boundary, 'skip'> {
  readonly depth: number;
  readonly isBlocked: boolean;
  readonly isStrikable: boolean;
  readonly commutes: boolean;
}

/** Of boundaries that come to the same the last is kept: counterexamples name the latest point that breaks. */
function prune(found: readonly Found[], { injection, prune: wanted }: Question): Boundary[] {
  return found.map(({ at, delivered, rip, isBlocked, isStrikable, commutes, depth }, index): Boundary => {
    const next = found[index + 1];
    const isFollowed = next !== undefined && next.at === at + 1 && !next.delivered && next.depth === depth;
    let skip: Reason | undefined;
    if (!isStrikable) skip = 'uncallable';
    else if (wanted && isFollowed && next.isStrikable && !delivered) {
      if (injection.kind === 'nmi' && isBlocked && next.isBlocked) skip = 'blocked';
      else if (commutes && isBlocked === next.isBlocked) skip = 'registers';
    }
    return { at, delivered, rip, skip };
  });
}

/** @throws WindowError for a name that the image does not have. */
function placeOf(machine: Machine, text: string): bigint {
  const [, name, offset] = /^(.*?)(?:\+(0x[0-9a-f]+|\d+))?$/is.exec(text)!;
  const base = machine.symbols.lookup(name!);
  if (base === undefined)
    throw new WindowError(`expected a symbol of the image or \`${USER}\`, found ${text}`);
  return base + BigInt(offset ?? 0);
}
