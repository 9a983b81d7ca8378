/**
 * The state of one virtual CPU. One engine runs all CPUs in turns, so at any time at most one of these is *loaded*: it is
 * then read and written where the engine itself has it, also in the middle of a run. The others lie in the engine's saved
 * form, which has the same fields in the same places. Readers and writers need not care.
 */
import { type Ffi, type Pointer, viewMemory } from './ffi.js';
import {
  ARITHMETIC_FLAGS,
  CC_OP_EFLAGS,
  FIELD,
  HFLAG,
  HFLAG2_NMI_MASK,
  type Layout,
  SEGMENT_SIZE,
} from './layout.js';
import { REG } from './registers.js';

/** Numbers of the general registers as instructions encode them. */
export const GPR = {
  rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7,
  r8: 8, r9: 9, r10: 10, r11: 11, r12: 12, r13: 13, r14: 14, r15: 15,
} as const; // biome-ignore format: eight to a line, as in the manual's table
export type Gpr = keyof typeof GPR;
export const GPR_NAMES = Object.keys(GPR) as Gpr[];

/** Segment registers in the order of their encoding. */
export const SEGMENT = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;
export type SegmentName = keyof typeof SEGMENT;

/** A segment register with its hidden part; `flags` is the descriptor's second word with the base bits masked out. */
export interface Segment {
  selector: number;
  base: bigint;
  limit: number;
  flags: number;
}

/** A descriptor-table register. */
export interface DescriptorTable {
  base: bigint;
  limit: number;
}

export interface StatePlace {
  readonly ffi: Ffi;
  readonly uc: Pointer;
  readonly layout: Layout;
  /** The state inside the engine. */
  readonly live: DataView;
  /** Where the engine saves this CPU. */
  readonly context: Pointer;
  /** Whether guest code is executing, and this is called from one of its hooks. */
  readonly running: () => boolean;
}

const RFLAGS_DF = 1 << 10;
/** Bit 1 is always set. */
const RFLAGS_RESERVED = 2;
/** What `eflags` itself holds while the engine runs. */
const OTHER_FLAGS = ~(Number(ARITHMETIC_FLAGS) | RFLAGS_DF);

export class CpuState {
  readonly context: Pointer;
  /** The saved form; the truth while the CPU is not loaded. */
  readonly bytes: Uint8Array;
  readonly #place: StatePlace;
  readonly #layout: Layout;
  readonly #saved: DataView;
  readonly #scratch = Buffer.alloc(16);
  /** Where the truth is. */
  #view: DataView;

  constructor(place: StatePlace) {
    this.#place = place;
    this.#layout = place.layout;
    this.context = place.context;
    const memory = viewMemory(place.context, place.layout.contextSize);
    this.bytes = new Uint8Array(memory);
    this.#saved = new DataView(memory, place.layout.start);
    this.#view = this.#saved;
  }

  /** The CPU is the one inside the engine. */
  get loaded(): boolean {
    return this.#view !== this.#saved;
  }
  /** Set by the engine when it has copied the state in or out. @internal */
  set loaded(loaded: boolean) {
    this.#view = loaded ? this.#place.live : this.#saved;
  }

  /** General register by its number (GPR). */
  reg(index: number): bigint {
    return this.#view.getBigUint64(FIELD.regs + 8 * index, true);
  }
  /** Its low half. */
  reg32(index: number): number {
    return this.#view.getUint32(FIELD.regs + 8 * index, true);
  }
  /** Its high half. */
  regHigh32(index: number): number {
    return this.#view.getUint32(FIELD.regs + 8 * index + 4, true);
  }
  /** As a 32-bit instruction does: the high half becomes zero. */
  setReg32(index: number, value: number): void {
    this.#view.setUint32(FIELD.regs + 8 * index, value, true);
    this.#view.setUint32(FIELD.regs + 8 * index + 4, 0, true);
  }
  setReg(index: number, value: bigint): void {
    this.#view.setBigUint64(FIELD.regs + 8 * index, value, true);
  }

  get rip(): bigint {
    return this.#view.getBigUint64(FIELD.rip, true);
  }
  set rip(value: bigint) {
    this.#view.setBigUint64(FIELD.rip, value, true);
  }
  /** The low half of RIP, which costs no bigint. */
  get ripLow(): number {
    return this.#view.getUint32(FIELD.rip, true);
  }
  get ripHigh(): number {
    return this.#view.getUint32(FIELD.rip + 4, true);
  }
  /** RIP += bytes, in halves. */
  moveRip(bytes: number): void {
    const view = this.#view;
    const low = view.getUint32(FIELD.rip, true) + bytes;
    view.setUint32(FIELD.rip, low, true);
    const carry = Math.floor(low / 2 ** 32);
    if (carry !== 0) view.setUint32(FIELD.rip + 4, view.getUint32(FIELD.rip + 4, true) + carry, true);
  }
  /** A general register := RIP, in halves. */
  copyRip(index: number): void {
    const view = this.#view;
    view.setUint32(FIELD.regs + 8 * index, view.getUint32(FIELD.rip, true), true);
    view.setUint32(FIELD.regs + 8 * index + 4, view.getUint32(FIELD.rip + 4, true), true);
  }

  /**
   * RFLAGS. When it stops, the engine puts the arithmetic flags and DF into `eflags`, and it takes them from there as it starts. While
   * it runs, `eflags` may hold them as they were some instructions ago; they count as `ccOp` has them, and are worked out when asked for.
   */
  get rflags(): number {
    const view = this.#view;
    if (view.getUint32(FIELD.ccOp, true) === CC_OP_EFLAGS) {
      const direction = view.getInt32(FIELD.df, true) & RFLAGS_DF;
      return (
        (view.getUint32(FIELD.eflags, true) & OTHER_FLAGS) | view.getUint32(FIELD.ccSrc, true) | direction
      );
    }
    const { ffi, uc } = this.#place;
    if (this.loaded) ffi.regRead(uc, REG.RFLAGS, this.#scratch);
    else ffi.contextRegRead(this.context, REG.RFLAGS, this.#scratch);
    return this.#scratch.readUInt32LE(0);
  }
  set rflags(value: number) {
    const view = this.#view;
    const kept = this.#place.running() ? value & OTHER_FLAGS : value;
    view.setUint32(FIELD.eflags, kept | RFLAGS_RESERVED, true);
    view.setUint32(FIELD.ccSrc, value & Number(ARITHMETIC_FLAGS), true);
    view.setUint32(FIELD.ccSrc + 4, 0, true);
    view.setUint32(FIELD.ccOp, CC_OP_EFLAGS, true);
    view.setInt32(FIELD.df, (value & RFLAGS_DF) !== 0 ? -1 : 1, true);
  }
  /** Only the flags that are not arithmetic (IF, TF, IOPL, NT, RF, VM, AC), without the detour of `rflags`. */
  get systemFlags(): number {
    return this.#view.getUint32(FIELD.eflags, true);
  }
  clearSystemFlags(mask: number): void {
    const view = this.#view;
    view.setUint32(FIELD.eflags, view.getUint32(FIELD.eflags, true) & ~mask, true);
  }

  get hflags(): number {
    return this.#view.getUint32(FIELD.hflags, true);
  }
  set hflags(value: number) {
    this.#view.setUint32(FIELD.hflags, value, true);
  }
  get cpl(): number {
    return this.hflags & HFLAG.CPL;
  }
  get longMode(): boolean {
    return (this.hflags & HFLAG.LMA) !== 0;
  }
  /** Not in compatibility mode either. */
  get in64BitMode(): boolean {
    return (this.hflags & HFLAG.CS64) !== 0;
  }
  /** The instruction just executed was STI or loaded SS: one more executes before an interrupt is taken. */
  get shadow(): boolean {
    return (this.hflags & HFLAG.INHIBIT_IRQ) !== 0;
  }
  get nmiBlocked(): boolean {
    return (this.#view.getUint32(FIELD.hflags2, true) & HFLAG2_NMI_MASK) !== 0;
  }
  set nmiBlocked(blocked: boolean) {
    const view = this.#view;
    const others = view.getUint32(FIELD.hflags2, true) & ~HFLAG2_NMI_MASK;
    view.setUint32(FIELD.hflags2, blocked ? others | HFLAG2_NMI_MASK : others, true);
  }

  segment(name: SegmentName): Segment {
    return this.#segmentAt(FIELD.segments + SEGMENT_SIZE * SEGMENT[name]);
  }
  setSegment(name: SegmentName, segment: Segment): void {
    this.#setSegmentAt(FIELD.segments + SEGMENT_SIZE * SEGMENT[name], segment);
  }
  #setSegmentAt(at: number, segment: Segment): void {
    const view = this.#view;
    view.setUint32(at, segment.selector, true);
    view.setBigUint64(at + 8, segment.base, true);
    view.setUint32(at + 16, segment.limit, true);
    view.setUint32(at + 20, segment.flags, true);
  }
  /** A segment of base 0 that reaches to 4 GiB, as 64-bit mode has them. */
  setFlatSegment(name: SegmentName, selector: number, flags: number): void {
    const at = FIELD.segments + SEGMENT_SIZE * SEGMENT[name];
    const view = this.#view;
    view.setUint32(at, selector, true);
    view.setUint32(at + 8, 0, true);
    view.setUint32(at + 12, 0, true);
    view.setUint32(at + 16, 0xffff_ffff, true);
    view.setUint32(at + 20, flags, true);
  }
  /** The selector alone, as event delivery pushes it. */
  selector(name: SegmentName): number {
    return this.#view.getUint32(FIELD.segments + SEGMENT_SIZE * SEGMENT[name], true);
  }
  get tr(): Segment {
    return this.#segmentAt(FIELD.tr);
  }
  setTr(segment: Segment): void {
    this.#setSegmentAt(FIELD.tr, segment);
  }
  #segmentAt(at: number): Segment {
    const view = this.#view;
    return {
      selector: view.getUint32(at, true),
      base: view.getBigUint64(at + 8, true),
      limit: view.getUint32(at + 16, true),
      flags: view.getUint32(at + 20, true),
    };
  }

  get gdt(): DescriptorTable {
    return this.#tableAt(FIELD.gdt);
  }
  get idt(): DescriptorTable {
    return this.#tableAt(FIELD.idt);
  }
  setTable(name: 'gdt' | 'idt', table: DescriptorTable): void {
    const view = this.#view;
    view.setBigUint64(FIELD[name] + 8, table.base, true);
    view.setUint32(FIELD[name] + 16, table.limit, true);
  }
  #tableAt(at: number): DescriptorTable {
    const view = this.#view;
    return { base: view.getBigUint64(at + 8, true), limit: view.getUint32(at + 16, true) };
  }

  /** Control register 0, 2, 3 or 4. */
  cr(index: 0 | 2 | 3 | 4): bigint {
    return this.#view.getBigUint64(FIELD.cr + 8 * index, true);
  }
  setCr(index: 0 | 2 | 3 | 4, value: bigint): void {
    this.#view.setBigUint64(FIELD.cr + 8 * index, value, true);
  }
  /** SYSCALL and SYSRET are enabled: EFER.SCE (SDM 4, IA32_EFER). */
  get syscallEnabled(): boolean {
    return (this.#view.getUint32(this.#layout.efer, true) & 1) !== 0;
  }
  get efer(): bigint {
    return this.#view.getBigUint64(this.#layout.efer, true);
  }
  set efer(value: bigint) {
    this.#view.setBigUint64(this.#layout.efer, value, true);
  }

  /** A register that is none of the above, by the engine's number (`REG`), little-endian. While no code runs only. */
  engineRegister(number: number, length: number): Buffer {
    const { ffi, uc } = this.#place;
    this.#scratch.fill(0);
    if (this.loaded) ffi.regRead(uc, number, this.#scratch);
    else ffi.contextRegRead(this.context, number, this.#scratch);
    return Buffer.from(this.#scratch.subarray(0, length));
  }
  setEngineRegister(number: number, value: Uint8Array): void {
    const { ffi, uc } = this.#place;
    this.#scratch.fill(0).set(value);
    if (this.loaded) ffi.regWrite(uc, number, this.#scratch);
    else ffi.contextRegWrite(this.context, number, this.#scratch);
  }

  /** Error code of the exception that the engine has just raised. */
  get errorCode(): number {
    return this.#view.getUint32(this.#layout.errorCode, true);
  }
  /** The exception just raised is an INT n, INT3 or INTO: RIP lies behind it. */
  get softwareInterrupt(): boolean {
    return this.#view.getInt32(this.#layout.isInt, true) !== 0;
  }
  /** Tells the engine that no exception is in flight; else it would make the next one a double fault, or move RIP behind an INT n. */
  exceptionDelivered(): void {
    const view = this.#view;
    view.setInt32(this.#layout.oldException, -1, true);
    view.setInt32(this.#layout.isInt, 0, true);
  }
}
