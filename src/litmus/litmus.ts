/**
 * Litmus tests for programs and test suites:
 *
 *     const { observation } = await litmus({
 *       init: 'u64 x=0',
 *       columns: { P0: 'mov x, %rax; inc %rax; mov %rax, x', 'P0.NMI': 'incq x' },
 *       condition: 'exists (x=1)',
 *     });
 *     expect(observation).toBe('Sometimes');
 */
import { parseLitmus } from './parse.js';
import { prepare } from './program.js';
import { type LitmusReport, type RunOptions, runLitmus } from './run.js';

export interface LitmusQuestion extends RunOptions {
  /** Default `litmus`. */
  readonly name?: string;
  /** What stands between the braces of a litmus file. */
  readonly init?: string;
  /** Assembly by column: `P0`, `P1`, `P0.NMI`, `P0.IRQ`; statements end at `;` or a line's end. */
  readonly columns: Readonly<Record<string, string>>;
  /** When handlers strike, each as in a file: `P0.NMI 0..2 in from..to`. Once and anywhere by default. */
  readonly strikes?: readonly string[];
  /** `exists (…)`, `~exists (…)` or `forall (…)`. */
  readonly condition: string;
  /** Further locations to tell states apart by: `x 0:rax`. */
  readonly locations?: string;
  /** Steps after which a CPU counts as hanging. */
  readonly bound?: number;
}

/**
 * Runs every interleaving and every strike of a question on the machine.
 * @throws {LitmusError} for a mistake in the question; lines are those of `litmusSource`.
 * @throws {EngineError} when there is no usable libunicorn.
 */
export async function litmus(question: LitmusQuestion): Promise<LitmusReport> {
  return runLitmusSource(litmusSource(question), question.name ?? 'litmus', question);
}

/** Runs the text of a litmus file; `file` is its name in errors. */
export async function runLitmusSource(
  source: string,
  file: string,
  options: RunOptions = {},
): Promise<LitmusReport> {
  return runLitmus(await prepare(parseLitmus(source, file), file), options);
}

/** The question as a litmus file. */
export function litmusSource(question: LitmusQuestion): string {
  const { name = 'litmus', init = '', columns, strikes = [], condition, locations, bound } = question;
  const cells = Object.values(columns).map((text) =>
    text
      .split(/[;\n]/)
      .map((statement) => statement.trim())
      .filter((statement) => statement !== ''),
  );
  const rows = Array.from({ length: Math.max(0, ...cells.map(({ length }) => length)) }, (_, row) =>
    cells.map((column) => column[row] ?? ''),
  );
  const table = [Object.keys(columns), ...rows];
  const widths = cells.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    ` ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} ;`;
  return [
    `X86_64 ${name}`,
    `{ ${init.trim()} }`,
    ...table.map(line),
    ...strikes.map((clause) => `strikes ${clause}`),
    ...(locations === undefined ? [] : [`locations [${locations}]`]),
    ...(bound === undefined ? [] : [`bound ${bound}`]),
    condition,
    '',
  ].join('\n');
}
