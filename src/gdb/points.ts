/** Breakpoints and watchpoints as gdb sets them, and what a CPU has come to. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';

/** By the numbers of the packets Z and z. */
export const POINT_TYPES = ['swbreak', 'hwbreak', 'watch', 'rwatch', 'awatch'] as const;
export type PointType = (typeof POINT_TYPES)[number];

/** What has been met: by which CPU, and where. */
export interface Hit {
  readonly type: PointType;
  readonly cpu: number;
  readonly address: bigint;
}

/**
 * What a hit does: `stop` ends the run, `watch` only if it is no breakpoint, `note` hands it over and lets the run go on, `pass`
 * nothing.
 */
export type PointMode = 'stop' | 'watch' | 'note' | 'pass';

/** A hit of a watchpoint comes while its instruction executes, one of a breakpoint before it. */
type Listener = (hit: Hit) => void;

const KINDS: Readonly<Record<'watch' | 'rwatch' | 'awatch', readonly ('read' | 'write')[]>> = {
  watch: ['write'],
  rwatch: ['read'],
  awatch: ['read', 'write'],
};
const LONGEST_WATCH = 4096;

interface Point {
  install(): () => void;
  remove: (() => void) | undefined;
  isWanted: boolean;
}

/** gdb takes all points out whenever the guest stops; they are only taken out of the machine when it goes on without them. */
export class Points {
  readonly #machine: Machine;
  readonly #points = new Map<string, Point>();
  mode: PointMode = 'stop';
  /** Where `note` puts hits. */
  listener: Listener = () => {};
  #hit: Hit | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The hit that has ended the run, if one has. It is given out once. */
  takeHit(): Hit | undefined {
    const hit = this.#hit;
    this.#hit = undefined;
    return hit;
  }
  get hasHit(): boolean {
    return this.#hit !== undefined;
  }

  /** @param cpu whose page tables tell where watched memory lies. @returns false where that cannot be */
  set(type: PointType, address: bigint, length: number, cpu: Vcpu): boolean {
    const key = keyOf(type, address, length);
    const known = this.#points.get(key);
    if (known !== undefined) {
      known.isWanted = true;
      return true;
    }
    const install =
      type === 'swbreak' || type === 'hwbreak'
        ? this.#breakpoint(type, address)
        : this.#watchpoint(type, address, length, cpu);
    if (install === undefined) return false;
    this.#points.set(key, { install, remove: undefined, isWanted: true });
    return true;
  }

  remove(type: PointType, address: bigint, length: number): void {
    const point = this.#points.get(keyOf(type, address, length));
    if (point !== undefined) point.isWanted = false;
  }

  clear(): void {
    for (const point of this.#points.values()) point.isWanted = false;
    this.install();
  }

  /** To be called before the guest goes on: the machine gets the points that are wanted now. */
  install(): void {
    for (const [key, point] of this.#points) {
      if (point.isWanted) point.remove ??= point.install();
      else {
        point.remove?.();
        this.#points.delete(key);
      }
    }
  }

  /** Also stops CPUs that come to `address` and pass a test, until the function that is returned is called. */
  until(address: bigint, isThere: (cpu: Vcpu) => boolean): () => void {
    return this.#machine.breakpoint(address, (cpu) => isThere(cpu) && this.mode === 'stop');
  }

  #breakpoint(type: 'swbreak' | 'hwbreak', address: bigint): () => () => void {
    return () => this.#machine.breakpoint(address, ({ index }) => this.#met({ type, cpu: index, address }));
  }

  #watchpoint(
    type: 'watch' | 'rwatch' | 'awatch',
    address: bigint,
    length: number,
    cpu: Vcpu,
  ): (() => () => void) | undefined {
    if (length < 1 || length > LONGEST_WATCH) return undefined;
    const { memory } = this.#machine;
    const pieces: { physical: number; length: number }[] = [];
    for (let done = 0; done < length; ) {
      const mapping = memory.translate(cpu.paging, BigInt.asUintN(64, address + BigInt(done)));
      if (mapping === undefined) return undefined;
      const onPage = Math.min(mapping.available, length - done);
      if (mapping.physical + onPage > memory.size) return undefined;
      pieces.push({ physical: mapping.physical, length: onPage });
      done += onPage;
    }
    return () => {
      const ends = pieces.flatMap((piece) =>
        KINDS[type].map((kind) =>
          this.#machine.watch({ kind, address: phys(piece.physical), length: piece.length }, ({ index }) =>
            this.#met({ type, cpu: index, address }),
          ),
        ),
      );
      return () => {
        for (const end of ends) end();
      };
    };
  }

  /** @returns whether the run ends. */
  #met(hit: Hit): boolean {
    const isWatch = hit.type !== 'swbreak' && hit.type !== 'hwbreak';
    if (this.mode === 'note') this.listener(hit);
    if (this.mode !== 'stop' && !(this.mode === 'watch' && isWatch)) return false;
    this.#hit ??= hit;
    return true;
  }
}

const keyOf = (type: PointType, address: bigint, length: number): string => `${type} ${address} ${length}`;
