/**
 * What is known of the pages of code, and which of them may have been rewritten behind the engine's back.
 *
 * The idea: the engine marks what maps a page of code, so that a store to it is noticed and the blocks that it hits are forgotten. The reality:
 * it marks what the code is *fetched* through, and where a page is mapped a second time, without the right to execute, it takes
 * its mark away at the first store. So it misses all later ones, of a kernel that keeps its code from being written where it
 * runs, and writes it somewhere else (Linux's text_poke(); Xen's stubs), and would go on with the old blocks.
 *
 * What tells: something is translated on the page, and the page is not what it was when that happened last; or a block is translated
 * that had been already, so the engine has forgotten it, so a store was noticed. Then all blocks of the page are to be forgotten, and all
 * marks to be renewed. A page to which that happens again has its marks kept from then on, and the engine can be relied on.
 */
import { PAGE_SIZE } from './host-memory.js';

interface Page {
  /** As it was when a block was last translated on it. */
  readonly bytes: Buffer;
  /** Blocks that begin on it, by the state of the CPU that they are translated for: from where to where. */
  readonly blocks: Map<number, Map<number, number>>;
  /** Those in which nothing traps, whatever they look like: variant, offset and size in one number. */
  readonly plain: Set<number>;
}

const keyOf = (variant: number, offset: number, size: number): number =>
  (variant * PAGE_SIZE + offset) * 0x1000 + size;

/** So often a page has to be suspect for its marks to be kept. */
const OFTEN = 2;

/** Addresses are physical. */
export class RewrittenPages {
  readonly #ram: Buffer;
  readonly #keepMarks: (page: number) => boolean;
  readonly #pages = new Map<number, Page>();
  /** How often a page has been suspect. */
  readonly #suspicions = new Map<number, number>();
  readonly #kept = new Set<number>();

  /** @param keepMarks has the engine notice all stores to a page from now on; false where it cannot */
  constructor(ram: Buffer, keepMarks: (page: number) => boolean) {
    this.#ram = ram;
    this.#keepMarks = keepMarks;
  }

  /**
   * A block has been translated, or the part of one on its second page.
   * @param variant state of the CPU that it was translated for; undefined: it does not begin here, or will not stay
   * @returns `suspect` where the page's blocks are to be forgotten, this one too; there, and on a `new` page, which may be marked nowhere, marks are to be renewed
   */
  look(address: number, variant: number | undefined): 'new' | 'same' | 'suspect' {
    const offset = address % PAGE_SIZE;
    const at = address - offset;
    const bytes = this.#ram.subarray(at, at + PAGE_SIZE);
    const page = this.#pages.get(at);
    const isKept = this.#kept.has(at);
    const isKnown = !isKept && variant !== undefined && page?.blocks.get(variant)?.has(offset) === true;
    if (page !== undefined && !isKnown && page.bytes.equals(bytes)) return 'same';
    this.#pages.set(at, { bytes: Buffer.from(bytes), blocks: new Map(), plain: new Set() });
    if (isKept) return 'same';
    if (page === undefined) return 'new';
    const times = (this.#suspicions.get(at) ?? 0) + 1;
    this.#suspicions.set(at, times);
    if (times >= OFTEN && this.#keepMarks(at)) this.#kept.add(at);
    return 'suspect';
  }

  /** The block is there until the engine or somebody else forgets it. */
  note(address: number, size: number, variant: number): void {
    const offset = address % PAGE_SIZE;
    const page = this.#pages.get(address - offset);
    const blocks = page?.blocks.get(variant);
    if (blocks !== undefined) blocks.set(offset, offset + size);
    else page?.blocks.set(variant, new Map([[offset, offset + size]]));
  }

  /** Blocks have been forgotten on purpose: a block, and with it the engine forgets all that overlap it. */
  forgotten(address: number, size: number): void {
    const from = address % PAGE_SIZE;
    for (const blocks of this.#pages.get(address - from)?.blocks.values() ?? [])
      for (const [start, end] of blocks) if (start < from + size && end > from) blocks.delete(start);
  }

  /** Nothing in the block traps, as long as the page is what it is. */
  notePlain(address: number, size: number, variant: number): void {
    const offset = address % PAGE_SIZE;
    this.#pages.get(address - offset)?.plain.add(keyOf(variant, offset, size));
  }
  isPlain(address: number, size: number, variant: number): boolean {
    const offset = address % PAGE_SIZE;
    return this.#pages.get(address - offset)?.plain.has(keyOf(variant, offset, size)) === true;
  }

  /** All blocks have been forgotten. */
  clear(): void {
    this.#pages.clear();
  }
}
