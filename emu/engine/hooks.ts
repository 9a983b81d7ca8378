/** Hooks of one engine: JavaScript functions that the engine calls in the middle of a run, and what becomes of their errors. */
import { type CallbackKind, type Ffi, type Pointer, registerCallback, releaseCallback } from './ffi.js';

/** The range of addresses that stands for all (uc_hook_add: a begin above its end). */
const EVERYWHERE = { from: 1n, to: 0n } as const;

export class Hooks {
  readonly #ffi: Ffi;
  readonly #uc: Pointer;
  readonly #callbacks: Pointer[] = [];
  #failure: Error | undefined;

  constructor(f: Ffi, uc: Pointer) {
    this.#ffi = f;
    this.#uc = uc;
  }

  /** A function as the engine calls it. */
  callback(kind: CallbackKind, fn: (...args: never[]) => unknown): Pointer {
    const pointer = registerCallback(kind, fn);
    this.#callbacks.push(pointer);
    return pointer;
  }

  /** A function that is called with the address of code that is about to run. */
  atCode(body: (address: bigint) => void): Pointer {
    return this.callback('code', (_uc: number, address: bigint | number) =>
      this.guard(() => body(unsigned(address)), undefined),
    );
  }

  /** Hooks what happens at all addresses. @param insn of HOOK.INSN: which instruction */
  always(type: number, kind: CallbackKind, fn: (...args: never[]) => unknown, insn = 0): void {
    this.#add(type, this.callback(kind, fn), EVERYWHERE.from, EVERYWHERE.to, insn);
  }

  /** Hooks what happens at addresses from `from` to `to`. @returns the hook, for `remove` */
  add(type: number, callback: Pointer, from: bigint, to: bigint): bigint {
    return this.#add(type, callback, from, to, 0);
  }

  #add(type: number, callback: Pointer, from: bigint, to: bigint, insn: number): bigint {
    const handle: [bigint | number] = [0];
    const f = this.#ffi;
    f.check(f.hookAdd(this.#uc, handle, type, callback, null, from, to, insn), 'uc_hook_add');
    return BigInt(handle[0]);
  }

  remove(hook: bigint): void {
    this.#ffi.hookDel(this.#uc, hook);
  }

  /** No exception may cross the C frames of the engine: it is kept, the run ends, and `takeFailure` gives it. */
  guard<T>(body: () => T, fallback: T): T {
    try {
      return body();
    } catch (error) {
      this.#failure ??= error as Error;
      this.#ffi.stop(this.#uc);
      return fallback;
    }
  }

  /** The first exception since the last call. */
  takeFailure(): Error | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** To be called when the engine is closed. */
  release(): void {
    for (const callback of this.#callbacks) releaseCallback(callback);
  }
}

/** koffi hands a C callback's u64 with its top bit set over as a negative number. */
export const unsigned = (value: bigint | number): bigint => BigInt.asUintN(64, BigInt(value));
