/**
 * What a run does that others may want to know, as typed events, and a rolling hash over all of them. Two runs whose hashes
 * are equal have executed the same instructions at the same times.
 */
import type { IpiMode } from './devices/apic-command.js';

interface At {
  /** Index of the CPU. */
  readonly cpu: number;
  /** Nanoseconds of guest time at that CPU. */
  readonly time: number;
}

export type MachineEvent = At &
  (
    | {
        readonly kind: 'exception';
        readonly vector: number;
        readonly errorCode: number | undefined;
        readonly rip: bigint;
      }
    | { readonly kind: 'interrupt'; readonly vector: number; readonly rip: bigint }
    | { readonly kind: 'nmi'; readonly rip: bigint }
    | { readonly kind: 'syscall'; readonly number: number; readonly rip: bigint }
    | { readonly kind: 'halt'; readonly rip: bigint }
    | { readonly kind: 'ipi'; readonly mode: IpiMode; readonly vector: number }
    | {
        readonly kind: 'port';
        readonly direction: 'in' | 'out';
        readonly port: number;
        readonly size: number;
        readonly value: number;
      }
    | {
        readonly kind: 'msr';
        readonly direction: 'read' | 'write';
        readonly msr: number;
        readonly value: bigint;
      }
    | { readonly kind: 'start'; readonly rip: bigint }
    | { readonly kind: 'shutdown'; readonly rip: bigint; readonly vector: number }
  );

export type EventKind = MachineEvent['kind'];

const KIND_NUMBER: Readonly<Record<EventKind, number>> = {
  exception: 1,
  interrupt: 2,
  nmi: 3,
  syscall: 4,
  halt: 5,
  ipi: 6,
  port: 7,
  msr: 8,
  start: 9,
  shutdown: 10,
};

/** Two independent FNV-1a lanes of 32 bits; cheap in JavaScript, and enough to tell runs apart. */
const FNV_PRIME = 0x0100_0193;
const LANE_SEEDS = [0x811c_9dc5, 0xcbf2_9ce4] as const;

export class EventHash {
  #a: number = LANE_SEEDS[0];
  #b: number = LANE_SEEDS[1];

  /** Mixes 32-bit words in. */
  add(word: number): void {
    this.#a = Math.imul(this.#a ^ (word | 0), FNV_PRIME);
    this.#b = Math.imul(this.#b ^ (this.#a >>> 13) ^ (word | 0), FNV_PRIME);
  }

  /** 16 hexadecimal digits. */
  get digest(): string {
    const lane = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
    return lane(this.#a) + lane(this.#b);
  }

  capture(): readonly [number, number] {
    return [this.#a, this.#b];
  }
  reinstate(state: readonly [number, number]): void {
    [this.#a, this.#b] = state;
  }
}

/** An event in five numbers: `word` and `address` are its own part of the hash, as `event-words.ts` packs it. */
export type Witness = (kind: EventKind, cpu: number, time: number, word: number, address: number) => void;

type Listener<K extends EventKind> = (event: Extract<MachineEvent, { kind: K }>) => void;

/** Hashes each event and hands it to who listens for its kind. */
export class EventBus {
  readonly hash = new EventHash();
  readonly #listeners = new Map<EventKind, Set<(event: never) => void>>();
  readonly #witnesses: Witness[] = [];
  #count = 0;

  /** Events so far. */
  get count(): number {
    return this.#count;
  }

  /** @returns a function that ends the subscription. */
  on<K extends EventKind>(kind: K, listener: Listener<K>): () => void {
    let listeners = this.#listeners.get(kind);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(kind, listeners);
    }
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /**
   * Calls `witness` at each event of any kind, when it has been hashed and before those who listen for it. It costs no object.
   * @returns a function that ends it.
   */
  witness(witness: Witness): () => void {
    this.#witnesses.push(witness);
    return () => void this.#witnesses.splice(this.#witnesses.indexOf(witness), 1);
  }

  /** `word` and `address` are the event's own part of the hash. */
  emit(event: MachineEvent, word: number, address: bigint): void {
    this.note(event.kind, event.cpu, event.time, word, Number(BigInt.asUintN(32, address)));
    const listeners = this.#listeners.get(event.kind);
    if (listeners !== undefined) for (const listener of listeners) listener(event as never);
  }

  /** Whether anyone listens for events of this kind; if not, `note` does for them without an object, witnesses or not. */
  heard(kind: EventKind): boolean {
    return (this.#listeners.get(kind)?.size ?? 0) > 0;
  }

  /** Counts and hashes an event that nobody listens for. `address` is the low half. */
  note(kind: EventKind, cpu: number, time: number, word: number, address: number): void {
    this.#count++;
    const { hash } = this;
    hash.add(KIND_NUMBER[kind] | (cpu << 8));
    hash.add(time);
    hash.add(time / 0x1_0000_0000);
    hash.add(word);
    hash.add(address);
    if (this.#witnesses.length === 0) return;
    for (const witness of this.#witnesses) witness(kind, cpu, time, word, address);
  }

  capture(): { hash: readonly [number, number]; count: number } {
    return { hash: this.hash.capture(), count: this.#count };
  }
  reinstate(state: { hash: readonly [number, number]; count: number }): void {
    this.hash.reinstate(state.hash);
    this.#count = state.count;
  }
}
