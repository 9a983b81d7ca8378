/** Offsets and addresses of the guest kernel, looked up once per image (docs/guest-abi.md, "Symbols"). */
import type { SymbolTable } from '../../emu/boot/symbols.js';

/** Offsets, sizes and bits. */
const NUMBERS = [
  ...([
    'TASK_pid',
    'TASK_stack',
    'TASK_flags',
    'TASK_ti_flags',
    'TASK_mm',
    'TASK_task_works',
    'TASK_cr3',
  ] as const),
  ...(['TASK_fs_base', 'TASK_gs_base', 'TASK_unwind_info', 'PT_SIZE', 'UNWIND_INFO_SIZE'] as const),
  ...(['TRACE_nr', 'TRACE_entries', 'TRACE_SIZE', 'UNWIND_MAX_ENTRIES'] as const),
  ...(['LIST_next', 'LIST_prev', '_TIF_NOTIFY_RESUME', 'PF_KTHREAD', 'USER_CS'] as const),
] as const;
/** What is added to addresses, or is one. */
const WORDS = [
  ...(['KERNEL_BASE', 'DIRECT_MAP', 'NMI_STACK_SIZE', 'THREAD_SIZE', 'PT_cs', 'TSS_sp0'] as const),
  ...(['WORK_list', 'WORK_func', 'CALLBACK_next'] as const),
] as const;
const ADDRESSES = [
  ...(['callbacks', 'callback_mutex', 'work_exited', 'nmi_stacks', '__per_cpu_offset'] as const),
  ...(['current_task', 'kernel_stack', 'unwind_ctx_ctr', 'cpu_tss'] as const),
] as const;

type Table<Name extends string, Value> = Readonly<Record<Name, Value>>;

export interface ViewLayout
  extends Table<(typeof NUMBERS)[number], number>,
    Table<(typeof WORDS)[number] | (typeof ADDRESSES)[number], bigint> {
  /** Bytes of a task that are read. */
  readonly taskBytes: number;
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
  const numbers = table(NUMBERS, (name) => Number(symbols.requireConstant(name)));
  const field = (name: string): number | undefined => {
    const value = symbols.constant(`UNWIND_INFO_${name}`);
    return value === undefined ? undefined : numbers.TASK_unwind_info + Number(value);
  };
  return {
    ...numbers,
    ...table(WORDS, (name) => BigInt.asUintN(64, symbols.requireConstant(name))),
    ...table(ADDRESSES, (name): bigint => symbols.require(name)),
    taskBytes: numbers.TASK_unwind_info + numbers.UNWIND_INFO_SIZE,
    info: { id: field('id')!, cache: field('cache')!, mask: field('mask'), pending: field('pending') },
    pendingBit: symbols.constant('UNWIND_PENDING_BIT'),
    workBit: symbols.constant('WORK_bit'),
  };
}
