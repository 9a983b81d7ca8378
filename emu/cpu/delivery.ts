/**
 * Delivery of exceptions, software interrupts, NMIs and external interrupts through the IDT; in IA-32e mode here, in the others
 * by legacy-delivery.ts (SDM 3A, "Interrupt and Exception Handling", chapter 6; "Exception and Interrupt Handling in 64-bit Mode", 6.14).
 */
import { type CpuState, GPR } from '../engine/cpu-state.js';
import { HFLAG } from '../engine/layout.js';
import { isCanonical } from '../memory/address.js';
import { type GuestMemory, PageFault } from '../memory/guest-memory.js';
import type { Paging } from '../memory/page-walk.js';
import { EXCEPTIONS, RFLAGS, VECTOR } from './architecture.js';
import {
  type CpuEvent,
  checkGate,
  DESC,
  DeliveryFault,
  DPL_SHIFT,
  ERROR_EXT,
  ERROR_IDT,
  handlerSegment,
} from './delivery-fault.js';
import { enterLegacyHandler } from './legacy-delivery.js';
import { pagingOfState } from './paging.js';

/** What became of an event: the vector whose handler now runs, or `undefined` for a shutdown (triple fault). */
export type Delivered = { readonly vector: number; readonly errorCode: number | undefined } | undefined;

const GATE_INTERRUPT = 0xe;
const GATE_TRAP = 0xf;
const GATE_SIZE = 16;
const TSS_RSP0 = 4;
const TSS_IST1 = 36;

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
  if (!state.longMode) {
    enterLegacyHandler(state, memory, event);
    return;
  }
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
  const cpl = state.cpl;
  checkGate(event, cpl, attributes, type === GATE_INTERRUPT || type === GATE_TRAP, gateError);

  const selector = gate.readUInt16LE(2);
  const code = handlerSegment(state, memory, paging, selector, external);
  if ((code.segment.flags & (DESC.long | DESC.size32)) !== DESC.long)
    throw new DeliveryFault(VECTOR.GP, (selector & ~3) | external);
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
  enterSegments(state, code.segment, code.cpl, code.cpl < cpl);
  if (event.kind === 'nmi') state.nmiBlocked = true;
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
  state.setFlatSegment('cs', cs.selector, cs.flags);
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

const SYSCALL_LENGTH = 2;

/** SYSCALL in 64-bit mode (SDM 2B, "SYSCALL—Fast System Call"). RSP stays the user's. */
export function syscall(state: CpuState, { rip, selector, mask }: SyscallTarget): void {
  const { rflags } = state;
  state.moveRip(SYSCALL_LENGTH);
  state.copyRip(GPR.rcx);
  state.setReg32(GPR.r11, rflags & ~RFLAGS.RF);
  state.rip = rip;
  state.rflags = (rflags & ~RFLAGS.RF & ~mask) | RFLAGS.reserved;
  enterSegments(state, { selector, flags: FLAT_CODE_64 }, 0, false);
  state.setFlatSegment('ss', selector + 8, FLAT_DATA);
}
