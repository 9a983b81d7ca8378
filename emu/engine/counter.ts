/**
 * The engine's count of what it executes, by which a run ends: what has *begun*, and what is *allowed*.
 *
 * The idea: a run that ends at an exact instruction can be repeated and interrupted anywhere. The reality: the engine counts by a hook of
 * its own on every instruction, and works out the flags before each, which makes code ten times slower than it need be. So there is a
 * second way, for guests that are to be fast: the engine's own routine is put on every *block* (straight code up to a jump), and
 * its hook on instructions moved to where nothing is ever executed. A run then ends between two blocks.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { type Ffi, HOOK, type Pointer, viewMemory } from './ffi.js';
import { EVERYWHERE, HOOK_STRUCT, type Hooks, moveHook, NOWHERE } from './hooks.js';
import { EngineError } from './library.js';

/** Instructions that a block stands for; code that was looked at has four to six. */
const PER_BLOCK = 4;

/** Instructions that one which is carried out by the host counts for, when blocks are counted: a microsecond, which is what it takes. */
const PER_CALL = 1000;
/** A guest that has asked so often in a row waits for something far off, and goes there ten times as fast. */
const PATIENCE = { calls: 1000, blocksBetween: 64, factor: 10 } as const;

const ENGINE_STRUCT_SEARCHED = 4096;

export class Counter {
  readonly #book: DataView;
  /** Calls on the host in a row, and the count at the last one. */
  #calls = 0;
  #lastCall = 0;
  /** How many instructions one count stands for. */
  #scale = 1;

  /** @param offset of the two words in the engine's own structure */
  constructor(uc: Pointer, offset: number) {
    this.#book = new DataView(viewMemory(uc, offset + 16), offset);
  }

  /** Instructions are counted, not blocks. */
  get isExact(): boolean {
    return this.#scale === 1;
  }

  /** The limit of a run of so many instructions. */
  limit(instructions: number): number {
    return Math.ceil(instructions / this.#scale);
  }
  /** Instructions of so many counts. */
  instructions(counts: number): number {
    return counts * this.#scale;
  }

  /** Counts of the run under way, with the one that made it end. */
  get begun(): number {
    return this.#book.getUint32(0, true);
  }
  set begun(counts: number) {
    this.#book.setUint32(0, counts, true);
  }
  get allowed(): number {
    return this.#book.getUint32(8, true);
  }
  set allowed(counts: number) {
    this.#book.setUint32(8, counts, true);
  }

  /**
   * From within a hook: the guest has called on the host for something that it may do over and over until time has passed. Where
   * blocks are counted, which is for speed, a wait is to be over as soon for the host as it is for the guest.
   */
  hostCall(): void {
    if (this.isExact) return;
    const { begun } = this;
    const since = begun < this.#lastCall ? begun : begun - this.#lastCall; // a run may have ended in between
    this.#calls = since < PATIENCE.blocksBetween ? this.#calls + 1 : 0;
    const factor = this.#calls > PATIENCE.calls ? PATIENCE.factor : 1;
    this.begun = Math.min(begun + (factor * PER_CALL) / PER_BLOCK, Math.max(begun, this.allowed));
    this.#lastCall = this.begun;
  }

  /**
   * From now on counts blocks. To be called once, after a first run, and before any other hook on blocks is added: the
   * first one is asked first. Code already translated must be forgotten.
   * @throws EngineError where the engine's own hook is not found
   */
  countBlocks({ library }: Ffi, uc: Pointer, hooks: Hooks): void {
    const hook = findCountHook(uc);
    if (hook === undefined) {
      const { version, path } = library;
      throw new EngineError(
        `expected the counting hook of libunicorn to be laid out as in 2.1.1 to 2.1.4, found none in version ${version} (${path}); use --deterministic`,
      );
    }
    moveHook(hook, NOWHERE);
    const routine = new DataView(viewMemory(hook, HOOK_STRUCT.size)).getBigUint64(HOOK_STRUCT.callback, true);
    hooks.add(HOOK.BLOCK, routine, EVERYWHERE.from, EVERYWHERE.to);
    this.#scale = PER_BLOCK;
  }
}

/** The hook that the engine itself has put on every instruction: its structure points to it. */
function findCountHook(uc: Pointer): bigint | undefined {
  const words = new BigUint64Array(viewMemory(uc, ENGINE_STRUCT_SEARCHED));
  const hook = Buffer.alloc(HOOK_STRUCT.size);
  const memory = openSync('/proc/self/mem', 'r'); // refuses what is not mapped: most words are no pointers
  try {
    return words.find((address) => {
      try {
        if (readSync(memory, hook, 0, hook.length, address) < hook.length) return false;
      } catch {
        return false;
      }
      return (
        hook.readUInt32LE(HOOK_STRUCT.type) === HOOK.CODE &&
        hook.readBigUInt64LE(HOOK_STRUCT.begin) === EVERYWHERE.from &&
        hook.readBigUInt64LE(HOOK_STRUCT.end) === EVERYWHERE.to
      );
    });
  } finally {
    closeSync(memory);
  }
}
