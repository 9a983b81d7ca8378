/**
 * Event delivery outside of IA-32e mode: through the vector table in real mode (SDM 3A, "Interrupt and Exception Handling", 20.1.4)
 * and through 8-byte gates in protected mode (SDM 3A, 6.11 and 6.12). Task gates raise #GP, and an event in virtual-8086
 * mode is a shutdown: this machine has neither hardware tasks nor a monitor for 8086 programs.
 */
import { type CpuState, GPR, type Segment } from '../engine/cpu-state.js';
import { HFLAG } from '../engine/layout.js';
import type { GuestMemory } from '../memory/guest-memory.js';
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
  readSegment,
} from './delivery-fault.js';
import { pagingOfState } from './paging.js';

/** Bytes of a word on the stack, and whether IF is cleared. */
interface GateKind {
  readonly width: 2 | 4;
  readonly clearsIf: boolean;
}
/** By the type of the descriptor (SDM 3A, table 3-2). */
const GATES: Readonly<Record<number, GateKind>> = {
  6: { width: 2, clearsIf: true },
  7: { width: 2, clearsIf: false },
  14: { width: 4, clearsIf: true },
  15: { width: 4, clearsIf: false },
};
const REAL_MODE: GateKind = { width: 2, clearsIf: true };

/** Stack pointers in a TSS: where that of level 0 lies, from one level to the next, and how wide it is (SDM 3A, 7.2.1 and 7.6). */
const TSS_16 = { first: 2, step: 4, width: 2 } as const;
const TSS_32 = { first: 4, step: 8, width: 4 } as const;
const TSS_IS_32 = 1 << 11;

interface Stack {
  readonly segment: Segment;
  readonly pointer: number;
}

export function enterLegacyHandler(state: CpuState, memory: GuestMemory, event: CpuEvent): void {
  const paging = pagingOfState(state);
  if ((state.hflags & HFLAG.PE) === 0) enterThroughVectorTable(state, memory, paging, event);
  else if ((state.systemFlags & RFLAGS.VM) !== 0) throw new DeliveryFault(VECTOR.DF, 0);
  else enterThroughGate(state, memory, paging, event);
  if (event.kind === 'nmi') state.nmiBlocked = true;
}

const linear = (segment: { base: bigint }, offset: number): bigint =>
  BigInt.asUintN(32, segment.base + BigInt(offset));

/** Real mode: an entry is offset and segment, the frame FLAGS, CS, IP; no error codes. */
function enterThroughVectorTable(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  event: CpuEvent,
): void {
  const { idt } = state;
  const at = event.vector * 4;
  if (at + 3 > idt.limit) throw new DeliveryFault(VECTOR.GP, 0);
  const entry = memory.systemRead(paging, linear(idt, at), 4);
  const stack = currentStack(state);
  const pointer = push(memory, paging, stack, REAL_MODE, 0, [
    state.rflags,
    state.selector('cs'),
    Number(state.rip),
  ]);
  setStackPointer(state, stack, pointer);
  const selector = entry.readUInt16LE(2);
  state.setSegment('cs', { ...state.segment('cs'), selector, base: BigInt(selector << 4) });
  state.rip = BigInt(entry.readUInt16LE(0));
  clearFlags(state, REAL_MODE);
  state.hflags &= ~HFLAG.INHIBIT_IRQ;
}

function enterThroughGate(state: CpuState, memory: GuestMemory, paging: Paging, event: CpuEvent): void {
  const external = event.kind === 'software' ? 0 : ERROR_EXT;
  const error = event.vector * 8 + ERROR_IDT + external;
  const { idt, cpl } = state;
  if (event.vector * 8 + 7 > idt.limit) throw new DeliveryFault(VECTOR.GP, error);
  const gate = memory.systemRead(paging, linear(idt, event.vector * 8), 8);
  const attributes = gate.readUInt16LE(4);
  const kind = GATES[(attributes >> 8) & 0x1f];
  checkGate(event, cpl, attributes, kind !== undefined, error);
  const { width } = kind!;

  const code = handlerSegment(state, memory, paging, gate.readUInt16LE(2), external);
  const entry = gate.readUInt16LE(0) | (width === 4 ? gate.readUInt16LE(6) << 16 : 0);
  const switched = code.cpl < cpl;
  const stack = switched ? stackFromTss(state, memory, paging, code.cpl, external) : currentStack(state);
  if (entry >>> 0 > code.segment.limit) throw new DeliveryFault(VECTOR.GP, external);
  const isFault = event.kind === 'exception' && EXCEPTIONS[event.vector]?.kind === 'fault';
  const frame = [
    ...(switched ? [state.selector('ss'), Number(BigInt.asUintN(32, state.reg(GPR.rsp)))] : []),
    isFault ? state.rflags | RFLAGS.RF : state.rflags,
    state.selector('cs'),
    Number(state.rip),
    ...(event.errorCode !== undefined ? [event.errorCode] : []),
  ];
  const stackError = switched ? (stack.segment.selector & ~3) | external : external;
  const pointer = push(memory, paging, stack, kind!, stackError, frame);

  // Nothing faults from here on.
  if (switched) state.setSegment('ss', stack.segment);
  setStackPointer(state, stack, pointer);
  state.setSegment('cs', code.segment);
  state.rip = BigInt(entry >>> 0);
  clearFlags(state, kind!);
  state.hflags = hiddenFlags(state, code.cpl);
}

function clearFlags(state: CpuState, { clearsIf }: GateKind): void {
  state.clearSystemFlags(RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (clearsIf ? RFLAGS.IF : 0));
}

/** What the engine derives from CS, SS and the bases. */
function hiddenFlags(state: CpuState, cpl: number): number {
  const is32 = (name: 'cs' | 'ss'): boolean => (state.segment(name).flags & DESC.size32) !== 0;
  const based = (['ds', 'es', 'ss'] as const).some((name) => state.segment(name).base !== 0n);
  const derived = HFLAG.CPL | HFLAG.INHIBIT_IRQ | HFLAG.CS32 | HFLAG.SS32 | HFLAG.ADDSEG;
  return (
    (state.hflags & ~derived) |
    cpl |
    (is32('cs') ? HFLAG.CS32 : 0) |
    (is32('ss') ? HFLAG.SS32 : 0) |
    (based || !is32('cs') ? HFLAG.ADDSEG : 0)
  );
}

const currentStack = (state: CpuState): Stack => ({
  segment: state.segment('ss'),
  pointer: Number(BigInt.asUintN(32, state.reg(GPR.rsp))),
});

function stackFromTss(
  state: CpuState,
  memory: GuestMemory,
  paging: Paging,
  cpl: number,
  external: number,
): Stack {
  const { tr } = state;
  const { first, step, width } = (tr.flags & TSS_IS_32) !== 0 ? TSS_32 : TSS_16;
  const at = first + step * cpl;
  if (at + width + 1 > tr.limit) throw new DeliveryFault(VECTOR.TS, (tr.selector & ~3) | external);
  const bytes = memory.systemRead(paging, linear(tr, at), width + 2);
  const selector = bytes.readUInt16LE(width);
  const segment = readSegment(state, memory, paging, selector, external, VECTOR.TS);
  const { flags } = segment;
  const error = (selector & ~3) | external;
  const isStack = (flags & (DESC.notSystem | DESC.code | DESC.writable)) === (DESC.notSystem | DESC.writable);
  if ((selector & 3) !== cpl || ((flags >> DPL_SHIFT) & 3) !== cpl || !isStack)
    throw new DeliveryFault(VECTOR.TS, error);
  if ((flags & DESC.present) === 0) throw new DeliveryFault(VECTOR.SS, error);
  return { segment, pointer: bytes.readUIntLE(0, width) };
}

const pointerMask = (segment: Segment): number =>
  (segment.flags & DESC.size32) !== 0 ? 0xffff_ffff : 0xffff;

/** Pushes words in order. @returns the stack pointer. @throws DeliveryFault #SS beyond the limit; PageFault */
function push(
  memory: GuestMemory,
  paging: Paging,
  { segment, pointer }: Stack,
  { width }: GateKind,
  error: number,
  words: readonly number[],
): number {
  const mask = pointerMask(segment);
  let at = pointer;
  for (const word of words) {
    at = ((at - width) & mask) >>> 0;
    const last = at + width - 1;
    const inside =
      (segment.flags & DESC.expandDown) !== 0
        ? at > segment.limit && last <= mask >>> 0
        : last <= segment.limit;
    if (!inside) throw new DeliveryFault(VECTOR.SS, error);
    const bytes = Buffer.alloc(width);
    bytes.writeUIntLE((width === 2 ? word & 0xffff : word) >>> 0, 0, width);
    memory.systemWrite(paging, linear(segment, at), bytes);
  }
  return at;
}

/** With a 16-bit stack the upper half of ESP stays. */
function setStackPointer(state: CpuState, { segment, pointer }: Stack, at: number): void {
  const mask = pointerMask(segment);
  state.setReg(GPR.rsp, BigInt(((pointer & ~mask) | (at & mask)) >>> 0));
}
