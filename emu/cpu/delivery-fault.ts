/** What event delivery in all modes has in common: faults on the way, and the look-up of segments. */
import type { CpuState, Segment } from '../engine/cpu-state.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { Paging } from '../memory/page-walk.js';
import { VECTOR } from './architecture.js';

export type EventKind = 'exception' | 'software' | 'external' | 'nmi';

export interface CpuEvent {
  readonly vector: number;
  readonly kind: EventKind;
  /** Pushed for the exceptions that have one. */
  readonly errorCode?: number;
  /** Length of the INT n, INT3 or INTO; RIP is behind it. */
  readonly length?: number;
}

/** A further exception while an event is being delivered. */
export class DeliveryFault extends Error {
  readonly vector: number;
  readonly errorCode: number;
  constructor(vector: number, errorCode: number) {
    super();
    this.vector = vector;
    this.errorCode = errorCode;
  }
}

/** Error code bits of a fault that concerns an IDT entry (SDM 3A, "Error Code", 6.13). */
export const ERROR_EXT = 1;
export const ERROR_IDT = 2;

/** Descriptor, second word. */
export const DESC = {
  present: 1 << 15,
  notSystem: 1 << 12,
  code: 1 << 11,
  /** Code: conforming. Data: expands down. */
  conforming: 1 << 10,
  expandDown: 1 << 10,
  writable: 1 << 9,
  long: 1 << 21,
  size32: 1 << 22,
  granular: 1 << 23,
} as const;
export const DPL_SHIFT = 13;
/** The flags of a descriptor that a segment register keeps; the rest are bits of base and limit. */
export const DESC_FLAGS = 0x00f0_ff00;

/** The checks of a gate, in the manual's order (SDM 2A, "INT n", Operation): its type is known by the caller. */
export function checkGate(
  event: CpuEvent,
  cpl: number,
  attributes: number,
  knownType: boolean,
  error: number,
): void {
  if (!knownType) throw new DeliveryFault(VECTOR.GP, error);
  if (event.kind === 'software' && ((attributes >> DPL_SHIFT) & 3) < cpl)
    throw new DeliveryFault(VECTOR.GP, error);
  if ((attributes & DESC.present) === 0) throw new DeliveryFault(VECTOR.NP, error);
}

/** The segment that a selector names in the GDT; `vector` is raised when there is none (local tables are not looked into). */
export function readSegment(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  selector: number,
  external: number,
  vector: number,
): Segment {
  if ((selector & ~3) === 0) throw new DeliveryFault(vector, external);
  const gdt = state.gdt;
  if ((selector & 4) !== 0 || (selector | 7) > gdt.limit)
    throw new DeliveryFault(vector, (selector & ~3) | external);
  const bytes = memory.systemRead(paging, BigInt.asUintN(64, gdt.base + BigInt(selector & ~7)), 8);
  const [low, high] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  const limit = (low & 0xffff) | (high & 0xf_0000);
  return {
    selector,
    base: BigInt(((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0),
    limit: (high & DESC.granular) !== 0 ? ((limit << 12) | 0xfff) >>> 0 : limit,
    flags: high & DESC_FLAGS,
  };
}

/** The code segment of a handler, and the privilege level it runs at. @throws DeliveryFault #GP or #NP */
export function handlerSegment(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  selector: number,
  external: number,
): { segment: Segment; cpl: number } {
  const segment = readSegment(state, memory, paging, selector, external, VECTOR.GP);
  const { flags } = segment;
  const { cpl } = state;
  const error = (selector & ~3) | external;
  const dpl = (flags >> DPL_SHIFT) & 3;
  const isCode = (flags & DESC.notSystem) !== 0 && (flags & DESC.code) !== 0;
  if (!isCode || dpl > cpl) throw new DeliveryFault(VECTOR.GP, error);
  if ((flags & DESC.present) === 0) throw new DeliveryFault(VECTOR.NP, error);
  const level = (flags & DESC.conforming) !== 0 ? cpl : dpl;
  return { segment: { ...segment, selector: (selector & ~3) | level }, cpl: level };
}
