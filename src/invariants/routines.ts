/** Where the routines of the kernel that are watched begin, return, and call tracers. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { KernelView } from './kernel-view.js';

const SYMBOLS = {
  request: 'unwind_deferred_request',
  init: 'unwind_deferred_init',
  cancel: 'unwind_deferred_cancel',
  reset: 'unwind_reset_info',
  taskExit: 'trace_task_exit',
  syscall: 'entry_SYSCALL_64',
  do_nmi: 'do_nmi',
} as const;
export type Routine = keyof typeof SYMBOLS;

/** The symbol whose presence makes an image a kernel of this kind. */
export const HALLMARK = SYMBOLS.request;
/** The task work; from v6.17 on it is a jump to the second. */
const WORKERS = ['unwind_deferred_task_work', 'process_unwind_deferred'] as const;
/** pop %rbp; ret: how a routine with a frame ends. No other bytes of those watched are these. */
const LEAVE = [0x5d, 0xc3] as const;
/** call *disp8(%rdi); the displacement is WORK_func. */
const CALL_BY_RDI = [0xff, 0x57] as const;
const WORD = 8n;

/** A routine's code: [from, to). */
interface Extent {
  readonly from: bigint;
  readonly to: bigint;
}
const contains = ({ from, to }: Extent, address: bigint): boolean => from <= address && address < to;

export class Routines {
  readonly begins: (routine: Routine) => bigint;
  /** The calls of tracers' callbacks; at each rdi = work, rsi = trace, rdx = cookie. */
  readonly calls: readonly bigint[];
  readonly #view: KernelView;
  /** Where the mechanism is at work. */
  readonly #busy: readonly Extent[];
  readonly #reset: Extent;

  constructor(view: KernelView) {
    this.#view = view;
    const { symbols, layout } = view;
    this.begins = (routine) => symbols.require(SYMBOLS[routine]);
    const workers = WORKERS.filter((name) => symbols.lookup(name) !== undefined).map((name) =>
      this.#extent(name),
    );
    this.#busy = [this.#extent(SYMBOLS.request), ...workers];
    this.#reset = this.#extent(SYMBOLS.reset);
    this.calls = workers.flatMap((worker) =>
      this.#places(worker, [...CALL_BY_RDI, Number(layout.WORK_func)]),
    );
  }

  /** The `ret` instructions of a routine that has a frame. */
  returns(routine: Routine): readonly bigint[] {
    return this.#places(this.#extent(SYMBOLS[routine]), LEAVE).map((place) => place + 1n);
  }

  /** Whether an address lies in unwind_reset_info. */
  isReset(address: bigint): boolean {
    return contains(this.#reset, address);
  }

  /** Whether a request or the task work is under way in a task, by the return addresses on its stack. */
  isInside({ state }: Vcpu, stackTop: bigint): boolean {
    const isAtWork = (address: bigint): boolean =>
      this.#busy.some((extent) => contains(extent, address) && address !== extent.from);
    if (isAtWork(state.rip)) return true;
    const rsp = state.reg(GPR.rsp);
    const bottom = stackTop - this.#view.layout.THREAD_SIZE;
    for (let at = rsp > bottom && rsp <= stackTop ? rsp : bottom; at < stackTop; at += WORD)
      if (isAtWork(this.#view.word(at) ?? 0n)) return true;
    return false;
  }

  #extent(name: string): Extent {
    const symbol = this.#view.symbols.find(name)!;
    return { from: symbol.value, to: symbol.value + symbol.size };
  }

  /** Where these bytes stand in a routine. */
  #places({ from, to }: Extent, bytes: readonly number[]): bigint[] {
    const code = this.#view.bytes(from, Number(to - from));
    const places: bigint[] = [];
    for (
      let at = code?.indexOf(Uint8Array.from(bytes)) ?? -1;
      at >= 0;
      at = code!.indexOf(Uint8Array.from(bytes), at + 1)
    )
      places.push(from + BigInt(at));
    return places;
  }
}
