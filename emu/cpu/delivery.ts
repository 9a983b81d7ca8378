/**
 * Delivery of exceptions, software interrupts, NMIs and external interrupts through the IDT in IA-32e mode
 * (SDM 3A, "Interrupt and Exception Handling", chapter 6; "Exception and Interrupt Handling in 64-bit Mode", 6.14).
 */
import { type CpuState, GPR } from '../engine/cpu-state.js';
import { HFLAG } from '../engine/layout.js';
import { isCanonical } from '../memory/address.js';
import { type GuestMemory, PageFault } from '../memory/guest-memory.js';
import { type Paging, pagingOf } from '../memory/page-walk.js';
import { EXCEPTIONS, RFLAGS, VECTOR } from './architecture.js';

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
class DeliveryFault extends Error {
  readonly vector: number;
  readonly errorCode: number;
  constructor(vector: number, errorCode: number) {
    super();
    this.vector = vector;
    this.errorCode = errorCode;
  }
}

/** What became of an event: the vector whose handler now runs, or `undefined` for a shutdown (triple fault). */
export type Delivered = { readonly vector: number; readonly errorCode: number | undefined } | undefined;

/** Error code bits of a fault that concerns an IDT entry (SDM 3A, "Error Code", 6.13). */
const ERROR_EXT = 1;
const ERROR_IDT = 2;

const GATE_INTERRUPT = 0xe;
const GATE_TRAP = 0xf;
const GATE_SIZE = 16;
const TSS_RSP0 = 4;
const TSS_IST1 = 36;

/** Descriptor, second word. */
const DESC = {
  present: 1 << 15,
  code: 1 << 11,
  conforming: 1 << 10,
  notSystem: 1 << 12,
  long: 1 << 21,
  size32: 1 << 22,
} as const;
const DPL_SHIFT = 13;

export const pagingOfState = (state: CpuState): Paging =>
  pagingOf({ cr0: state.cr(0), cr3: state.cr(3), cr4: state.cr(4), efer: state.efer });

/**
 * Delivers `event`, and what comes of it when its delivery itself faults (SDM 3A, table 6-5 "Conditions for Generating a
 * Double Fault"). RIP must be what the handler is to return to.
 */
export function deliver(state: CpuState, memory: GuestMemory, event: CpuEvent): Delivered {
  let current = event;
  state.exceptionDelivered();
  for (;;) {
    try {
      enterHandler(state, memory, current);
      return { vector: current.vector, errorCode: current.errorCode };
    } catch (error) {
      const fault = asFault(state, error);
      const next = combine(current, fault);
      if (next === undefined) return undefined;
      // INT n that cannot be delivered is a fault of the instruction itself (SDM 2A, "INT n").
      if (current.length !== undefined) state.rip = BigInt.asUintN(64, state.rip - BigInt(current.length));
      current = next;
    }
  }
}

function asFault(state: CpuState, error: unknown): DeliveryFault {
  if (error instanceof DeliveryFault) return error;
  if (error instanceof PageFault) {
    state.setCr(2, error.address);
    return new DeliveryFault(VECTOR.PF, error.errorCode);
  }
  throw error;
}

/** The event that follows from a fault while delivering another; `undefined`: shutdown. */
function combine(first: CpuEvent, second: DeliveryFault): CpuEvent | undefined {
  const before = first.kind === 'exception' ? EXCEPTIONS[first.vector]?.class : 'benign';
  const after = EXCEPTIONS[second.vector]?.class;
  if (before === 'double-fault') return undefined;
  const double =
    (before === 'contributory' && after === 'contributory') ||
    (before === 'page-fault' && (after === 'contributory' || after === 'page-fault'));
  return double
    ? { vector: VECTOR.DF, kind: 'exception', errorCode: 0 }
    : { vector: second.vector, kind: 'exception', errorCode: second.errorCode };
}

function enterHandler(state: CpuState, memory: GuestMemory, event: CpuEvent): void {
  // Outside of IA-32e mode there is no table of 16-byte gates; what no handler can take ends in a shutdown.
  if (!state.longMode) throw new DeliveryFault(VECTOR.DF, 0);
  const paging = pagingOfState(state);
  const external = event.kind === 'software' ? 0 : ERROR_EXT;
  const gateError = event.vector * 8 + ERROR_IDT + external;
  const idt = state.idt;
  if (event.vector * GATE_SIZE + GATE_SIZE - 1 > idt.limit) throw new DeliveryFault(VECTOR.GP, gateError);
  const gate = memory.systemRead(
    paging,
    BigInt.asUintN(64, idt.base + BigInt(event.vector * GATE_SIZE)),
    GATE_SIZE,
  );
  const attributes = gate.readUInt16LE(4);
  const type = (attributes >> 8) & 0x1f;
  if (type !== GATE_INTERRUPT && type !== GATE_TRAP) throw new DeliveryFault(VECTOR.GP, gateError);
  const cpl = state.cpl;
  if (event.kind === 'software' && ((attributes >> DPL_SHIFT) & 3) < cpl)
    throw new DeliveryFault(VECTOR.GP, gateError);
  if ((attributes & DESC.present) === 0) throw new DeliveryFault(VECTOR.NP, gateError);

  const selector = gate.readUInt16LE(2);
  const code = codeSegment(state, memory, paging, selector, cpl, external);
  const ist = attributes & 7;
  const oldRsp = state.reg(GPR.rsp);
  const switched = code.cpl < cpl || ist !== 0;
  const rsp = switched
    ? stackFromTss(
        state,
        memory,
        paging,
        external,
        ist === 0 ? TSS_RSP0 + 8 * code.cpl : TSS_IST1 + 8 * (ist - 1),
      )
    : oldRsp;
  const rflags = state.rflags;
  const isFault = event.kind === 'exception' && EXCEPTIONS[event.vector]?.kind === 'fault';
  const frame = [
    state.rip,
    BigInt(state.selector('cs')),
    BigInt(isFault ? rflags | RFLAGS.RF : rflags),
    oldRsp,
    BigInt(state.selector('ss')),
  ];
  if (event.errorCode !== undefined) frame.unshift(BigInt(event.errorCode));
  const top = BigInt.asUintN(64, (rsp & ~0xfn) - BigInt(8 * frame.length));
  if (!isCanonical(top) || !isCanonical(BigInt.asUintN(64, rsp - 1n)))
    throw new DeliveryFault(VECTOR.SS, external);
  memory.systemWriteWords(paging, top, frame);

  // Nothing faults from here on.
  state.setReg(GPR.rsp, top);
  state.rip =
    BigInt(gate.readUInt16LE(0)) |
    (BigInt(gate.readUInt16LE(6)) << 16n) |
    (BigInt(gate.readUInt32LE(8)) << 32n);
  state.clearSystemFlags(
    RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (type === GATE_INTERRUPT ? RFLAGS.IF : 0),
  );
  enterSegments(state, { selector: (selector & ~3) | code.cpl, flags: code.flags }, code.cpl, code.cpl < cpl);
  if (event.kind === 'nmi') state.nmiBlocked = true;
}

function codeSegment(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  selector: number,
  cpl: number,
  external: number,
): { flags: number; cpl: number } {
  const error = (selector & ~3) | external;
  if ((selector & ~3) === 0) throw new DeliveryFault(VECTOR.GP, external);
  const gdt = state.gdt;
  if ((selector & 4) !== 0 || (selector | 7) > gdt.limit) throw new DeliveryFault(VECTOR.GP, error);
  const descriptor = memory.systemRead(paging, BigInt.asUintN(64, gdt.base + BigInt(selector & ~7)), 8);
  const flags = descriptor.readUInt32LE(4);
  const dpl = (flags >> DPL_SHIFT) & 3;
  const isCode = (flags & DESC.notSystem) !== 0 && (flags & DESC.code) !== 0;
  if (!isCode || dpl > cpl) throw new DeliveryFault(VECTOR.GP, error);
  if ((flags & DESC.present) === 0) throw new DeliveryFault(VECTOR.NP, error);
  if ((flags & DESC.long) === 0 || (flags & DESC.size32) !== 0) throw new DeliveryFault(VECTOR.GP, error);
  return { flags, cpl: (flags & DESC.conforming) !== 0 ? cpl : dpl };
}

function stackFromTss(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  external: number,
  offset: number,
): bigint {
  const tr = state.tr;
  if (offset + 7 > tr.limit) throw new DeliveryFault(VECTOR.TS, (tr.selector & ~3) | external);
  return memory.systemRead(paging, BigInt.asUintN(64, tr.base + BigInt(offset)), 8).readBigUInt64LE();
}

/** Descriptor flags of a 64-bit code segment as the processor itself sets them up (SYSCALL), without the DPL. */
const FLAT_CODE_64 = 0x00a0_9b00;
const FLAT_DATA = 0x00c0_9300;

/** Puts new CS and, on a change of privilege, a null or flat SS in place, with what the engine derives from them. */
function enterSegments(
  state: CpuState,
  cs: { selector: number; flags: number },
  cpl: number,
  nullStack: boolean,
): void {
  const visible = 0x00f0_ff00;
  state.setFlatSegment('cs', cs.selector, cs.flags & visible);
  if (nullStack) state.setSegment('ss', { selector: cpl, base: 0n, limit: 0, flags: cpl << DPL_SHIFT });
  state.hflags =
    (state.hflags & ~(HFLAG.CPL | HFLAG.ADDSEG | HFLAG.INHIBIT_IRQ)) |
    cpl |
    HFLAG.CS64 |
    HFLAG.CS32 |
    HFLAG.SS32;
}

/** What SYSCALL does by its model-specific registers. */
export interface SyscallTarget {
  readonly rip: bigint;
  /** Of the code segment; the stack segment's is the next one. */
  readonly selector: number;
  /** Flags that are cleared. */
  readonly mask: number;
}

export const syscallTarget = (star = 0n, lstar = 0n, fmask = 0n): SyscallTarget => ({
  rip: lstar,
  selector: Number((star >> 32n) & 0xfffcn),
  mask: Number(fmask & 0xffff_ffffn),
});

const SYSCALL_LENGTH = 2n;

/** SYSCALL in 64-bit mode (SDM 2B, "SYSCALL—Fast System Call"). RSP stays the user's. */
export function syscall(state: CpuState, { rip, selector, mask }: SyscallTarget): void {
  const { rflags } = state;
  state.setReg(GPR.rcx, BigInt.asUintN(64, state.rip + SYSCALL_LENGTH));
  state.setReg32(GPR.r11, rflags & ~RFLAGS.RF);
  state.rip = rip;
  state.rflags = (rflags & ~RFLAGS.RF & ~mask) | RFLAGS.reserved;
  enterSegments(state, { selector, flags: FLAT_CODE_64 }, 0, false);
  state.setFlatSegment('ss', selector + 8, FLAT_DATA);
}
