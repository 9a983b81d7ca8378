/** The initial state of a litmus test: variables with type and value, and registers. */
import { readValue } from './condition.js';
import { TYPES, type Value, type Variable } from './test.js';
import type { Tokens } from './tokens.js';

export interface InitialRegister {
  readonly cpu: number;
  readonly name: string;
  readonly value: Value;
  readonly line: number;
}

/**
 * Reads what stands between the braces: `x=1; u32 y; u64 a[2]={1, 2}; percpu u64 n=0; 0:rax=3; 0:rdi=&x;`. A variable
 * without a type is a u64, without a value 0.
 */
export function readState(tokens: Tokens): { variables: Variable[]; registers: InitialRegister[] } {
  const variables: Variable[] = [];
  const registers: InitialRegister[] = [];
  while (!tokens.isEmpty) {
    if (tokens.takeIf(/^;$/) !== undefined) continue;
    if (tokens.at(/^\d+$/)) registers.push(readRegister(tokens));
    else {
      const line = tokens.line;
      const variable = readVariable(tokens);
      if (variables.some(({ name }) => name === variable.name))
        throw tokens.error(`expected each variable once, found ${variable.name} again`, line);
      variables.push(variable);
    }
    if (!tokens.isEmpty) tokens.expect(';');
  }
  return { variables, registers };
}

function readRegister(tokens: Tokens): InitialRegister {
  const line = tokens.line;
  const cpu = Number(tokens.take(/^\d+$/, 'a CPU'));
  tokens.expect(':');
  const name = tokens.take(/^[a-z]\w*$/, 'a register');
  tokens.expect('=');
  // herd7 writes 0:rdi=x for the address of x
  const value = tokens.at(/^[A-Za-z_]/) ? { addressOf: tokens.take(/./, 'a variable') } : readValue(tokens);
  return { cpu, name, value, line };
}

function readVariable(tokens: Tokens): Variable {
  const perCpu = tokens.takeIf(/^percpu$/) !== undefined;
  let name = tokens.take(/^[A-Za-z_]\w*$/, 'a variable, a type or a register such as 0:rax');
  let size = 8;
  if (Object.hasOwn(TYPES, name)) {
    size = TYPES[name]!;
    name = tokens.take(/^[A-Za-z_]\w*$/, `a variable behind ${name}`);
  }
  const brackets = tokens.takeIf(/^\[$/) !== undefined;
  const count = brackets ? Number(tokens.take(/^[1-9]\d*$/, 'a number of elements')) : 1;
  if (brackets) tokens.expect(']');
  const values: Value[] = [];
  if (tokens.takeIf(/^=$/) !== undefined) {
    if (!brackets) values.push(readValue(tokens));
    else {
      tokens.expect('{');
      do values.push(readValue(tokens));
      while (tokens.takeIf(/^,$/) !== undefined);
      tokens.expect('}');
    }
  }
  if (values.length > count)
    throw tokens.error(`expected ${count} values for ${name}, found ${values.length}`);
  while (values.length < count) values.push(0n);
  return { name, size, values, perCpu };
}
