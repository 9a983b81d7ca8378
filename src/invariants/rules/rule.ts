/**
 * What a rule is: it looks at what has just been seen and at the history up to there, and says in one sentence what is wrong, or nothing.
 * No rule knows a race, and none needs the kernel's help. docs/invariants.md tells each.
 */
import type { Vcpu } from '../../../emu/cpu/vcpu.js';
import type { Entry, History } from '../history.js';
import type { KernelView, TaskAt } from '../kernel-view.js';

interface Seen {
  readonly view: KernelView;
  readonly cpu: Vcpu;
  readonly history: History;
  /** Of the CPU's current task, the one under way. */
  readonly entry: Entry;
}
interface SeenTracer extends Seen {
  readonly tracer: string;
  readonly work: bigint;
  readonly cookie: bigint;
}
/** unwind_deferred_request is about to return that it is granted. */
export type RequestSeen = SeenTracer;
/** A tracer is about to be called. */
export interface CallSeen extends SeenTracer {
  readonly isRegistered: boolean;
  /** It may have asked in this entry before the watch began. */
  readonly mayHaveAsked: boolean;
  readonly trace: readonly bigint[];
  /** The host's walk of the user stack of this entry; undefined where its registers are not known. */
  readonly walked: readonly bigint[] | undefined;
}
/** The first user instruction of an entry is about to be executed, or trace_task_exit is. */
export interface EndSeen extends Seen {
  readonly task: TaskAt;
}
/** A routine of the kernel is entered or about to return. */
export interface PointSeen {
  readonly view: KernelView;
  readonly cpu: Vcpu;
  readonly name: string;
  readonly entry: Entry;
}

/** A rule has an eye for some of these; each returns what is wrong. */
export interface Invariant {
  readonly id: string;
  readonly request?: (seen: RequestSeen) => string | undefined;
  readonly call?: (seen: CallSeen) => string | undefined;
  readonly user?: (seen: EndSeen) => string | undefined;
  readonly taskExit?: (seen: EndSeen) => string | undefined;
  readonly point?: (seen: PointSeen) => string | undefined;
  /** A line of the console. */
  readonly line?: (line: string) => string | undefined;
}

export const hex = (value: bigint | undefined): string =>
  value === undefined ? 'nothing' : `0x${value.toString(16)}`;
