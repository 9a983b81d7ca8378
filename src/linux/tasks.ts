/** Where a Linux kernel has the task that a CPU runs, and what of it a watcher tells. */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { Btf } from './btf.js';
import { LinuxError } from './linux-error.js';

export interface TaskLayout {
  /** Variables of each CPU, relative to its GS base. */
  readonly perCpu: { readonly currentTask: bigint; readonly preemptCount: bigint };
  /** Bytes from the start of a task_struct. */
  readonly task: {
    readonly pid: number;
    readonly tgid: number;
    readonly comm: number;
    readonly commLength: number;
  };
}

/** @throws LinuxError for a kernel that keeps its tasks in another way */
export function taskLayoutOf(btf: Btf, symbols: SymbolTable): TaskLayout {
  return {
    perCpu: {
      currentTask: perCpu(btf, symbols, 'current_task', 'current_task'),
      preemptCount: perCpu(btf, symbols, '__preempt_count', 'preempt_count'),
    },
    task: {
      pid: btf.offsetOf('task_struct.pid'),
      tgid: btf.offsetOf('task_struct.tgid'),
      comm: btf.offsetOf('task_struct.comm'),
      commLength: btf.member('task_struct.comm').size,
    },
  };
}

/** A variable of each CPU; from 6.2 to 6.14 the most wanted ones were members of `pcpu_hot` (arch/x86/include/asm/current.h). */
function perCpu(btf: Btf, symbols: SymbolTable, name: string, member: string): bigint {
  const find = (symbol: string): bigint | undefined => symbols.lookup(symbol) ?? symbols.constant(symbol);
  const address = find(name);
  if (address !== undefined) return address;
  const hot = find('pcpu_hot');
  if (hot === undefined)
    throw new LinuxError(`expected a kernel with the per-CPU variable ${name}, found none`);
  return hot + BigInt(btf.offsetOf(`pcpu_hot.${member}`));
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
