/** Where deferred unwinding lies in a Linux kernel that has it: what a watcher needs to know of its code and its memory. */
import type { ElfFile } from '../../emu/boot/elf.js';
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { VirtAddr } from '../../emu/memory/address.js';
import { btfOf } from './btf.js';
import { LinuxError } from './linux-error.js';

/** kernel/unwind/deferred.c; static calls to it are inlined nowhere, since tracers live in other files. */
const REQUEST = 'unwind_deferred_request';
/** Functions that tracers give to unwind_deferred_init(): perf's (kernel/events/core.c) is the only one in Linux 7.2. */
const CALLBACKS = ['perf_unwind_deferred_callback'] as const;

export interface Mechanism {
  /** unwind_deferred_request(work, &cookie) */
  readonly request: VirtAddr;
  /** A tracer's function, called as f(work, trace, cookie). */
  readonly callbacks: readonly { readonly name: string; readonly address: VirtAddr }[];
  /** Variables of each CPU, relative to its GS base. */
  readonly perCpu: { readonly currentTask: VirtAddr; readonly preemptCount: VirtAddr };
  /** Bytes from the start of a task_struct. */
  readonly task: {
    readonly pid: number;
    readonly tgid: number;
    readonly comm: number;
    readonly commLength: number;
  };
  /** Bytes from the start of an unwind_stacktrace. */
  readonly trace: { readonly nr: number; readonly entries: number };
}

/** @throws LinuxError for a kernel without the mechanism, or without BTF */
export function mechanismOf(kernel: Pick<ElfFile, 'sections'>, symbols: SymbolTable): Mechanism {
  const request = symbols.lookup(REQUEST);
  if (request === undefined)
    throw new LinuxError(
      `expected a Linux kernel with deferred unwinding (${REQUEST}; 6.17 or later, CONFIG_UNWIND_USER), found one without`,
    );
  const btf = btfOf(kernel);
  return {
    request,
    callbacks: CALLBACKS.flatMap((name) => {
      const address = symbols.lookup(name);
      return address === undefined ? [] : [{ name, address }];
    }),
    perCpu: {
      currentTask: symbols.require('current_task'),
      preemptCount: symbols.require('__preempt_count'),
    },
    task: {
      pid: btf.offsetOf('task_struct.pid'),
      tgid: btf.offsetOf('task_struct.tgid'),
      comm: btf.offsetOf('task_struct.comm'),
      commLength: btf.member('task_struct.comm').size,
    },
    trace: {
      nr: btf.offsetOf('unwind_stacktrace.nr'),
      entries: btf.offsetOf('unwind_stacktrace.entries'),
    },
  };
}

/** What the CPU was doing, by its preempt_count (include/linux/preempt.h). */
export type Context = 'nmi' | 'hardirq' | 'softirq' | 'task';

const FIELDS: readonly (readonly [mask: number, context: Context])[] = [
  [0x00f0_0000, 'nmi'],
  [0x000f_0000, 'hardirq'],
  [0x0000_0100, 'softirq'], // being served; the bits above it are of sections that disable them
];

export const contextOf = (preemptCount: number): Context =>
  FIELDS.find(([mask]) => (preemptCount & mask) !== 0)?.[1] ?? 'task';
