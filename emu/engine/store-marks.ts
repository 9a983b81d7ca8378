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
 * so neighbours share one, whose bounds are moved, and the more there are, the farther apart neighbours may be: what lies between them has slower stores.
 */
import { HOOK, type Pointer } from './ffi.js';
import { type Hooks, moveHook } from './hooks.js';
import { PAGE_SIZE } from './host-memory.js';

/** So many hooks more let neighbours be a page farther apart. */
const HOOKS_PER_PAGE = 32;

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
  /** By each page that is hooked. */
  readonly #ranges = new Map<number, Range>();
  #hooksAdded = 0;

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
    if (!this.#ranges.has(page)) this.#cover(page);
    return true;
  }

  #cover(page: number): void {
    const range = this.#near(page) ?? this.#newRange(page);
    const { first, last } = range;
    range.first = Math.min(first, page);
    range.last = Math.max(last, page);
    for (let each = range.first; each < first; each++) this.#ranges.set(each, range);
    for (let each = last; each <= range.last; each++) this.#ranges.set(each, range);
    moveHook(range.hook, {
      from: BigInt(range.first * PAGE_SIZE),
      to: BigInt((range.last + 1) * PAGE_SIZE - 1),
    });
  }

  #near(page: number): Range | undefined {
    const reach = 1 + Math.floor(this.#hooksAdded / HOOKS_PER_PAGE);
    for (let distance = 1; distance <= reach; distance++) {
      const range = this.#ranges.get(page - distance) ?? this.#ranges.get(page + distance);
      if (range !== undefined) return range;
    }
    return undefined;
  }

  #newRange(page: number): Range {
    this.#hooksAdded++;
    return { hook: this.#hooks.nowhere(HOOK.MEM_READ_PROT, this.#never), first: page, last: page }; // nothing in RAM is unreadable
  }
}
