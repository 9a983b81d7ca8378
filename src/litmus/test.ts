/** A litmus test as data: what the parser gives, and what a program may build by itself. */

/** A mistake in a litmus test; the message is one sentence and begins with file and line where there are some. */
export class LitmusError extends Error {
  override readonly name = 'LitmusError';
}

/** A test that needs more steps than it was given; nothing is known about its result. */
export class LitmusLimit extends Error {
  override readonly name = 'LitmusLimit';
}

/** Sizes in bytes by type name; herd7's names are taken too. */
export const TYPES: Readonly<Record<string, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  uint8_t: 1,
  uint16_t: 2,
  uint32_t: 4,
  uint64_t: 8,
};

/** A number, or the address of a variable. */
export type Value = bigint | { readonly addressOf: string };

export interface Variable {
  readonly name: string;
  /** Bytes of one element: 1, 2, 4 or 8. */
  readonly size: number;
  /** Values of the elements at the start; a plain variable has one. */
  readonly values: readonly Value[];
  /** Each CPU has a copy, which `%gs:NAME` names. */
  readonly perCpu: boolean;
}

/** Something that a condition can speak of. */
export type Location =
  | { readonly kind: 'register'; readonly cpu: number; readonly name: string }
  /** `cpu` names the copy of a per-CPU variable. */
  | { readonly kind: 'memory'; readonly name: string; readonly index: number; readonly cpu?: number }
  /** 1 when the CPU has not come to its end: it still ran when the bound was reached, or it has halted for good. */
  | { readonly kind: 'hang'; readonly cpu: number }
  /** 1 when the CPU has met an exception, at which it stops. */
  | { readonly kind: 'fault'; readonly cpu: number };

export const COLUMN_KINDS = ['code', 'nmi', 'irq'] as const;
/** The code of a CPU, or the handler of its NMIs or of its interrupts. */
export type ColumnKind = (typeof COLUMN_KINDS)[number];

export interface Column {
  /** `P0`, `P0.NMI`, `P0.IRQ`. */
  readonly name: string;
  readonly cpu: number;
  readonly kind: ColumnKind;
  /** Assembly in the order of execution; `line` is where an error is reported. */
  readonly cells: readonly { readonly line: number; readonly text: string }[];
}

/** How often and where the event of a handler column arrives. */
export interface Strikes {
  readonly column: string;
  /** In every run that comes past a boundary of the window, at least so often… */
  readonly least: number;
  /** …and at most so often. */
  readonly most: number;
  /** First and last boundary: those before the instructions at these labels. Everywhere on the CPU by default. */
  readonly window?: { readonly from: string; readonly to: string };
}

export type Quantifier = 'exists' | '~exists' | 'forall';
export type Observation = 'Never' | 'Sometimes' | 'Always';

export type Proposition =
  | { readonly kind: 'equal'; readonly left: Location; readonly right: Location | Value }
  | { readonly kind: 'not'; readonly of: Proposition }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Proposition[] }
  | { readonly kind: 'true' };

export interface LitmusTest {
  readonly name: string;
  readonly variables: readonly Variable[];
  readonly registers: readonly { readonly cpu: number; readonly name: string; readonly value: Value }[];
  readonly columns: readonly Column[];
  readonly strikes: readonly Strikes[];
  /** Shown in each state beside what the condition speaks of. */
  readonly locations: readonly Location[];
  readonly quantifier: Quantifier;
  readonly proposition: Proposition;
  /** The condition as its author wrote it. */
  readonly condition: string;
  /** Steps after which a CPU counts as hanging. */
  readonly bound: number;
  /** What the author says will be observed. */
  readonly expected?: Observation;
}

export const DEFAULT_BOUND = 200;
export const MAX_BOUND = 10_000;
