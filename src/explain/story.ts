/**
 * What is told about a run: its steps around the choices of a schedule, each with what it changed. Plain data without bigints, so
 * that it goes into JSON as it is; what repeats (contexts, instructions, tasks) stands once and is meant by its index.
 */

export type ContextKind = 'user' | 'kernel' | 'syscall' | 'interrupt' | 'exception' | 'nmi';

/** A way into the kernel that has not been left yet, or user mode. */
export interface Context {
  readonly cpu: number;
  readonly kind: ContextKind;
  /** Such as `system call write` or `NMI`. */
  readonly label: string;
  /** What it interrupted: an index; undefined for the outermost. */
  readonly parent: number | undefined;
}

/** An instruction as a listing shows it. */
export interface Code {
  /** Hexadecimal, without 0x. */
  readonly address: string;
  /** `symbol+0x12`, or the address. */
  readonly where: string;
  /** The symbol; empty where there is none. */
  readonly routine: string;
  /** Mnemonic, operands, and the symbol that they point at. */
  readonly text: string;
  /** `file:line`; undefined where the image does not tell. */
  readonly source: string | undefined;
}

/** Something that had one value before a step and has another one after it. */
export interface Change {
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

/** A field of a task; the fields of a task keep their order. */
export interface Field {
  readonly name: string;
  readonly value: string;
}

export interface Task {
  /** As it was called when it was first seen. */
  readonly name: string;
  /** As they were at the beginning, or when a CPU first came to run it. */
  readonly fields: readonly Field[];
}

/** A change of a task's fields; the task need not be the one that the step's CPU runs. */
export interface TaskChange extends Change {
  /** Index of the task. */
  readonly task: number;
}

/** What a step means to the mechanism, or to the rules that are watched. */
export interface Note {
  readonly kind: 'choice' | 'request' | 'answer' | 'callback' | 'signal' | 'task' | 'violation' | 'end';
  readonly text: string;
}

/** What happened in a step. */
export type Action =
  /** A CPU executed an instruction, or tried to. */
  | { readonly kind: 'instruction'; readonly code: number }
  /** An event was delivered: the CPU is in the step's context from here on. */
  | { readonly kind: 'entry' }
  /** A choice of the schedule other than to run on, as the schedule writes it. */
  | { readonly kind: 'choice'; readonly choice: string }
  /** So many instructions of all CPUs that are not told one by one. */
  | { readonly kind: 'skip'; readonly count: number };

export interface Step {
  /** Instructions that all CPUs had executed before it, since the machine was made. */
  readonly at: number;
  readonly cpu: number;
  /** Index of the context in which it happened. */
  readonly context: number;
  /** Index of the task that the CPU runs; undefined where the image does not tell. */
  readonly task: number | undefined;
  readonly action: Action;
  readonly registers: readonly Change[];
  readonly state: readonly TaskChange[];
  readonly notes: readonly Note[];
}

/** A rule that the run has broken. */
export interface Broken {
  readonly id: string;
  /** One sentence, with its full stop. */
  readonly sentence: string;
  /** Index of the step at which it was found; undefined: before the first one. */
  readonly step: number | undefined;
}

export interface Story {
  /** The schedule, one line. */
  readonly schedule: string;
  /** What the guest is: image, modules, command line. */
  readonly guest: string;
  readonly cpus: number;
  readonly contexts: readonly Context[];
  readonly code: readonly Code[];
  readonly tasks: readonly Task[];
  readonly steps: readonly Step[];
  readonly broken: readonly Broken[];
  /** How it ended, in words. */
  readonly end: string;
  /** Set where the run is not the one that the schedule was made of: what was expected and what was found. */
  readonly differs: string | undefined;
}

/** The contexts of a step from the outermost to its own. */
export function pathOf({ contexts }: Pick<Story, 'contexts'>, context: number): number[] {
  const path: number[] = [];
  for (let at: number | undefined = context; at !== undefined; at = contexts[at]!.parent) path.unshift(at);
  return path;
}
