/** The table of a litmus file: a column of assembly per CPU and per handler. */
import { MAX_CPUS } from '../../emu/machine.js';
import type { Column, ColumnKind, LitmusError } from './test.js';

const KINDS: Readonly<Record<string, ColumnKind>> = { '': 'code', '.NMI': 'nmi', '.IRQ': 'irq' };

type Fail = (line: number, message: string) => LitmusError;

/**
 * Reads a table; `line` is the number of its first line.
 * @throws {LitmusError} where a row does not fit the head, or columns are missing or doubled.
 */
export function readColumns(lines: readonly string[], line: number, fail: Fail): Column[] {
  const rows = lines.flatMap((text, index) => {
    if (text.trim() === '') return [];
    if (!text.trimEnd().endsWith(';'))
      throw fail(line + index, `expected a row that ends in ;, found ${text.trim()}`);
    const cells = text.trimEnd().slice(0, -1).split('|');
    return [{ line: line + index, cells: cells.map((cell) => cell.trim()) }];
  });
  const [head, ...body] = rows;
  if (head === undefined) throw fail(line, 'expected a table of columns such as P0 | P1 ;, found nothing');
  const columns = head.cells.map((name) => ({ ...columnHead(name, head.line, fail), cells: [] as Cell[] }));
  for (const row of body) {
    if (row.cells.length !== columns.length)
      throw fail(row.line, `expected ${columns.length} cells as in the head, found ${row.cells.length}`);
    for (const [index, text] of row.cells.entries()) {
      if (text.includes(';')) throw fail(row.line, `expected one statement in a cell, found ${text}`);
      if (text !== '') columns[index]!.cells.push({ line: row.line, text });
    }
  }
  const complaint = complaintAbout(columns);
  if (complaint !== undefined) throw fail(head.line, complaint);
  return columns;
}

type Cell = Column['cells'][number];

function columnHead(name: string, line: number, fail: Fail): Omit<Column, 'cells'> {
  const [, cpu, suffix] = /^P(\d)(\.\w+)?$/.exec(name) ?? [];
  const kind = KINDS[suffix ?? ''];
  if (cpu === undefined || kind === undefined || Number(cpu) >= MAX_CPUS)
    throw fail(
      line,
      `expected a column named P0 to P${MAX_CPUS - 1}, P0.NMI or P0.IRQ, found ${name || 'nothing'}`,
    );
  return { name, cpu: Number(cpu), kind };
}

/** What is wrong with a set of columns: one said twice, a CPU left out, a handler without code to interrupt. */
export function complaintAbout(columns: readonly Column[]): string | undefined {
  const names = columns.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return `expected each column once, found ${twice} twice`;
  const code = columns.filter(({ kind }) => kind === 'code').map(({ cpu }) => cpu);
  const missing = Array.from(
    { length: Math.max(...columns.map(({ cpu }) => cpu)) + 1 },
    (_, cpu) => cpu,
  ).find((cpu) => !code.includes(cpu));
  if (missing !== undefined) return `expected a column P${missing}, found ${names.join(', ')}`;
  const empty = columns.find(({ cells }) => cells.length === 0);
  return empty && `expected an instruction in column ${empty.name}, found none`;
}
