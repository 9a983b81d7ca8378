/**
 * Where the client is asked whether a run is to go on: at breakpoints, and at each block of user code.
 *
 * A hook on a block costs nothing elsewhere; one on an instruction slows every instruction, since the engine goes through all of them
 * each time it counts. So an instruction is hooked only when it is found in the middle of a block (`Translation`).
 */
import type { EngineClient } from './client.js';
import type { Counter } from './counter.js';
import { HOOK, type Pointer } from './ffi.js';
import type { Hooks } from './hooks.js';

/** The last canonical address of the lower half (SDM 1, "Canonical Addressing", 3.3.7.1). */
const LOWER_HALF_END = 0x7fff_ffff_ffffn;

interface Breakpoint {
  /** Hooks. */
  readonly block: bigint;
  instruction: bigint | undefined;
}

export interface StopsHost {
  readonly hooks: Hooks;
  readonly counter: Counter;
  readonly client: Pick<EngineClient, 'breakpoint' | 'userCode'>;
  /** RIP, which the engine does not keep up to date at a hook, is this. */
  setRip(address: bigint): void;
  /** Ends the run before the instruction that is asked about. */
  stop(): void;
}

export class Stops {
  readonly #host: StopsHost;
  readonly #breakpoints = new Map<bigint, Breakpoint>();
  readonly #atBlock: Pointer;
  readonly #atInstruction: Pointer;
  readonly #atUserCode: Pointer;
  #userCodeHook: bigint | undefined;
  /** Counts of the present run before the place that has ended it. */
  stoppedAt: number | undefined;
  /** A hook is called for an instruction that has not been counted yet. */
  isBeforeCount = false;
  /** Where the client has last been asked: the counts of the present run before it, and the address. */
  #askedAt = -1;
  #askedFor = 0n;
  /** The breakpoint that does not stop the first instruction of the run under way. */
  #passed: bigint | undefined;

  constructor(host: StopsHost) {
    this.#host = host;
    const { hooks, client } = host;
    const wanted = (address: bigint): boolean => client.breakpoint(address);
    this.#atBlock = hooks.atCode((address) => this.#beforeBlock(address, wanted));
    this.#atUserCode = hooks.atCode((address) => this.#beforeBlock(address, () => client.userCode()));
    this.#atInstruction = hooks.atCode((address) => this.#beforeInstruction(address, wanted));
  }

  /** A run begins. @param passed a breakpoint that does not stop its first instruction */
  begin(passed: bigint | undefined): void {
    this.stoppedAt = undefined;
    this.#askedAt = -1;
    this.#passed = passed;
  }

  get addresses(): Iterable<bigint> {
    return this.#breakpoints.keys();
  }

  /** @returns whether it was not there; translated code must then be forgotten */
  add(address: bigint): boolean {
    if (this.#breakpoints.has(address)) return false;
    const block = this.#host.hooks.add(HOOK.BLOCK, this.#atBlock, address, address);
    this.#breakpoints.set(address, { block, instruction: undefined });
    return true;
  }

  /** @returns whether it was there; translated code must then be forgotten */
  remove(address: bigint): boolean {
    const breakpoint = this.#breakpoints.get(address);
    if (breakpoint === undefined) return false;
    this.#breakpoints.delete(address);
    this.#host.hooks.remove(breakpoint.block);
    if (breakpoint.instruction !== undefined) this.#host.hooks.remove(breakpoint.instruction);
    return true;
  }

  /** A breakpoint lies in the middle of a block. */
  hookInstruction(address: bigint): void {
    const breakpoint = this.#breakpoints.get(address)!;
    breakpoint.instruction ??= this.#host.hooks.add(HOOK.CODE, this.#atInstruction, address, address);
  }

  /** Whether the client is asked before each block of user code. @returns whether that is new; translated code must then be forgotten */
  watchUserCode(watched: boolean): boolean {
    if (watched === (this.#userCodeHook !== undefined)) return false;
    const { hooks } = this.#host;
    if (this.#userCodeHook === undefined)
      this.#userCodeHook = hooks.add(HOOK.BLOCK, this.#atUserCode, 1n, LOWER_HALF_END);
    else {
      hooks.remove(this.#userCodeHook);
      this.#userCodeHook = undefined;
    }
    return true;
  }

  /** A block with a hook is about to run. Where instructions are counted, its first has not been; the block itself has. */
  #beforeBlock(address: bigint, wanted: (address: bigint) => boolean): void {
    const { begun, allowed, isExact } = this.#host.counter;
    const counted = isExact ? begun : begun - 1;
    if (counted >= allowed) return; // the run ends before it
    this.#host.setRip(address);
    this.isBeforeCount = isExact;
    try {
      this.#ask(address, counted, wanted);
    } finally {
      this.isBeforeCount = false;
    }
  }

  /** An instruction with a hook is about to run; it has been counted. */
  #beforeInstruction(address: bigint, wanted: (address: bigint) => boolean): void {
    const counted = this.#host.counter.begun - 1;
    if (this.#askedAt !== counted || this.#askedFor !== address) this.#ask(address, counted, wanted);
  }

  #ask(address: bigint, counted: number, wanted: (address: bigint) => boolean): void {
    this.#askedAt = counted;
    this.#askedFor = address;
    if (this.#passed === address && counted === 0) return;
    if (!wanted(address)) return;
    this.stoppedAt = counted;
    this.#host.stop();
  }
}
