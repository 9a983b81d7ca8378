/**
 * What a kernel of this project can tell about itself while it is told step by step: the task that a CPU runs, its state in the
 * deferred unwinding, and which calls are requests and callbacks. It reads memory by symbols; a version's fields are those that
 * its image has (docs/guest-abi.md, "Symbols").
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import type { KernelAddr } from '../../emu/memory/address.js';
import { after, GuestLayout } from '../guest/layout.js';
import { readPtRegs } from '../guest/pt-regs.js';
import { GuestError, type GuestReader } from '../guest/reader.js';
import { readTask, readUnwindInfo, type Task, type UnwindInfo } from '../guest/task.js';
import type { ContextKind, Field, Note } from './story.js';

const WORD = 8;
const MASK_BITS = 64;
/** Entries of a list that are told. */
const LIST_LIMIT = 4;
const TRACERS_LIMIT = 64;
const USER_CPL = 3;

/** A registered tracer. */
interface Tracer {
  readonly work: bigint;
  readonly func: bigint;
  /** -1 once it is cancelled; undefined in versions without bits. */
  readonly bit: number | undefined;
  readonly name: string;
}

/** A request that has not returned. */
interface Request {
  readonly cpu: number;
  readonly tracer: string;
  /** Where it returns to, and the stack pointer as it does. */
  readonly back: bigint;
  readonly rsp: bigint;
  /** Where its cookie goes. */
  readonly cookie: bigint;
}

/** The task of a CPU as it stands. */
export interface TaskView {
  readonly address: bigint;
  /** Such as `roundtrip, pid 1`. */
  readonly name: string;
}

export class StateReader {
  readonly #machine: Machine;
  readonly #layout: GuestLayout;
  readonly #syscallName: (nr: number) => string;
  readonly #requestAt: bigint;
  readonly #tifNames: readonly (readonly [bit: number, name: string])[];
  #requests: Request[] = [];
  #cpu: Vcpu;

  /** @param syscallName the name of a system call by its number */
  constructor(machine: Machine, syscallName: (nr: number) => string) {
    this.#machine = machine;
    this.#cpu = machine.cpus[0]!;
    const reader: GuestReader = {
      readKernel: (address, length) => machine.read(this.#cpu.index, address, length),
      readUser: (root, address, length) =>
        machine.memory.read({ ...this.#cpu.paging, root }, address, length),
    };
    this.#layout = new GuestLayout(reader, machine.symbols);
    this.#syscallName = syscallName;
    this.#requestAt = this.#layout.address('unwind_deferred_request');
    this.#tifNames = [...machine.symbols.constants]
      .filter(([name]) => name.startsWith('TIF_'))
      .map(([name, bit]) => [Number(bit), name.slice('TIF_'.length)] as const);
  }

  /** Whether the image is a kernel that can be viewed so. */
  static fits({ symbols }: Machine): boolean {
    return (
      symbols.lookup('unwind_deferred_request') !== undefined &&
      symbols.constant('TASK_unwind_info') !== undefined
    );
  }

  /** The task that a CPU runs; undefined while the kernel is not that far. */
  taskOf(cpu: Vcpu): TaskView | undefined {
    return this.#seenBy(cpu, () => {
      const task = this.#current(cpu);
      return task && { address: task.address, name: `${task.comm}, pid ${task.pid}` };
    });
  }

  /** The name of the program whose code a CPU runs in user mode. */
  programOf(cpu: Vcpu): string | undefined {
    return this.#seenBy(cpu, () => this.#current(cpu)?.comm);
  }

  /** How a CPU in the kernel came there, as the registers that were saved tell it. */
  entryOf(cpu: Vcpu): { readonly kind: ContextKind; readonly label: string } | undefined {
    return this.#seenBy(cpu, () => {
      const task = this.#current(cpu);
      if (task === undefined || task.kthread || cpu.state.cpl === USER_CPL) return undefined;
      const { ip, cx, flags, r11, orig_ax } = readPtRegs(this.#layout, task.regs);
      const bySyscall = ip === cx && flags === r11;
      return bySyscall
        ? this.syscall(Number(BigInt.asIntN(32, orig_ax)))
        : { kind: 'kernel', label: 'kernel' };
    });
  }

  /** A system call by its number, as a way into the kernel. */
  syscall(nr: number): { readonly kind: 'syscall'; readonly label: string } {
    return { kind: 'syscall', label: `system call ${this.#syscallName(nr)}` };
  }

  /** A task's state as it stands. @param cpu through whose page tables the memory is read */
  fieldsOf(cpu: Vcpu, address: bigint): readonly Field[] | undefined {
    return this.#seenBy(cpu, () => this.#fields(address as KernelAddr));
  }

  /** What the instruction that comes next means: a request begins. */
  before(cpu: Vcpu): readonly Note[] {
    if (cpu.state.rip !== this.#requestAt) return [];
    const back = this.#word(cpu, cpu.state.reg(GPR.rsp));
    if (back === undefined) return [];
    const tracer = this.#tracerName(cpu, cpu.state.reg(GPR.rdi));
    const rsp = cpu.state.reg(GPR.rsp) + BigInt(WORD);
    this.#requests.push({ cpu: cpu.index, tracer, back, rsp, cookie: cpu.state.reg(GPR.rsi) });
    return [{ kind: 'request', text: `${tracer} asks: unwind_deferred_request` }];
  }

  /** What the instruction that was just executed has meant: a request has been answered, or a callback been called. */
  after(cpu: Vcpu, mnemonic: string): readonly Note[] {
    if (mnemonic.startsWith('ret')) return this.#answers(cpu);
    return mnemonic.startsWith('call') ? this.#callbacks(cpu) : [];
  }

  #answers(cpu: Vcpu): Note[] {
    const { state } = cpu;
    const isAnswered = (request: Request): boolean =>
      request.cpu === cpu.index && request.back === state.rip && request.rsp === state.reg(GPR.rsp);
    const request = this.#requests.findLast(isAnswered);
    if (request === undefined) return [];
    this.#requests = this.#requests.filter((other) => other !== request);
    const result = Number(BigInt.asIntN(32, state.reg(GPR.rax)));
    const cookie = this.#word(cpu, request.cookie) ?? 0n;
    return [{ kind: 'answer', text: `${request.tracer} is told ${result}, cookie ${cookie.toString(16)}` }];
  }

  #callbacks(cpu: Vcpu): Note[] {
    const { state } = cpu;
    const tracer = this.#tracers(cpu).find(
      ({ work, func }) => func === state.rip && work === state.reg(GPR.rdi),
    );
    if (tracer === undefined) return [];
    const frames = this.#word(cpu, state.reg(GPR.rsi)) ?? 0n;
    const cookie = state.reg(GPR.rdx).toString(16);
    return [{ kind: 'callback', text: `${tracer.name} is called with cookie ${cookie}, ${frames} frames` }];
  }

  #current(cpu: Vcpu): Task | undefined {
    const offset = this.#layout.read(
      after(this.#layout.address('__per_cpu_offset'), WORD * cpu.index),
      WORD,
      '__per_cpu_offset',
    );
    const place = after(this.#layout.address('current_task'), offset.getBigUint64(0, true));
    const address = this.#layout.read(place, WORD, 'current_task').getBigUint64(0, true);
    return address === 0n ? undefined : readTask(this.#layout, address as KernelAddr);
  }

  #fields(address: KernelAddr): Field[] {
    const task = readTask(this.#layout, address);
    const info = readUnwindInfo(this.#layout, address);
    const { mask, cache } = info;
    const hasCompleted = this.#layout.optional('UNWIND_CACHE_completed') !== undefined;
    const ownPending = this.#layout.optional('UNWIND_PENDING_BIT') === undefined;
    const fields: (readonly [string, string | undefined])[] = [
      ['mask', mask === undefined ? undefined : this.#bits(mask)],
      ['pending', ownPending ? String(Number(info.pending)) : undefined],
      ['id', idText(info)],
      ['cache', cache === undefined ? 'none' : `${cache.nr} frames`],
      ['completed', hasCompleted ? this.#bits(cache?.completed ?? 0n) : undefined],
      [
        'flags',
        this.#tifNames
          .filter(([bit]) => (task.tiFlags >>> bit) & 1)
          .map(([, name]) => name)
          .join('|') || '0',
      ],
      ['works', this.#works(task)],
    ];
    return fields.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]));
  }

  /** A mask by the names of its bits. */
  #bits(mask: bigint): string {
    const names: string[] = [];
    const tracers = this.#tracers(this.#cpu);
    for (let bit = 0; bit < MASK_BITS; bit++) {
      if (((mask >> BigInt(bit)) & 1n) === 0n) continue;
      if (bit === this.#layout.optional('UNWIND_PENDING_BIT')) names.push('PENDING');
      else if (bit === this.#layout.optional('UNWIND_USED_BIT')) names.push('USED');
      else names.push(tracers.find((tracer) => tracer.bit === bit)?.name ?? `bit ${bit}`);
    }
    return names.join('|') || '0';
  }

  /** The list of task works, newest first. */
  #works(task: Task): string {
    const own = after(
      task.address,
      this.#layout.constant('TASK_unwind_info') + this.#layout.constant('UNWIND_INFO_work'),
    );
    const seen = new Set<bigint>();
    let at = task.taskWorks;
    for (; at !== 0n && !seen.has(at) && seen.size < LIST_LIMIT; at = this.#word(this.#cpu, at) ?? 0n)
      seen.add(at);
    const names = [...seen].map((work) => (work === own ? 'unwind' : this.#machine.symbols.format(work)));
    if (seen.has(at)) return `${names.join(', ')}, and again`;
    return [...names, ...(at === 0n ? [] : ['…'])].join(', ') || 'none';
  }

  /** The registered tracers, newest first. */
  #tracers(cpu: Vcpu): Tracer[] {
    const head = this.#layout.address('callbacks');
    const listAt = BigInt(this.#layout.constant('WORK_list'));
    const funcAt = BigInt(this.#layout.constant('WORK_func'));
    const bitAt = this.#layout.optional('WORK_bit');
    const tracers: Tracer[] = [];
    for (let at = this.#word(cpu, head); at !== undefined && at !== head; at = this.#word(cpu, at)) {
      const work = at - listAt;
      const func = this.#word(cpu, work + funcAt);
      if (func === undefined || tracers.length === TRACERS_LIMIT) break;
      const bit =
        bitAt === undefined
          ? undefined
          : Number(BigInt.asIntN(32, this.#word(cpu, work + BigInt(bitAt)) ?? -1n));
      tracers.push({ work, func, bit, name: this.#workName(work) });
    }
    return tracers;
  }

  #tracerName(cpu: Vcpu, work: bigint): string {
    return this.#tracers(cpu).find((tracer) => tracer.work === work)?.name ?? this.#workName(work);
  }

  /** `perf` for the work at the symbol `perf_work`. */
  #workName(work: bigint): string {
    return this.#machine.symbols.format(work).replace(/_work$/, '');
  }

  #word({ index }: Vcpu, address: bigint): bigint | undefined {
    return this.#machine.read(index, address, WORD)?.readBigUInt64LE();
  }

  /** Memory as a CPU sees it; undefined where the kernel is not far enough for it to be there. */
  #seenBy<T>(cpu: Vcpu, body: () => T): T | undefined {
    this.#cpu = cpu;
    try {
      return body();
    } catch (error) {
      if (error instanceof GuestError) return undefined;
      throw error;
    }
  }
}

/** The cookie, with what it is made of; its two halves are stored one after the other. */
function idText({ cookie, id }: UnwindInfo): string {
  if (cookie === 0n) return '0';
  return `${cookie.toString(16)} (${id.cpu === 0 ? 'no CPU yet' : `CPU ${id.cpu - 1}`}, ${id.cnt})`;
}
