/**
 * Reads litmus files. The format is herd7's for x86-64, with columns for handlers and a clause for when they strike:
 *
 *     X86_64 NAME
 *     "One line on what the test asks"
 *     (* A comment. Result: Never *)
 *     { u64 x=0; 0:rax=1; }
 *      P0         | P0.NMI ;
 *      incq x     | incq x ;
 *     strikes P0.NMI 1
 *     exists (x=1)
 */
import { readColumns } from './columns.js';
import { locationsOf, readCondition, readLocation } from './condition.js';
import { Scope } from './scope.js';
import { readState } from './state.js';
import {
  type Column,
  DEFAULT_BOUND,
  LitmusError,
  type LitmusTest,
  type Location,
  MAX_BOUND,
  type Observation,
  type Strikes,
} from './test.js';
import { Tokens } from './tokens.js';

const OBSERVATIONS: readonly string[] = ['Never', 'Sometimes', 'Always'] satisfies Observation[];
const CLAUSE = /^\s*(strikes|bound|locations|exists|forall|~|not\b)/;

/**
 * Reads one file.
 * @param file its name, for errors.
 * @throws {LitmusError} `FILE:LINE: expected …, found …`
 */
export function parseLitmus(source: string, file: string): LitmusTest {
  const lastLine = source.trimEnd().split('\n').length;
  const fail = (line: number, message: string): LitmusError =>
    new LitmusError(`${file}:${Math.min(line, lastLine)}: ${message}`);
  const { text, expected } = takeComments(source, fail);
  const lines = text.split('\n');
  const isBlank = (line: string | undefined): boolean =>
    line !== undefined && /^\s*("[^"]*"\s*)?$/.test(line);
  let at = 0;
  const skipBlank = (): void => {
    while (isBlank(lines[at])) at++;
  };

  skipBlank();
  const name = /^\s*X86_64\s+(\S+)\s*$/.exec(lines[at] ?? '')?.[1];
  if (name === undefined) throw fail(at + 1, `expected X86_64 and a name, found ${quoted(lines[at])}`);
  at++;
  skipBlank();

  const state = takeBraces(lines, at, fail);
  const { variables, registers } = readState(new Tokens(state.text, at + 1, fail));
  at = state.next;
  skipBlank();

  const tableFrom = at;
  while (at < lines.length && (!CLAUSE.test(lines[at]!) || lines[at]!.trimEnd().endsWith(';'))) at++;
  const columns = readColumns(lines.slice(tableFrom, at), tableFrom + 1, fail);
  const scope = new Scope(variables, columns);
  for (const { cpu, name: register, value, line } of registers)
    scope.checkRegister(cpu, register, value, (message) => fail(line, message));

  const rest = lines.slice(at).join('\n');
  const tokens = new Tokens(rest, at + 1, fail);
  const clauses = readClauses(tokens, scope, columns);
  const conditionLine = tokens.line;
  const { quantifier, proposition } = readCondition(tokens);
  if (!tokens.isEmpty) throw tokens.error('expected the file to end behind the condition, found more');
  for (const location of locationsOf(proposition))
    scope.checkLocation(location, (message) => fail(conditionLine, message));
  const condition = /(exists|forall|~\s*exists|not\s+exists)[\s\S]*$/
    .exec(rest)![0]
    .replace(/\s+/g, ' ')
    .trim();
  return {
    name,
    variables,
    registers,
    columns,
    ...clauses,
    quantifier,
    proposition,
    condition,
    ...(expected === undefined ? {} : { expected }),
  };
}

const quoted = (line: string | undefined): string =>
  line === undefined || line.trim() === '' ? 'nothing' : line.trim();

type Fail = (line: number, message: string) => LitmusError;

/** Comments become blanks, so that lines keep their numbers; `Result:` in one is what the author expects. */
function takeComments(source: string, fail: Fail): { text: string; expected?: Observation } {
  let expected: Observation | undefined;
  const text = source.replace(/\(\*\s[\s\S]*?(\*\)|$)/g, (comment, end: string, offset: number) => {
    const line = source.slice(0, offset).split('\n').length;
    if (end !== '*)') throw fail(line, 'expected *) behind this comment, found the end of the file');
    const result = /Result:\s*(\w*)/.exec(comment);
    if (result !== null) {
      if (!OBSERVATIONS.includes(result[1]!))
        throw fail(line, `expected Result: Never, Sometimes or Always, found ${result[1]}`);
      expected = result[1] as Observation;
    }
    return comment.replace(/[^\n]/g, ' ');
  });
  return expected === undefined ? { text } : { text, expected };
}

/** The text between the outer braces, which may stand on several lines. */
function takeBraces(lines: readonly string[], from: number, fail: Fail): { text: string; next: number } {
  if (!lines[from]?.trim().startsWith('{'))
    throw fail(from + 1, `expected the initial state in { }, found ${quoted(lines[from])}`);
  let depth = 0;
  let text = '';
  for (let at = from; at < lines.length; at++) {
    const line = lines[at]!;
    for (const [column, mark] of [...line].entries()) {
      if (mark === '}' && --depth === 0) {
        const behind = line.slice(column + 1).trim();
        if (behind !== '') throw fail(at + 1, `expected the line to end behind }, found ${behind}`);
        return { text, next: at + 1 };
      }
      if (mark !== '{' || depth++ > 0) text += mark;
      else text += ' ';
    }
    text += '\n';
  }
  throw fail(from + 1, 'expected } behind the initial state, found the end of the file');
}

interface Clauses {
  readonly strikes: readonly Strikes[];
  readonly locations: readonly Location[];
  readonly bound: number;
}

/** The clauses between table and condition, in any order. */
function readClauses(tokens: Tokens, scope: Scope, columns: readonly Column[]): Clauses {
  const strikes = new Map<string, Strikes>();
  const locations: Location[] = [];
  let bound = DEFAULT_BOUND;
  for (;;) {
    const line = tokens.line;
    if (tokens.takeIf(/^strikes$/) !== undefined) {
      const read = readStrikes(tokens);
      scope.checkStrikes(read, (message) => tokens.error(message, line));
      if (strikes.has(read.column))
        throw tokens.error(`expected one strikes for ${read.column}, found two`, line);
      strikes.set(read.column, read);
    } else if (tokens.takeIf(/^bound$/) !== undefined) {
      bound = Number(tokens.take(/^\d+$/, 'a number of steps'));
      if (bound < 1 || bound > MAX_BOUND)
        throw tokens.error(`expected a bound from 1 to ${MAX_BOUND}, found ${bound}`, line);
    } else if (tokens.takeIf(/^locations$/) !== undefined) {
      tokens.expect('[');
      while (tokens.takeIf(/^\]$/) === undefined) {
        const location = readLocation(tokens);
        scope.checkLocation(location, (message) => tokens.error(message, line));
        locations.push(location);
        tokens.takeIf(/^;$/);
      }
    } else break;
  }
  for (const { name, kind } of columns)
    if (kind !== 'code' && !strikes.has(name)) strikes.set(name, { column: name, least: 1, most: 1 });
  return { strikes: [...strikes.values()], locations, bound };
}

/** `P0.NMI`, `P0.NMI 2`, `P0.NMI 0..1 in LABEL..LABEL`. */
function readStrikes(tokens: Tokens): Strikes {
  const line = tokens.line;
  let column = tokens.take(/^P\d$/, 'a handler column such as P0.NMI');
  tokens.take(/^\.$/, `.NMI or .IRQ behind ${column}`);
  column += `.${tokens.take(/^(NMI|IRQ)$/, 'NMI or IRQ')}`;
  const least = Number(tokens.takeIf(/^\d+$/) ?? 1);
  const most = tokens.takeIf(/^\.\.$/) === undefined ? least : Number(tokens.take(/^\d+$/, 'a number'));
  if (most < 1 || most < least)
    throw tokens.error(`expected how often it strikes, found ${least}..${most}`, line);
  if (tokens.takeIf(/^in$/) === undefined) return { column, least, most };
  const from = tokens.take(/^[A-Za-z_]\w*$/, 'a label');
  const to = tokens.takeIf(/^\.\.$/) === undefined ? from : tokens.take(/^[A-Za-z_]\w*$/, 'a label');
  return { column, least, most, window: { from, to } };
}
