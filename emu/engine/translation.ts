/**
 * What becomes of a block of guest code between its translation and its first run: traps are laid (`TranslationTraps`), breakpoints in
 * its middle are hooked, and for a CPU that holds an event back it is cut short before its guard.
 *
 * A cut is one of the engine's exits. An exit stops a run as HLT does, and only where it stood when the block was translated. Exits
 * stand while one block is translated and no longer: whatever stands when a run ends, the engine translates anew.
 */
import { guardsOf } from './guards.js';
import { PAGE_SIZE } from './host-memory.js';
import { type Block, TranslationTraps } from './translation-traps.js';

/**
 * Room for translated code, in bytes, for small guests and for big ones. The engine's default of 1 GiB makes the first flush of 2.1.1
 * take two seconds.
 * @internal
 */
export const CODE_BUFFER = { small: 32 << 20, big: 512 << 20 } as const;
const PAGE_BITS = 12n;
/**
 * What a block takes of it at most, on average: it was found to be 100 bytes an instruction, all told. Full, the engine flushes it in the
 * middle of a run, and the next `forget` takes the process down.
 */
const BYTES = { block: 256, instruction: 160 } as const;

export interface TranslationHost {
  /** Guest RAM. */
  readonly ram: Buffer;
  /** Room for translated code, in bytes. */
  readonly codeBuffer: number;
  /** Physical address of a code byte in the address space that is running, or -1 where it is not RAM. */
  physicalOf(address: bigint): number;
  /** How the code that is running is decoded: hflags, as far as they tell. */
  mode(): number;
  /** Has the engine notice all stores to a physical page. */
  keepStoreMarks(page: number): void;
  /** Where runs stop; they count for what is translated from now on. */
  setExits(addresses: readonly bigint[]): void;
  /** Forgets the translations of a block and ends the run. */
  forget(block: Block): void;
  /** Has the client asked before an instruction itself, wherever it stands in a block. */
  hookInstruction(address: bigint): void;
  /** Runs end behind the instruction at which they are told to, not behind its block. */
  readonly isExact: boolean;
  /** Has guarded runs end before a block that begins at an address. */
  hookGuard(address: bigint): void;
  /** Ends the guarded run under way before the block that has just been translated. */
  endAtGuard(block: Block): void;
}

export class Translation {
  /** Physical pages that hold translated code. */
  readonly codePages = new Set<number>();
  /** Those of them with a translation that is younger than the last snapshot or restore; cleared by who takes or restores one. */
  readonly recentCodePages = new Set<number>();
  /** A block has been forgotten since the run began, and is to be translated again. */
  isUnfinished = false;
  /** Bytes of the code buffer that are taken. */
  #volume = 0;
  readonly #host: TranslationHost;
  readonly #traps: TranslationTraps;
  /** The block that is being cut. */
  #cutting: bigint | undefined;
  /** Where guarded runs end. */
  readonly #guards = new Set<bigint>();
  /** Those of them that some block begins with. */
  readonly #hookedGuards = new Set<bigint>();
  /** Breakpoints whose instruction has a hook of its own. */
  readonly #hooked = new Set<bigint>();

  /** The page of code that was last looked up for the block under way, and where it lies. */
  #page: { readonly number: bigint; readonly physical: number } | undefined;

  constructor(host: TranslationHost) {
    this.#host = host;
    this.#traps = new TranslationTraps({
      ram: host.ram,
      physicalOf: (address) => this.#physicalOf(address),
      mode: () => host.mode(),
      retranslate: (block) => this.#again(block),
      endsAnywhere: host.isExact,
    });
  }

  /**
   * To be called for each new block before it runs.
   * @param guarded it was translated for a CPU that holds an event back
   */
  translated(block: Block, guarded: boolean, breakpoints: Iterable<bigint>): void {
    this.#page = undefined;
    this.#volume += BYTES.block + BYTES.instruction * block.instructions;
    if (this.isFull) {
      this.abandon();
      this.#again(block);
      return;
    }
    this.#notePages(block);
    this.#traps.translated(block);
    if (this.isUnfinished) return;
    if (this.#cutting === block.pc) {
      this.#cut(undefined, []);
      return;
    }
    const isHooked = this.#hookInside(block, breakpoints);
    const isCut = guarded && this.#cutAtGuards(block);
    if (isHooked || isCut) this.#again(block);
  }

  /** @returns whether a breakpoint was found in the middle of a block for the first time */
  #hookInside({ pc, size }: Block, breakpoints: Iterable<bigint>): boolean {
    const end = pc + BigInt(size);
    let isNew = false;
    for (const address of breakpoints) {
      if (address <= pc || address >= end || this.#hooked.has(address)) continue;
      this.#hooked.add(address);
      this.#host.hookInstruction(address);
      isNew = true;
    }
    return isNew;
  }

  /** @returns whether the block is to end elsewhere */
  #cutAtGuards(block: Block): boolean {
    const guards = guardsOf(block, (offset) => this.#byteAt(block.pc + BigInt(offset)));
    for (const guard of guards) this.#guards.add(guard);
    if (guards.includes(block.pc) && !this.#host.isExact) {
      this.#host.endAtGuard(block);
      return false;
    }
    // An exit at its beginning would make the block empty, and the engine forgets empty blocks.
    const isFirst = guards.includes(block.pc) && !this.#hookedGuards.has(block.pc);
    if (isFirst) {
      this.#hookedGuards.add(block.pc);
      this.#host.hookGuard(block.pc);
    }
    const exits = guards.filter((address) => address !== block.pc);
    if (exits.length > 0) this.#cut(block.pc, exits);
    return isFirst || exits.length > 0;
  }

  /** As the host's; a block lies on one page, mostly. */
  #physicalOf(address: bigint): number {
    const number = address >> PAGE_BITS;
    if (this.#page?.number !== number)
      this.#page = { number, physical: this.#host.physicalOf(number << PAGE_BITS) };
    const { physical } = this.#page;
    return physical < 0 ? physical : physical + (Number(address & 0xffff_ffffn) % PAGE_SIZE);
  }

  #notePages({ pc, size }: Block): void {
    for (const end of [pc, pc + BigInt(Math.max(size, 1) - 1)]) {
      const physical = this.#physicalOf(end);
      if (physical < 0) continue;
      const page = Math.floor(physical / PAGE_SIZE);
      this.codePages.add(page);
      this.recentCodePages.add(page);
      this.#host.keepStoreMarks(page);
    }
  }

  #again(block: Block): void {
    this.isUnfinished = true;
    this.#host.forget(block);
  }

  #cut(block: bigint | undefined, exits: readonly bigint[]): void {
    this.#cutting = block;
    this.#host.setExits(exits);
  }

  #byteAt(address: bigint): number {
    const physical = this.#physicalOf(address);
    return physical < 0 ? -1 : this.#host.ram[physical]!;
  }

  /** All code must be flushed before the next run. */
  get isFull(): boolean {
    return this.#volume > this.#host.codeBuffer;
  }
  /** Whether a guarded run ends before it begins. */
  isGuard(rip: bigint): boolean {
    return this.#guards.has(rip);
  }
  /** See `TranslationTraps`. */
  readingAt(rip: bigint): number | undefined {
    return this.#traps.readingAt(rip);
  }

  /** The run ends before a block is translated again. */
  abandon(): void {
    this.#traps.abandon();
    if (this.#cutting !== undefined) this.#cut(undefined, []);
  }

  /** All translated code is gone. */
  clear(): void {
    this.#volume = 0;
    this.codePages.clear();
    this.recentCodePages.clear();
    this.#guards.clear();
    this.#hooked.clear();
  }
}
