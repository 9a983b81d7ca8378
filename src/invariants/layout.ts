/** Offsets and addresses of the guest kernel, looked up once per image (docs/guest-abi.md, "Symbols"). */
import type { SymbolTable } from '../../emu/boot/symbols.js';

const NUMBERS = [
  ...(['TASK_pid', 'TASK_stack', 'TASK_flags', 'TASK_ti_flags', 'TASK_mm', 'TASK_task_works'] as const),
  ...(['TASK_cr3', 'TASK_fs_base', 'TASK_gs_base', 'TASK_unwind_info', 'TSS_sp0', 'PT_SIZE'] as const),
  ...(['TRACE_nr', 'TRACE_entries', 'TRACE_SIZE', 'UNWIND_MAX_ENTRIES', 'UNWIND_INFO_SIZE'] as const),
  ...(['PF_KTHREAD', '_TIF_NOTIFY_RESUME', 'USER_CS'] as const),
] as const;
const WORDS = [
  ...(['KERNEL_BASE', 'DIRECT_MAP', 'LIST_next', 'LIST_prev', 'WORK_list', 'WORK_func'] as const),
  ...(['CALLBACK_next', 'NMI_STACK_SIZE', 'PT_cs', 'THREAD_SIZE'] as const),
] as const;
const ADDRESSES = ['callbacks', 'work_exited', '__per_cpu_offset', 'nmi_stacks'] as const;
const PER_CPU = ['current_task', 'kernel_stack', 'unwind_ctx_ctr', 'cpu_tss'] as const;
const TSS_BYTES = 16;

type Table<Name extends string, Value> = Readonly<Record<Name, Value>>;

export interface ViewLayout
  extends Table<(typeof NUMBERS)[number], number>,
    Table<(typeof WORDS)[number] | (typeof ADDRESSES)[number], bigint> {
  /** Where the per-CPU variables that are read begin in the template, how many bytes they span, and where each lies in them. */
  readonly perCpuStart: bigint;
  readonly perCpuBytes: number;
  readonly perCpu: Table<(typeof PER_CPU)[number], number>;
  /** Bytes of a task that are read. */
  readonly taskBytes: number;
  readonly stackSize: bigint;
  /** From the task's begin. */
  readonly info: {
    readonly id: number;
    readonly cache: number;
    readonly mask: number | undefined;
    readonly pending: number | undefined;
  };
  readonly pendingBit: bigint | undefined;
  /** From the work's begin. */
  readonly workBit: bigint | undefined;
}

/** @throws ImageError where the image lacks one of the names. */
export function layoutOf(symbols: SymbolTable): ViewLayout {
  const table = <Name extends string, Value>(
    names: readonly Name[],
    value: (name: Name) => Value,
  ): Record<Name, Value> =>
    Object.fromEntries(names.map((name) => [name, value(name)])) as Record<Name, Value>;
  const word = (name: string): bigint => BigInt.asUintN(64, symbols.requireConstant(name));
  const numbers = table(NUMBERS, (name) => Number(symbols.requireConstant(name)));
  const words = table(WORDS, word);
  const perCpu = table(PER_CPU, (name): bigint => symbols.require(name));
  const offsets = Object.values(perCpu);
  const start = offsets.reduce((a, b) => (a < b ? a : b));
  const end = offsets.reduce((a, b) => (a > b ? a : b));
  const field = (name: string): number | undefined => {
    const value = symbols.constant(`UNWIND_INFO_${name}`);
    return value === undefined ? undefined : numbers.TASK_unwind_info + Number(value);
  };
  return {
    ...numbers,
    ...words,
    ...table(ADDRESSES, (name): bigint => symbols.require(name)),
    perCpuStart: start,
    perCpuBytes: Number(end - start) + TSS_BYTES,
    perCpu: table(PER_CPU, (name) => Number(perCpu[name] - start)),
    taskBytes: numbers.TASK_unwind_info + numbers.UNWIND_INFO_SIZE,
    stackSize: words.THREAD_SIZE,
    info: { id: field('id')!, cache: field('cache')!, mask: field('mask'), pending: field('pending') },
    pendingBit: symbols.constant('UNWIND_PENDING_BIT'),
    workBit: symbols.constant('WORK_bit'),
  };
}
