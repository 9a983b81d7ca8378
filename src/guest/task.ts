import type { KernelAddr, PhysAddr } from '../../emu/memory/address.js';
import { after, type GuestLayout, textAt } from './layout.js';

/** struct task at one moment. */
export interface Task {
  readonly address: KernelAddr;
  /** One per thread; what user space calls tid. */
  readonly pid: number;
  /** One per process; what user space calls pid. */
  readonly tgid: number;
  readonly comm: string;
  /** PF_ bits. */
  readonly flags: number;
  readonly exiting: boolean;
  readonly kthread: boolean;
  /** TIF_ bits. */
  readonly tiFlags: number;
  /** As wait4 encodes it. */
  readonly exitCode: number;
  /** 0 for kernel threads and after exit_mm. */
  readonly mm: bigint;
  readonly cr3: PhysAddr;
  /** Head of the list of task works; 0 where none waits. */
  readonly taskWorks: bigint;
  /** Where task_pt_regs(task) lies. */
  readonly regs: KernelAddr;
}

const COMM_LENGTH = 16;

/** @throws {GuestError} */
export function readTask(layout: GuestLayout, address: KernelAddr): Task {
  const at = (name: string) => layout.constant(`TASK_${name}`);
  const view = layout.read(address, layout.constant('TASK_SIZE'), 'a task');
  const flags = view.getUint32(at('flags'), true);
  const stack = view.getBigUint64(at('stack'), true) as KernelAddr;
  return {
    address,
    pid: view.getUint32(at('pid'), true),
    tgid: view.getUint32(at('tgid'), true),
    comm: textAt(view, at('comm'), COMM_LENGTH),
    flags,
    exiting: (flags & layout.constant('PF_EXITING')) !== 0,
    kthread: (flags & layout.constant('PF_KTHREAD')) !== 0,
    tiFlags: view.getUint32(at('ti_flags'), true),
    exitCode: view.getInt32(at('exit_code'), true),
    mm: view.getBigUint64(at('mm'), true),
    cr3: Number(view.getBigUint64(at('cr3'), true)) as PhysAddr,
    taskWorks: view.getBigUint64(at('task_works'), true),
    regs: after(stack, layout.constant('THREAD_SIZE') - layout.constant('PT_SIZE')),
  };
}

/** struct unwind_task_info of a task at one moment, in any version of the mechanism; what a version does not have is not there. */
export interface UnwindInfo {
  /** The task work is claimed and has not begun: a word of its own until v13-08, since v13-10 a bit of the mask. */
  readonly pending: boolean;
  /** One bit per tracer that has asked, and since v13-10 bits of the mechanism's own; from v13-08 on. */
  readonly mask?: bigint;
  /** The cookie, 0 while the entry has none; `cpu` is the CPU's number + 1 and `cnt` its odd count. */
  readonly cookie: bigint;
  readonly id: { readonly cpu: number; readonly cnt: number };
  /** The cached trace; not there before the first walk of the task. */
  readonly cache?: UnwindCache;
}

/** struct unwind_cache of a task at one moment. */
export interface UnwindCache {
  readonly address: KernelAddr;
  readonly nr: number;
  readonly entries: readonly bigint[];
  /** One bit per tracer that has been called in this entry; from v6.17 on. */
  readonly completed?: bigint;
}

/** @throws {GuestError} */
export function readUnwindInfo(layout: GuestLayout, task: KernelAddr): UnwindInfo {
  const at = (name: string) => layout.constant(`UNWIND_INFO_${name}`);
  const info = after(task, layout.constant('TASK_unwind_info'));
  const view = layout.read(info, layout.constant('UNWIND_INFO_SIZE'), 'unwind_info');
  const cookie = view.getBigUint64(at('id'), true);
  const cache = view.getBigUint64(at('cache'), true) as KernelAddr;
  const maskAt = layout.optional('UNWIND_INFO_mask');
  const mask = maskAt === undefined ? undefined : view.getBigUint64(maskAt, true);
  const pendingBit = layout.optional('UNWIND_PENDING_BIT');
  return {
    pending:
      mask !== undefined && pendingBit !== undefined
        ? ((mask >> BigInt(pendingBit)) & 1n) === 1n
        : view.getInt32(at('pending'), true) !== 0,
    ...(mask !== undefined && { mask }),
    cookie,
    id: { cpu: Number(cookie & 0xffff_ffffn), cnt: Number(cookie >> 32n) },
    ...(cache !== 0n && { cache: readCache(layout, cache) }),
  };
}

function readCache(layout: GuestLayout, address: KernelAddr): UnwindCache {
  const view = layout.read(address, layout.constant('UNWIND_CACHE_SIZE'), 'unwind_cache');
  const nr = Number(view.getBigUint64(layout.constant('UNWIND_CACHE_nr_entries'), true));
  const first = layout.constant('UNWIND_CACHE_entries');
  const room = layout.constant('UNWIND_MAX_ENTRIES');
  const entries = Array.from({ length: Math.min(nr, room) }, (_, i) =>
    view.getBigUint64(first + 8 * i, true),
  );
  const completedAt = layout.optional('UNWIND_CACHE_completed');
  return {
    address,
    nr,
    entries,
    ...(completedAt !== undefined && { completed: view.getBigUint64(completedAt, true) }),
  };
}
