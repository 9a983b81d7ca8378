/**
 * The guest kernel's memory as the invariants read it: through symbols, by arithmetic instead of page walks, and no more than is asked
 * for, since this happens many times in each of thousands of runs a second. `src/guest` is the general view.
 */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Machine } from '../../emu/machine.js';
import { type PhysAddr, phys } from '../../emu/memory/address.js';
import { walkFramePointers } from '../unwind/walk.js';
import { layoutOf, type ViewLayout } from './layout.js';
import { BP, fromPtRegs, IP, SP, type UserRegisters } from './user-registers.js';

const WORD = 8;
/** Bytes of user memory that a walk reads at a time: a part of a page, small enough that its copy comes from a pool. */
const CHUNK = 1024;
const CHUNK_MASK = ~BigInt(CHUNK - 1);
/** A list that takes more steps than this has no end: there are 64 tracers at most. */
const LONGEST_LIST = 128;
const TEXT = 64;

/** A task's fields at one moment. */
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
  get stackTop(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_stack) + this.#layout.THREAD_SIZE;
  }
  get fsBase(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_fs_base);
  }
  get gsBase(): bigint {
    return this.#bytes.readBigUInt64LE(this.#layout.TASK_gs_base);
  }
  /** A thread of the kernel, or one that is about to become a program. */
  get isKernelThread(): boolean {
    return (this.#bytes.readUInt32LE(this.#layout.TASK_flags) & this.#layout.PF_KTHREAD) !== 0;
  }
  /** TIF_NOTIFY_RESUME: its exit loop is to run the task works. */
  get mustNotify(): boolean {
    return (this.#bytes.readUInt32LE(this.#layout.TASK_ti_flags) & this.#layout._TIF_NOTIFY_RESUME) !== 0;
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
  /** GS base of each CPU in the kernel; 0 before it has one. */
  readonly #gsBases: bigint[];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.symbols = machine.symbols;
    this.layout = layoutOf(machine.symbols);
    this.#gsBases = machine.cpus.map(() => 0n);
  }

  /** Bytes of the kernel's image or of its direct map; undefined where that is no RAM. */
  bytes(address: bigint, length: number): Buffer | undefined {
    return this.#machine.memory.readPhysical(this.#physical(address), length);
  }
  word(address: bigint): bigint | undefined {
    return this.#machine.memory.wordAt(this.#physical(address));
  }
  #physical(address: bigint): PhysAddr {
    const { KERNEL_BASE, DIRECT_MAP } = this.layout;
    return phys(Number(address - (address >= KERNEL_BASE ? KERNEL_BASE : DIRECT_MAP)));
  }

  /** A CPU's GS base in the kernel, which is also where its variables lie; 0 while it has none. */
  gsBase(cpu: number): bigint {
    const known = this.#gsBases[cpu]!;
    if (known !== 0n) return known;
    const offset = this.word(this.layout.__per_cpu_offset + BigInt(WORD * cpu)) ?? 0n;
    this.#gsBases[cpu] = offset;
    return offset;
  }
  /** A per-CPU variable; undefined while the CPU has none. */
  own(name: 'current_task' | 'kernel_stack' | 'unwind_ctx_ctr', cpu: number): bigint | undefined {
    const base = this.gsBase(cpu);
    return base === 0n ? undefined : this.word(BigInt.asUintN(64, this.layout[name] + base));
  }
  /** TSS.sp0, the stack of the next interrupt from user mode. */
  sp0(cpu: number): bigint | undefined {
    const { cpu_tss, TSS_sp0 } = this.layout;
    return this.word(BigInt.asUintN(64, cpu_tss + this.gsBase(cpu)) + TSS_sp0);
  }
  /** The last count given out on a CPU, as its counter keeps it; 0 while the CPU has none. */
  count(cpu: number): number {
    return Number((this.own('unwind_ctx_ctr', cpu) ?? 0n) & 0xffff_ffffn);
  }

  task(address: bigint): TaskAt | undefined {
    const bytes = this.bytes(address, this.layout.taskBytes);
    return bytes && new TaskAt(address, bytes, this.layout);
  }

  /** task_pt_regs(task), if user mode has filled it. */
  ptRegs(task: TaskAt): UserRegisters | undefined {
    if (task.isKernelThread) return undefined;
    const { PT_SIZE, USER_CS } = this.layout;
    const bytes = this.bytes(task.stackTop - BigInt(PT_SIZE), PT_SIZE);
    return bytes && fromPtRegs(bytes, task, USER_CS);
  }

  /** The host's own walk of a task's user stack. */
  walk(task: TaskAt, { words }: UserRegisters, cpu: Vcpu): readonly bigint[] {
    const { memory } = this.#machine;
    const paging = { ...cpu.paging, root: task.cr3 };
    const chunks = new Map<bigint, Buffer | undefined>();
    const chunkAt = (address: bigint): Buffer | undefined => {
      const mapping = memory.translate(paging, address);
      return mapping && memory.readPhysical(mapping.physical, CHUNK);
    };
    const regs = { ip: words[IP]!, sp: words[SP]!, fp: words[BP]!, userMode: true, wordSize: 8 } as const;
    const read = (address: bigint): bigint | undefined => {
      const from = address & CHUNK_MASK;
      if (!chunks.has(from)) chunks.set(from, chunkAt(from));
      const offset = Number(address - from);
      if (offset <= CHUNK - WORD) return chunks.get(from)?.readBigUInt64LE(offset);
      return memory.read(paging, address, WORD)?.readBigUInt64LE();
    };
    return walkFramePointers(regs, read, { max: this.layout.UNWIND_MAX_ENTRIES }).entries;
  }

  /** The entries of a struct unwind_stacktrace. */
  trace(address: bigint): readonly bigint[] {
    const { TRACE_nr, TRACE_entries, TRACE_SIZE, UNWIND_MAX_ENTRIES } = this.layout;
    const trace = this.bytes(address, TRACE_SIZE);
    const nr = Number(trace?.readBigUInt64LE(TRACE_nr) ?? 0n);
    if (trace === undefined || nr === 0 || nr > UNWIND_MAX_ENTRIES) return [];
    const bytes = this.bytes(trace.readBigUInt64LE(TRACE_entries), nr * WORD);
    const entries: bigint[] = [];
    if (bytes !== undefined)
      for (let at = 0; at < bytes.length; at += WORD) entries.push(bytes.readBigUInt64LE(at));
    return entries;
  }

  /** The works of the list of callbacks, newest first; a sentence where the list is none. */
  tracers(): readonly bigint[] | string {
    const { callbacks, LIST_next, LIST_prev, WORK_list } = this.layout;
    const works: bigint[] = [];
    let before = callbacks;
    for (let node = this.bytes(callbacks, 2 * WORD); ; ) {
      const next = node?.readBigUInt64LE(LIST_next);
      node = next === undefined ? undefined : this.bytes(next, 2 * WORD);
      if (next === undefined || node === undefined)
        return 'expected the list of callbacks to lead through memory, found none there';
      if (node.readBigUInt64LE(LIST_prev) !== before)
        return 'expected each node of the list of callbacks to point back to the one before it, found another there';
      if (next === callbacks) return works;
      if (works.length > LONGEST_LIST) return 'expected the list of callbacks to end, found a loop';
      works.push(next - WORK_list);
      before = next;
    }
  }

  /** Why a list of task works is none, as a sentence. */
  brokenWorks(first: bigint): string | undefined {
    const { work_exited, CALLBACK_next } = this.layout;
    let steps = 0;
    for (let at = first; at !== 0n && at !== work_exited; steps++) {
      if (steps > LONGEST_LIST) return 'expected the list of task works to end, found a loop';
      const next = this.word(at + CALLBACK_next);
      if (next === undefined)
        return 'expected the list of task works to lead through memory, found none there';
      at = next;
    }
    return undefined;
  }

  /** A NUL-terminated text of the kernel. */
  text(address: bigint): string {
    const bytes = this.bytes(address, TEXT);
    if (bytes === undefined) return '?';
    const end = bytes.indexOf(0);
    return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
  }
}
