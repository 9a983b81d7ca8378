/**
 * Has the engine notice each store to a page of code.
 *
 * The idea: the engine marks the entries of its software TLB, so that a store to a page of code goes a slower way, on which it finds the blocks
 * that the store hits and forgets them. The reality: it takes the mark off at the first store, whether there is code on the page or not;
 * 2.1.4 leaves it where the page is also executed by the same address, older ones nowhere. So it would miss what is written to
 * code from then on, by a kernel that writes it through another mapping (Linux's text_poke(), Xen's stubs) or loads a program where another was.
 *
 * It leaves marks alone where somebody wants to hear of accesses. So there are hooks that are never called. 2.1.4 asks whether one
 * covers the page: those of code get one, of a kind that costs nothing elsewhere. Older ones ask only whether there is any on loads or
 * stores: so there all marks stay, and each store goes the slower way. The engine goes through its list of hooks for the first store to each page;
 * so neighbours share one, whose bounds are moved.
 */
import { HOOK, type Pointer } from './ffi.js';
import { type Hooks, moveHook } from './hooks.js';
import { PAGE_SIZE } from './host-memory.js';

interface Range {
  readonly hook: bigint;
  first: number;
  last: number;
}

export class StoreMarks {
  readonly #hooks: Hooks;
  readonly #never: Pointer;
  readonly #isByPage: boolean;
  readonly #kept = new Set<number>();
  /** Hooked ranges, by the pages beside them. */
  readonly #beside = new Map<number, Range>();

  /**
   * To be made before anything is translated.
   * @param never a callback for memory hooks
   * @param isByPage the engine asks for hooks that cover the page
   */
  constructor(hooks: Hooks, never: Pointer, isByPage: boolean) {
    this.#hooks = hooks;
    this.#never = never;
    this.#isByPage = isByPage;
    if (!isByPage) hooks.nowhere(HOOK.MEM_WRITE, never);
  }

  /**
   * Keeps the marks of a page from now on.
   * @param page number of a physical page
   * @returns whether some may be off already, so that all are to be renewed by a flush of the TLB
   */
  keep(page: number): boolean {
    if (!this.#isByPage || this.#kept.has(page)) return false;
    this.#kept.add(page);
    const range = this.#beside.get(page) ?? this.#newRange(page);
    range.first = Math.min(range.first, page);
    range.last = Math.max(range.last, page);
    moveHook(range.hook, {
      from: BigInt(range.first * PAGE_SIZE),
      to: BigInt((range.last + 1) * PAGE_SIZE - 1),
    });
    this.#beside.set(page - 1, range).set(page + 1, range);
    return true;
  }

  #newRange(page: number): Range {
    return { hook: this.#hooks.nowhere(HOOK.MEM_READ_PROT, this.#never), first: page, last: page }; // nothing in RAM is unreadable
  }
}
