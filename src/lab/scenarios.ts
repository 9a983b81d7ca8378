/**
 * The windows that matter for deferred unwinding: in which guest, from where to where, and what strikes. A scenario knows the
 * kernel's symbols, as docs/guest-abi.md has them, and no race: what is wrong in a run is for the invariants to say.
 */
import { DEFAULT_BUDGET, DEFAULT_RAM, DEFAULT_TURN } from '../../emu/machine.js';
import { type Injection, type Question, USER } from '../sweep/question.js';
import { guestSpecOf } from './guest-spec.js';
import type { SweepJob } from './sweep.js';

/** The versions of the mechanism, oldest first. Each is an image of this package, `@kernel-VERSION`. */
export const VERSIONS = ['v13-06', 'v13-06-nmi', 'v13-07', 'v13-08', 'v13-10', 'v6.17', 'v6.19'] as const;
export type Version = (typeof VERSIONS)[number];

/** A guest but for the version of its kernel. */
interface Guest {
  /** An image of this package, with its arguments. */
  readonly program: string;
  readonly append: string;
  readonly cpus: number;
  /** Instructions of a CPU's turn. */
  readonly turn: number;
}

export interface Scenario {
  /** Several scenarios may share a window. */
  readonly window: string;
  /** What strikes where, in a few words. */
  readonly about: string;
  readonly guest: Guest;
  readonly question: Question;
}

const NMI: Injection = { kind: 'nmi' };
/** A tracepoint of ftrace, wherever the kernel may have one. */
const TRACEPOINT: Injection = { kind: 'call', symbol: 'trace_probe' };
/** The task is to leave its CPU at the next chance. */
const RESCHEDULE: Injection = { kind: 'call', symbol: 'reschedule_probe' };

/** One task that makes system calls. ftrace asks as each begins and ends, perf in each NMI. */
const CALLS: Guest = {
  program: '@roundtrip,6',
  append: 'trace=perf,ftrace perf.source=nmi',
  cpus: 1,
  turn: DEFAULT_TURN,
};
/** The same; perf asks in interrupts of the timer, at other points of each call. */
const TIMED: Guest = { ...CALLS, append: 'trace=perf,ftrace perf.period=1501' };
/** Four tasks and a mutex: system calls that sleep and wake. */
const TASKS: Guest = { ...CALLS, program: '@contention' };
/** Here nobody has asked before the NMI does. */
const TASKS_ALONE: Guest = { ...TASKS, append: 'trace=perf perf.source=nmi' };
/** One task turns ftrace off and on, under another one's system calls on another CPU. */
const TURNED: Guest = { ...CALLS, program: '@tracers', cpus: 2 };

/** Instructions in which a run must come to user mode, with nothing left to do. */
const BOUND = 200_000;
const WINDOW = { to: undefined, occurrence: 3, cpu: 0, injection: NMI, depth: 1, bound: BOUND, prune: true };

type Row = readonly [
  window: string,
  about: string,
  guest: Guest,
  question: Pick<Question, 'from'> & Partial<Question>,
];

const ROWS: readonly Row[] = [
  ['request', 'an NMI', CALLS, { from: 'unwind_deferred_request' }],
  ['get_cookie', 'two NMIs', CALLS, { from: 'get_cookie', depth: 2 }],
  ['task-work', 'an NMI', CALLS, { from: 'unwind_deferred_task_work' }],
  ['task-work', 'a tracepoint', CALLS, { from: 'unwind_deferred_task_work', injection: TRACEPOINT }],
  ['exit-loop', 'an NMI', CALLS, { from: 'exit_to_user_loop' }],
  ['exit-loop', 'a tracepoint', CALLS, { from: 'exit_to_user_loop', injection: TRACEPOINT }],
  ['reset', 'two NMIs', CALLS, { from: 'unwind_reset_info', depth: 2 }],
  ['return', 'an NMI', CALLS, { from: 'syscall_exit', to: USER }],
  ['return', 'a tracepoint', CALLS, { from: 'syscall_exit', to: USER, injection: TRACEPOINT }],
  ['user', 'an NMI', CALLS, { from: USER, to: 'entry_SYSCALL_64', occurrence: 50 }],
  ['calls', 'a tracepoint in calls that are sampled', TIMED, { from: USER, to: 'trace_task_exit', occurrence: 40, injection: TRACEPOINT }],
  ['scheduler', 'an NMI', TASKS_ALONE, { from: 'schedule', occurrence: 12 }],
  ['scheduler', 'an NMI in tasks that have asked', TASKS, { from: 'schedule', occurrence: 12 }],
  ['scheduler', 'a switch of tasks', TASKS, { from: 'syscall_leave', to: USER, occurrence: 8, injection: RESCHEDULE }],
  ['exit', 'an NMI', CALLS, { from: 'do_exit', to: 'trace_task_exit', occurrence: 1 }],
  ['cancel', 'an NMI', TURNED, { from: 'unwind_deferred_cancel', cpu: 1 }],
  ['cancel', 'an NMI in a task work meanwhile', TURNED, { from: 'unwind_deferred_task_work', occurrence: 5 }],
  ['cancel', 'an NMI between it and the next registration', TURNED, { from: USER, to: 'unwind_deferred_init', occurrence: 60, cpu: 1 }],
]; // biome-ignore format: a table

export const SCENARIOS: readonly Scenario[] = ROWS.map(([window, about, guest, question]) => ({
  window,
  about,
  guest,
  question: { ...WINDOW, ...question },
}));

/** A scenario in one version, as a sweep. @throws FileError where the package has not been built */
export function jobOf(version: Version, { guest, question }: Scenario): SweepJob {
  const { program, append, cpus, turn } = guest;
  const files = { image: `@kernel-${version}`, modules: [program], commandLine: append };
  return {
    guest: guestSpecOf(files, { cpus, ram: DEFAULT_RAM, turn }),
    question,
    monitor: undefined,
    budget: DEFAULT_BUDGET,
  };
}
