/**
 * What a rule is: it looks at what has just been seen and at the history up to there, and says in one sentence what is wrong, or nothing.
 * No rule knows a race, and none needs the kernel's help. docs/invariants.md tells each.
 */
import type { Vcpu } from '../../../emu/cpu/vcpu.js';
import type { Entry, History } from '../history.js';
import type { CpuAt, KernelView, TaskAt } from '../kernel-view.js';

/** What every rule is told. */
export interface Seen {
  readonly view: KernelView;
  readonly cpu: Vcpu;
  /** The CPU's variables. */
  readonly own: CpuAt;
  /** Its current task. */
  readonly task: TaskAt;
  readonly history: History;
}
/** Of the present entry of the task. */
interface SeenInEntry extends Seen {
  readonly entry: Entry;
}
/** unwind_deferred_request is about to return that it is granted. */
export interface RequestSeen extends SeenInEntry {
  readonly tracer: string;
  readonly work: bigint;
  readonly result: number;
  readonly cookie: bigint;
}
/** A tracer is about to be called. */
export interface CallSeen extends SeenInEntry {
  readonly tracer: string;
  readonly work: bigint;
  readonly isRegistered: boolean;
  /** The tracer may have asked in this entry before the watch began. */
  readonly mayHaveAsked: boolean;
  readonly cookie: bigint;
  readonly trace: readonly bigint[];
}
/** The first user instruction of an entry is about to be executed, or trace_task_exit. */
export type EndSeen = SeenInEntry;
/** A routine of the kernel is entered or about to return. */
export interface PointSeen extends Seen {
  readonly name: string;
}

export interface Invariant {
  readonly id: string;
  request?(seen: RequestSeen): string | undefined;
  call?(seen: CallSeen): string | undefined;
  user?(seen: EndSeen): string | undefined;
  taskExit?(seen: EndSeen): string | undefined;
  point?(seen: PointSeen): string | undefined;
}
