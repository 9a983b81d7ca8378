/** Conditions over a final state: reading them, deciding them, printing the locations that they speak of. */
import { REGISTERS } from './registers.js';
import type { Location, Observation, Proposition, Quantifier, Value } from './test.js';
import type { Tokens } from './tokens.js';

/**
 * Reads a location: `0:rax`, `x`, `x[1]`, `0:x` (a per-CPU variable), `hang(P0)`, `fault(P0)`. Whether the names exist is decided
 * by the caller, who knows them.
 */
export function readLocation(tokens: Tokens): Location {
  const flag = tokens.takeIf(/^(hang|fault)$/);
  if (flag !== undefined) {
    tokens.expect('(');
    const cpu = Number(tokens.take(/^P\d$/, 'a CPU such as P0').slice(1));
    tokens.expect(')');
    return { kind: flag as 'hang' | 'fault', cpu };
  }
  const digits = tokens.takeIf(/^\d+$/);
  if (digits !== undefined) tokens.expect(':');
  const name = tokens.take(/^[A-Za-z_]\w*$/, 'a register such as 0:rax or a variable');
  const cpu = digits === undefined ? {} : { cpu: Number(digits) };
  if (cpu.cpu !== undefined && REGISTERS.has(name)) return { kind: 'register', cpu: cpu.cpu, name };
  let index = 0;
  if (tokens.takeIf(/^\[$/) !== undefined) {
    index = Number(tokens.take(/^\d+$/, 'an index'));
    tokens.expect(']');
  }
  return { kind: 'memory', name, index, ...cpu };
}

/** A number, or `&x` for the address of a variable. */
export function readValue(tokens: Tokens): Value {
  if (tokens.takeIf(/^&$/) !== undefined)
    return { addressOf: tokens.take(/^[A-Za-z_]\w*$/, 'a variable after &') };
  const minus = tokens.takeIf(/^-$/) !== undefined;
  const number = BigInt(tokens.take(/^(0[xX][\da-fA-F]+|\d+)$/, 'a number'));
  return minus ? -number : number;
}

/** `exists P`, `~exists P`, `forall P`. */
export function readCondition(tokens: Tokens): { quantifier: Quantifier; proposition: Proposition } {
  const negated = tokens.takeIf(/^(~|not)$/) !== undefined;
  const word = tokens.take(negated ? /^exists$/ : /^(exists|forall)$/, 'exists, ~exists or forall');
  const quantifier = (negated ? `~${word}` : word) as Quantifier;
  return { quantifier, proposition: readOr(tokens) };
}

function readOr(tokens: Tokens): Proposition {
  const of = [readAnd(tokens)];
  while (tokens.takeIf(/^\\\/$/) !== undefined) of.push(readAnd(tokens));
  return of.length === 1 ? of[0]! : { kind: 'or', of };
}

function readAnd(tokens: Tokens): Proposition {
  const of = [readAtom(tokens)];
  while (tokens.takeIf(/^\/\\$/) !== undefined) of.push(readAtom(tokens));
  return of.length === 1 ? of[0]! : { kind: 'and', of };
}

function readAtom(tokens: Tokens): Proposition {
  if (tokens.takeIf(/^(~|not)$/) !== undefined) return { kind: 'not', of: readAtom(tokens) };
  if (tokens.takeIf(/^true$/) !== undefined) return { kind: 'true' };
  if (tokens.takeIf(/^\($/) !== undefined) {
    const inner = readOr(tokens);
    tokens.expect(')');
    return inner;
  }
  const left = readLocation(tokens);
  if (left.kind === 'hang' || left.kind === 'fault') return { kind: 'equal', left, right: 1n };
  const operator = tokens.take(/^(=|!=|<>)$/, '=');
  const isLocation = tokens.at(/^[A-Za-z_]\w*$/) || tokens.at(/^\d+$/, /^:$/);
  const right = isLocation ? readLocation(tokens) : readValue(tokens);
  const equal: Proposition = { kind: 'equal', left, right };
  return operator === '=' ? equal : { kind: 'not', of: equal };
}

/** The locations in a proposition, in the order of the text, each once. */
export function locationsOf(proposition: Proposition): Location[] {
  const found = new Map<string, Location>();
  const visit = (part: Proposition): void => {
    switch (part.kind) {
      case 'equal':
        for (const side of [part.left, part.right])
          if (typeof side === 'object' && 'kind' in side) found.set(locationName(side), side);
        break;
      case 'not':
        visit(part.of);
        break;
      case 'and':
      case 'or':
        for (const inner of part.of) visit(inner);
    }
  };
  visit(proposition);
  return [...found.values()];
}

/** How a location is written. */
export function locationName(location: Location): string {
  switch (location.kind) {
    case 'register':
      return `${location.cpu}:${location.name}`;
    case 'memory': {
      const cpu = location.cpu === undefined ? '' : `${location.cpu}:`;
      return `${cpu}${location.name}${location.index === 0 ? '' : `[${location.index}]`}`;
    }
    default:
      return `${location.kind}(P${location.cpu})`;
  }
}

/** What a final state holds. */
export interface Valuation {
  /** Unsigned, as wide as the location is. */
  read(location: Location): bigint;
  /** Bytes of a location. */
  width(location: Location): number;
  addressOf(variable: string): bigint;
}

/** Whether a proposition is true of a state. Numbers are compared modulo the size of the location on the left. */
export function holds(proposition: Proposition, state: Valuation): boolean {
  switch (proposition.kind) {
    case 'true':
      return true;
    case 'not':
      return !holds(proposition.of, state);
    case 'and':
      return proposition.of.every((part) => holds(part, state));
    case 'or':
      return proposition.of.some((part) => holds(part, state));
    case 'equal': {
      const { left, right } = proposition;
      if (typeof right === 'object' && 'kind' in right) return state.read(left) === state.read(right);
      const value = typeof right === 'bigint' ? right : state.addressOf(right.addressOf);
      return state.read(left) === BigInt.asUintN(8 * state.width(left), value);
    }
  }
}

/** herd7's word for how often the proposition of a condition was true. */
export function observationOf(positive: bigint, negative: bigint): Observation {
  if (positive === 0n) return 'Never';
  return negative === 0n ? 'Always' : 'Sometimes';
}

/** Whether a condition as a whole is met. */
export function isMet(quantifier: Quantifier, positive: bigint, negative: bigint): boolean {
  if (quantifier === 'exists') return positive > 0n;
  return quantifier === 'forall' ? negative === 0n : positive === 0n;
}
