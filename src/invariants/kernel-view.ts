/**
 * The guest kernel's memory as the invariants read it: through symbols, by arithmetic instead of page walks, and a whole structure at a time,
 * since this happens several times in each of ten thousand runs a second. `src/guest` is the general view; nothing here decodes what
 * no invariant asks for.
 */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { type Walk, walkFramePointers } from '../unwind/walk.js';
import { layoutOf, type ViewLayout } from './layout.js';
import { BP, fromPtRegs, IP, SP, type UserRegisters } from './user-registers.js';

const WORD = 8;
const PAGE = 4096n;
/** A list that takes more steps than this has no end: there are 64 tracers at most. */
const LONGEST_LIST = 128;

/** A per-CPU area's variables, and a task's fields, each copied at one moment. */
export class CpuAt {
  readonly #bytes: Buffer;
  readonly #layout: ViewLayout;
  constructor(bytes: Buffer, layout: ViewLayout) {
    this.#bytes = bytes;
    this.#layout = layout;
  }
  get task(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.perCpu.current_task);
  }
  get kernelStack(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.perCpu.kernel_stack);
  }
  get sp0(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.perCpu.cpu_tss + this.#layout.TSS_sp0);
  }
  /** The last cookie count given out here. */
  get count(): number {
    return this.#bytes.readUInt32LE(this.#layout.perCpu.unwind_ctx_ctr);
  }
}

export class TaskAt {
  readonly address: bigint;
  readonly #bytes: Buffer;
  readonly #layout: ViewLayout;
  constructor(address: bigint, bytes: Buffer, layout: ViewLayout) {
    this.address = address;
    this.#bytes = bytes;
    this.#layout = layout;
  }
  get pid(): number {
    return this.#bytes.readUInt32LE(this.#layout.TASK_pid);
  }
  get stack(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_stack);
  }
  get stackTop(): bigint {
    return this.stack + this.#layout.stackSize;
  }
  get fsBase(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_fs_base);
  }
  get gsBase(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_gs_base);
  }
  get tiFlags(): number {
    return this.#bytes.readUInt32LE(this.#layout.TASK_ti_flags);
  }
  get hasMemory(): boolean {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_mm) !== 0n;
  }
  get works(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_task_works);
  }
  get cr3(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#layout.TASK_cr3));
  }
  get cookie(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.info.id);
  }
  get hasCache(): boolean {
    return this.#bytes.readBigUInt64LE(this.#layout.info.cache) !== 0n;
  }
  /** One bit per tracer that has asked in this entry; undefined in versions that have no such thing. */
  get mask(): bigint | undefined {
    const { mask } = this.#layout.info;
    return mask === undefined ? undefined : this.#bytes.readBigUInt64LE(mask);
  }
  /** The work is claimed and has not begun: a word of its own, or a bit of the mask. */
  get pending(): boolean {
    const { info, pendingBit } = this.#layout;
    if (info.pending !== undefined) return this.#bytes.readUInt32LE(info.pending) !== 0;
    return ((this.mask! >> pendingBit!) & 1n) === 1n;
  }
}

export class KernelView {
  readonly layout: ViewLayout;
  readonly symbols: SymbolTable;
  readonly #machine: Machine;
  /** Where each CPU's variables lie; 0 before the CPU has its area. */
  readonly #areas: bigint[];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.symbols = machine.symbols;
    this.layout = layoutOf(machine.symbols);
    this.#areas = machine.cpus.map(() => 0n);
  }

  /** Bytes of the kernel's image or of its direct map; undefined where that is no RAM. */
  bytes(address: bigint, length: number): Buffer | undefined {
    const { KERNEL_BASE, DIRECT_MAP } = this.layout;
    const base = address >= KERNEL_BASE ? KERNEL_BASE : DIRECT_MAP;
    return this.#machine.memory.readPhysical(phys(Number(address - base)), length);
  }
  word(address: bigint): bigint | undefined {
    return this.bytes(address, WORD)?.readBigUInt64LE();
  }

  /** The GS base of a CPU in the kernel; 0 while it has none. */
  gsBase(cpu: number): bigint {
    const known = this.#areas[cpu]!;
    if (known !== 0n) return known;
    const offset = this.word(this.layout.__per_cpu_offset + BigInt(WORD * cpu)) ?? 0n;
    this.#areas[cpu] = offset;
    return offset;
  }
  /** A CPU's variables; undefined while it has none. */
  cpu(cpu: number): CpuAt | undefined {
    const { perCpuStart, perCpuBytes } = this.layout;
    const offset = this.gsBase(cpu);
    if (offset === 0n) return undefined;
    const bytes = this.bytes(BigInt.asUintN(64, perCpuStart + offset), perCpuBytes);
    return bytes && new CpuAt(bytes, this.layout);
  }
  task(address: bigint): TaskAt | undefined {
    const bytes = this.bytes(address, this.layout.taskBytes);
    return bytes && new TaskAt(address, bytes, this.layout);
  }

  /** task_pt_regs(task), if user mode has filled it. */
  ptRegs(task: TaskAt): UserRegisters | undefined {
    const { layout } = this;
    const bytes = this.bytes(task.stackTop - BigInt(layout.PT_SIZE), layout.PT_SIZE);
    return bytes && fromPtRegs(bytes, task, layout);
  }

  /** The host's own walk of a task's user stack. */
  walk(task: TaskAt, registers: UserRegisters, cpu: Vcpu): Walk {
    const paging = { ...cpu.paging, root: task.cr3 };
    const pages = new Map<bigint, number>();
    const { memory } = this.#machine;
    const physical = (address: bigint): number => {
      const page = address - (address % PAGE);
      let at = pages.get(page);
      if (at === undefined) {
        at = memory.translate(paging, page)?.physical ?? -1;
        pages.set(page, at);
      }
      return at < 0 ? at : at + Number(address - page);
    };
    return walkFramePointers(
      {
        ip: registers.words[IP]!,
        sp: registers.words[SP]!,
        fp: registers.words[BP]!,
        userMode: true,
        wordSize: 8,
      },
      (address) => {
        const at = physical(address);
        if (at < 0) return undefined;
        if (address % PAGE > PAGE - 8n) return memory.read(paging, address, WORD)?.readBigUInt64LE();
        return memory.readPhysical(phys(at), WORD)?.readBigUInt64LE();
      },
      { max: this.layout.UNWIND_MAX_ENTRIES },
    );
  }

  /** The entries of a struct unwind_stacktrace. */
  trace(address: bigint): readonly bigint[] {
    const { layout } = this;
    const trace = this.bytes(address, layout.TRACE_SIZE);
    const nr = Number(trace?.readBigUInt64LE(layout.TRACE_nr) ?? 0n);
    if (trace === undefined || nr === 0 || nr > layout.UNWIND_MAX_ENTRIES) return [];
    const entries = this.bytes(trace.readBigUInt64LE(layout.TRACE_entries), nr * WORD);
    return entries === undefined
      ? []
      : Array.from({ length: nr }, (_, index) => entries.readBigUInt64LE(index * WORD));
  }

  /** The works of the list of callbacks, newest first; a sentence where the list is none. */
  tracers(): readonly bigint[] | string {
    const { callbacks, LIST_next, LIST_prev, WORK_list } = this.layout;
    const works: bigint[] = [];
    let before = callbacks;
    for (let at = this.word(callbacks + LIST_next); at !== callbacks; ) {
      const node = at === undefined ? undefined : this.bytes(at, 2 * WORD);
      if (node === undefined)
        return 'expected the list of callbacks to lead through memory, found none there';
      if (node.readBigUInt64LE(Number(LIST_prev)) !== before)
        return 'expected each node of the list of callbacks to point back to the one before it, found another there';
      if (works.length > LONGEST_LIST) return 'expected the list of callbacks to end, found a loop';
      works.push(at! - WORK_list);
      before = at!;
      at = node.readBigUInt64LE(Number(LIST_next));
    }
    if (this.word(callbacks + LIST_prev) !== before)
      return 'expected the head of the list of callbacks to point back to its last node, found another there';
    return works;
  }

  /** How a list of task works does not end, as a sentence. */
  worksLoop(first: bigint): string | undefined {
    const { layout } = this;
    let steps = 0;
    for (let at = first; at !== 0n && at !== layout.work_exited; steps++) {
      if (steps > LONGEST_LIST) return 'expected the list of task works to end, found a loop';
      const next = this.word(at + layout.CALLBACK_next);
      if (next === undefined)
        return 'expected the list of task works to lead through memory, found none there';
      at = next;
    }
    return undefined;
  }

  /** A NUL-terminated text of the kernel. */
  text(address: bigint): string {
    const bytes = this.bytes(address, 64);
    if (bytes === undefined) return '?';
    const end = bytes.indexOf(0);
    return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
  }
}
