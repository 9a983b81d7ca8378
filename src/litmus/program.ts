/** A litmus test made ready to run: variables placed, columns assembled, windows found. */
import { AsmError } from '../asm/asm-error.js';
import { disassembler } from '../asm/capstone.js';
import { assemble } from '../asm/keystone.js';
import { AT, PER_CPU, SPIN } from './board.js';
import { type MemoryOperand, unlockedOperand } from './read-modify-write.js';
import { type Column, LitmusError, type LitmusTest, type Strikes, type Variable } from './test.js';

export interface PlacedVariable extends Variable {
  /** Address; of a per-CPU variable, that of CPU 0's copy. */
  readonly address: number;
}

export interface PlacedColumn extends Column {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Behind the last instruction of the author: the end of a CPU's code, or the IRET of a handler. */
  readonly end: number;
  readonly labels: ReadonlyMap<string, bigint>;
  /** What the author wrote, by address. */
  readonly statements: ReadonlyMap<number, string>;
}

/** A handler column with the boundaries at which its event may arrive. */
export interface Handler {
  readonly column: PlacedColumn;
  readonly cpu: number;
  readonly kind: 'nmi' | 'irq';
  readonly least: number;
  readonly most: number;
  /** Addresses, both included; undefined: everywhere. */
  readonly window: { readonly from: number; readonly to: number } | undefined;
}

export interface Program {
  readonly test: LitmusTest;
  readonly cpus: number;
  readonly variables: ReadonlyMap<string, PlacedVariable>;
  readonly columns: readonly PlacedColumn[];
  readonly handlers: readonly Handler[];
  /** Read-modify-writes without LOCK, by address. */
  readonly unlocked: ReadonlyMap<number, MemoryOperand>;
}

const PAGE = 0x1000;
const IRETQ: readonly number[] = [0x48, 0xcf];
const ROW = '__cell_';

/** @throws {LitmusError} where a column cannot be assembled or a label is missing; `file` is for its message. */
export async function prepare(test: LitmusTest, file: string): Promise<Program> {
  const variables = place(test, file);
  const symbols = {
    lookup: (name: string): bigint | undefined => {
      const variable = variables.get(name);
      return variable && BigInt(variable.address);
    },
    constant: (): undefined => undefined,
  };
  const columns: PlacedColumn[] = [];
  for (const [index, column] of test.columns.entries()) {
    const address = AT.code + PAGE * index;
    const source = column.cells.map(({ text }, cell) => `${ROW}${cell}: ${text}`).join('\n');
    const { bytes, labels } = await assemble(source, { address: BigInt(address), symbols }).catch((error) => {
      if (!(error instanceof AsmError)) throw error;
      const cell = column.cells[error.line - 1]!;
      const message = error.message.replace(/^line \d+: /, '').replaceAll(/__cell_\d+: /g, '');
      throw new LitmusError(`${file}:${cell.line}: ${message}`);
    });
    const tail = column.kind === 'code' ? SPIN : IRETQ;
    const end = address + bytes.length;
    if (bytes.length + tail.length > PAGE)
      throw new LitmusError(`${file}: expected at most ${PAGE} bytes of code in ${column.name}, found more`);
    const statements = new Map<number, string>();
    for (const [cell, { text }] of column.cells.entries())
      statements.set(Number(labels.get(`${ROW}${cell}`)!), text);
    if (column.kind !== 'code') statements.set(end, 'iretq');
    columns.push({
      ...column,
      address,
      bytes: Uint8Array.from([...bytes, ...tail]),
      end,
      labels,
      statements,
    });
  }
  const cpus = columns.filter(({ kind }) => kind === 'code').length;
  return {
    test,
    cpus,
    variables,
    columns,
    handlers: test.strikes.map((strikes) => handlerOf(strikes, columns, file)),
    unlocked: cpus > 1 ? await unlockedOperands(columns) : new Map(),
  };
}

/** Gives each variable an address that is a multiple of its size. */
function place(test: LitmusTest, file: string): Map<string, PlacedVariable> {
  const next = { shared: AT.shared as number, perCpu: AT.perCpu + PER_CPU.variables };
  const end = { shared: AT.shared + PAGE, perCpu: AT.perCpu + PER_CPU.variablesEnd };
  const placed = new Map<string, PlacedVariable>();
  for (const variable of test.variables) {
    const area = variable.perCpu ? 'perCpu' : 'shared';
    const address = Math.ceil(next[area] / variable.size) * variable.size;
    next[area] = address + variable.size * variable.values.length;
    if (next[area] > end[area])
      throw new LitmusError(
        `${file}: expected variables that fit into a page, found no room for ${variable.name}`,
      );
    placed.set(variable.name, { ...variable, address });
  }
  return placed;
}

function handlerOf(strikes: Strikes, columns: readonly PlacedColumn[], file: string): Handler {
  const column = columns.find(({ name }) => name === strikes.column)!;
  const { cpu, kind } = column;
  if (kind === 'code')
    throw new LitmusError(`${file}: expected a handler column to strike, found ${column.name}`);
  const { least, most, window } = strikes;
  const handler = { column, cpu, kind, least, most };
  if (window === undefined) return { ...handler, window: undefined };
  const { from, to } = window;
  const candidates = columns.filter((candidate) => candidate.cpu === cpu);
  for (const { labels } of candidates) {
    const first = labels.get(from);
    const last = labels.get(to);
    if (first === undefined || last === undefined) continue;
    if (last < first)
      throw new LitmusError(
        `${file}: expected the window ${from}..${to} to go forward, found ${to} before ${from}`,
      );
    return { ...handler, window: { from: Number(first), to: Number(last) } };
  }
  const names = candidates.map(({ name }) => name).join(' or ');
  throw new LitmusError(`${file}: expected the labels ${from} and ${to} in column ${names}, found not both`);
}

async function unlockedOperands(columns: readonly PlacedColumn[]): Promise<Map<number, MemoryOperand>> {
  const decoder = await disassembler();
  const found = new Map<number, MemoryOperand>();
  for (const { bytes, address, end } of columns) {
    for (const instruction of decoder.decode(bytes.subarray(0, end - address), BigInt(address))) {
      const operand = unlockedOperand(instruction);
      if (operand !== undefined) found.set(Number(instruction.address), operand);
    }
  }
  return found;
}
