/** The names of a litmus test, and whether what is said about them makes sense. */
import { REGISTERS } from './registers.js';
import {
  type Column,
  type LitmusError,
  type Location,
  type Strikes,
  TYPES,
  type Value,
  type Variable,
} from './test.js';

type Fail = (message: string) => LitmusError;

export class Scope {
  readonly #variables: ReadonlyMap<string, Variable>;
  readonly #columns: readonly Column[];

  constructor(variables: readonly Variable[], columns: readonly Column[]) {
    this.#variables = new Map(variables.map((variable) => [variable.name, variable]));
    this.#columns = columns;
  }

  get #cpus(): number {
    return this.#columns.filter(({ kind }) => kind === 'code').length;
  }

  #checkCpu(cpu: number, fail: Fail): void {
    if (cpu >= this.#cpus) throw fail(`expected a CPU from 0 to ${this.#cpus - 1}, found ${cpu}`);
  }

  checkRegister(cpu: number, name: string, value: Value, fail: Fail): void {
    this.#checkCpu(cpu, fail);
    if (!REGISTERS.has(name)) throw fail(`expected a register such as rax or eax, found ${name}`);
    if (typeof value !== 'bigint') this.#variable(value.addressOf, fail);
  }

  checkLocation(location: Location, fail: Fail): void {
    if (location.cpu !== undefined) this.#checkCpu(location.cpu, fail);
    if (location.kind !== 'memory') return;
    const { name, index, cpu } = location;
    const variable = this.#variable(name, fail);
    const written = cpu === undefined ? name : `${cpu}:${name}`;
    if (variable.perCpu && cpu === undefined)
      throw fail(`expected 0:${name}, each CPU has its own, found ${name}`);
    if (!variable.perCpu && cpu !== undefined)
      throw fail(`expected ${name}, all CPUs share it, found ${written}`);
    if (index >= variable.values.length)
      throw fail(`expected an index below ${variable.values.length}, found ${written}[${index}]`);
  }

  /** The labels of a window are looked up when the columns are assembled. */
  checkStrikes({ column }: Strikes, fail: Fail): void {
    if (!this.#columns.some(({ name }) => name === column))
      throw fail(`expected a handler column of the table, found ${column}`);
  }

  #variable(name: string, fail: Fail): Variable {
    const variable = this.#variables.get(name);
    if (variable !== undefined) return variable;
    const known = [...this.#variables.keys()].join(', ') || 'none is declared';
    const hint = Object.hasOwn(TYPES, name) ? '' : ` (${known})`;
    throw fail(`expected a register or a variable of the initial state${hint}, found ${name}`);
  }
}
