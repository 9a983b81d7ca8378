/** Hooks of one engine: JavaScript functions that the engine calls in the middle of a run, and what becomes of their errors. */
import {
  type CallbackKind,
  type Ffi,
  type Pointer,
  registerCallback,
  releaseCallback,
  viewMemory,
} from './ffi.js';
import { EngineError } from './library.js';

/** Both belong to it. */
interface Addresses {
  readonly from: bigint;
  readonly to: bigint;
}
/** The range of addresses that stands for all (uc_hook_add: a begin above its end). */
export const EVERYWHERE: Addresses = { from: 1n, to: 0n };
/** Not canonical, and no physical address: nothing is there. */
export const NOWHERE: Addresses = { from: 0x8000_0000_0000_0000n, to: 0x8000_0000_0000_0000n };

/** Fields of libunicorn's `struct hook` (include/uc_priv.h), to which a hook's handle points: the same in 2.1.1 and 2.1.4. */
export const HOOK_STRUCT = { type: 0, begin: 24, end: 32, callback: 40, size: 48 } as const;

/** Changes the addresses that are hooked, from `from` to `to`; code that has been translated keeps the calls that it has. */
export function moveHook(hook: bigint, { from, to }: Addresses): void {
  const view = new DataView(viewMemory(hook, HOOK_STRUCT.size));
  view.setBigUint64(HOOK_STRUCT.begin, from, true);
  view.setBigUint64(HOOK_STRUCT.end, to, true);
}

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

  /**
   * A hook on nothing, for `moveHook`, or for the engine to see that there is one.
   * @throws EngineError where it is not laid out as it should be
   */
  nowhere(type: number, callback: Pointer): bigint {
    const hook = this.#add(type, callback, NOWHERE.from, NOWHERE.to, 0);
    const view = new DataView(viewMemory(hook, HOOK_STRUCT.size));
    if (view.getBigUint64(HOOK_STRUCT.begin, true) === NOWHERE.from) return hook;
    const { version, path } = this.#ffi.library;
    throw new EngineError(
      `expected the hooks of libunicorn to be laid out as in 2.1.1 to 2.1.4, found others in version ${version} (${path})`,
    );
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
