/**
 * From the text of a snippet to text that keystone assembles as GNU as would.
 *
 * Keystone's reader differs from GNU as in ways that give wrong bytes and no error, and this is the one place that knows
 * them (seen with keystone-js 0.9.2):
 * - a decimal number is read as hexadecimal (`$16` is 0x16), so every number is rewritten in hexadecimal;
 * - an absolute operand in 64-bit code (`%gs:8`) becomes relative to RIP with the address as the displacement, so it is
 *   given the empty index register `%riz`, which yields GNU as's encoding;
 * - a constant before `(%rip)` is taken as the displacement, so that is refused;
 * - `.balign` and `.p2align` do nothing, so they become `.align`, which counts bytes;
 * - `\@` in a macro never ends, `.text` ends the module, other directives are skipped: see directives.ts.
 */
import { AsmError } from './asm-error.js';
import { BLOCK_DEPTH, refusal } from './directives.js';

export type Mode = 16 | 32 | 64;
export type Syntax = 'gas' | 'intel';

/** One statement: where it stands, what its author wrote, and what keystone is to read. */
export interface Statement {
  readonly line: number;
  readonly source: string;
  readonly text: string;
  /** Blocks (.macro, .if, .rept) that are open behind it. */
  readonly depth: number;
}

export interface Snippet {
  readonly statements: readonly Statement[];
  /** Labels outside blocks, in the order of the text. */
  readonly labels: readonly string[];
  /** Names that are used and not defined in the snippet; registers of Intel syntax are among them. */
  readonly foreign: ReadonlySet<string>;
  /** Those of `foreign` that stand before `(%rip)`, with the statement that does it. */
  readonly ripRelative: ReadonlyMap<string, Statement>;
}

type Kind = 'space' | 'string' | 'number' | 'name' | 'register' | 'mark';
interface Token {
  readonly kind: Kind;
  readonly text: string;
}

/** The pieces of a statement; comments and separators are gone before. */
const TOKEN =
  /(?<space>\s+)|(?<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^\\])'?)|(?<register>%\w+(?:\(\d\))?)|(?<number>\d\w*)|(?<name>[A-Za-z_.\\][\w.\\@]*)|(?<mark>.)/gsu;

function tokenize(text: string): Token[] {
  return Array.from(text.matchAll(TOKEN), ({ groups }) => {
    const [kind, found] = Object.entries(groups!).find(([, value]) => value !== undefined)!;
    return { kind: kind as Kind, text: found! };
  });
}

const join = (tokens: readonly Token[]): string => tokens.map(({ text }) => text).join('');

/** Splits at newlines and semicolons and drops comments, none of which count inside strings. */
function* splitStatements(source: string): Generator<{ line: number; source: string }> {
  const piece =
    /"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^\\\n])'?|\/\*[\s\S]*?(?:\*\/|$)|(?:#|\/\/)[^\n]*|[\n;]|[^"'/#\n;]+|\//g;
  let line = 1;
  let text = '';
  for (const [found] of source.matchAll(piece)) {
    const isBlock = found.startsWith('/*');
    if (isBlock) text += ' ';
    else if (found === '\n' || found === ';') {
      if (text.trim() !== '') yield { line, source: text.trim() };
      text = '';
    } else if (!found.startsWith('#') && !found.startsWith('//')) text += found;
    if (isBlock || found === '\n') line += found.split('\n').length - 1;
  }
  if (text.trim() !== '') yield { line, source: text.trim() };
}

/**
 * Reads a snippet.
 * @throws {AsmError} at the first statement that keystone would misread.
 */
export function readSnippet(source: string, mode: Mode, syntax: Syntax): Snippet {
  return new SnippetReader(mode, syntax).read(source);
}

class SnippetReader {
  #mode: Mode;
  #depth = 0;
  readonly #syntax: Syntax;
  readonly #statements: Statement[] = [];
  readonly #labels: string[] = [];
  readonly #defined = new Set<string>();
  readonly #constants = new Set<string>();
  readonly #macros = new Set<string>();
  readonly #used = new Set<string>();
  readonly #ripRelative = new Map<string, Statement>();
  #line = { line: 1, source: '' };

  constructor(mode: Mode, syntax: Syntax) {
    this.#mode = mode;
    this.#syntax = syntax;
  }

  read(source: string): Snippet {
    for (const found of splitStatements(source)) {
      this.#line = found;
      this.#statement(found.source);
    }
    return {
      statements: this.#statements,
      labels: this.#labels,
      foreign: new Set([...this.#used].filter((name) => !this.#defined.has(name))),
      ripRelative: this.#ripRelative,
    };
  }

  #fail(message: string): never {
    throw new AsmError(this.#line.line, this.#line.source, message);
  }

  /** Peels labels off, then hands the rest to the rule for its first word. */
  #statement(text: string): void {
    const local = /^(\d+)\s*:/.exec(text);
    if (local) this.#fail(`expected a named label, found the numeric one ${local[1]}:`);
    const label = /^([A-Za-z_.\\][\w.\\@]*)\s*:(?!:)\s*/.exec(text);
    if (label) {
      this.#define(label[1]!);
      if (this.#depth === 0) this.#labels.push(label[1]!);
      this.#emit(`${label[1]}:`);
      const rest = text.slice(label[0].length);
      if (rest !== '') this.#statement(rest);
      return;
    }
    const assignment = /^([A-Za-z_.][\w.]*)\s*=(?!=)\s*/.exec(text);
    if (assignment) this.#statement(`.set ${assignment[1]}, ${text.slice(assignment[0].length)}`);
    else this.#operation(text);
  }

  #operation(text: string): void {
    const head = /^\S+/.exec(text)![0];
    const rest = text.slice(head.length).trim();
    const word = head.toLowerCase();
    const instead = refusal(word, rest);
    if (instead !== undefined)
      this.#fail(`expected a statement that keystone assembles, found ${head}: ${instead}`);
    this.#depth += BLOCK_DEPTH[word] ?? 0;
    if (this.#depth < 0) this.#fail(`expected an open block, found ${head}`);
    if (/^(rep\w*|lock|notrack|data16|addr32)$/.test(word) && rest !== '') {
      this.#emit(word);
      this.#operation(rest);
    } else if (word === '.macro') this.#macro(head, rest);
    else if (word === '.set' || word === '.equ') this.#set(head, rest);
    else if (word === '.align' || word === '.balign' || word === '.p2align') this.#align(word, rest);
    else {
      if (word.startsWith('.code')) this.#mode = Number(word.slice(5)) as Mode;
      const isInstruction = !word.startsWith('.') && !word.startsWith('\\');
      const tokens = this.#numbers(tokenize(rest));
      this.#use(tokens);
      const operands = isInstruction ? this.#operands(word, tokens) : join(tokens);
      this.#emit(operands === '' ? head : `${head} ${operands}`);
    }
  }

  #macro(head: string, rest: string): void {
    const [name, ...parameters] = rest.split(/[\s,]+/);
    if (name) this.#macros.add(name);
    for (const parameter of parameters) this.#defined.add(parameter.replace(/[=:].*/, ''));
    this.#emit(`${head} ${join(this.#numbers(tokenize(rest)))}`);
  }

  #set(head: string, rest: string): void {
    const [name, ...value] = rest.split(',');
    const tokens = this.#numbers(tokenize(value.join(',')));
    this.#use(tokens);
    this.#define(name!.trim());
    this.#constants.add(name!.trim());
    this.#emit(`${head} ${name!.trim()},${join(tokens)}`);
  }

  /** `.align N` in bytes is the one of the three that keystone obeys; it fills code with NOPs. */
  #align(word: string, rest: string): void {
    const [amount, ...fill] = join(this.#numbers(tokenize(rest))).split(',');
    const count = /^\s*\w+\s*$/.test(amount!) ? Number(amount) : Number.NaN;
    const bytes = word === '.p2align' ? 2 ** count : count;
    if (!Number.isInteger(Math.log2(bytes)) || bytes > 4096) {
      this.#fail(`expected an alignment to a power of two up to 4096 bytes, found ${word} ${rest}`);
    }
    this.#emit(['.align 0x', bytes.toString(16), ...fill.map((part) => `,${part}`)].join(''));
  }

  #define(name: string): void {
    if (name.includes('\\@'))
      this.#fail('expected a label without \\@, which keystone cannot count: pass the name as an argument');
    this.#defined.add(name);
  }

  #emit(text: string): void {
    this.#statements.push({ ...this.#line, text, depth: this.#depth });
  }

  /** Rewrites all numbers in hexadecimal; refuses what GNU as would read otherwise. */
  #numbers(tokens: readonly Token[]): Token[] {
    return tokens.map((token) => {
      if (token.text.includes('\\@'))
        this.#fail('expected no \\@, which keystone cannot count: pass a name as an argument');
      if (token.kind !== 'number') return token;
      const { text } = token;
      if (/^(0x[0-9a-f]+|0b[01]+|[1-9]\d*|0)$/i.test(text))
        return { kind: 'number', text: `0x${BigInt(text).toString(16)}` };
      if (/^0[0-7]+$/.test(text)) return { kind: 'number', text: `0x${BigInt(`0o${text}`).toString(16)}` };
      if (/^\d+[bf]$/.test(text))
        this.#fail(`expected a named label, found the reference ${text} to a numeric one`);
      return this.#fail(`expected a number as 16, 0x10, 0b10000 or 020, found ${text}`);
    });
  }

  #use(tokens: readonly Token[]): void {
    for (const { kind, text } of tokens) {
      if (kind === 'name' && text !== '.' && !text.includes('\\')) this.#used.add(text);
    }
  }

  #operands(word: string, tokens: readonly Token[]): string {
    const operands: Token[][] = [[]];
    let nesting = 0;
    for (const token of tokens) {
      if (token.kind === 'mark')
        nesting += '(['.includes(token.text) ? 1 : ')]'.includes(token.text) ? -1 : 0;
      if (nesting === 0 && token.text === ',') operands.push([]);
      else operands.at(-1)!.push(token);
    }
    return operands.map((operand) => this.#operand(word, operand)).join(',');
  }

  #operand(word: string, tokens: readonly Token[]): string {
    const text = join(tokens);
    if (this.#mode !== 64) return text;
    if (/\(\s*%rip\s*\)|\[[^\]]*\brip\b/i.test(text)) this.#noteRipRelative(tokens);
    return this.#syntax === 'gas' ? this.#gasOperand(word, text) : intelOperand(text);
  }

  /** Gives an absolute memory operand its empty index register. */
  #gasOperand(word: string, text: string): string {
    const bare = text.trim().replace(/^\*\s*/, '');
    const hasSegment = /^%[c-gs]s\s*:/i.test(bare);
    if (bare === '' || /\([^()]*%|\(\s*,/.test(bare)) return text; // nothing, or a base or index register
    if (!hasSegment) {
      const isIndirect = text.trim().startsWith('*');
      if (/^[$%\\]/.test(bare) || word.startsWith('movabs') || this.#macros.has(word)) return text;
      if (!isIndirect && /^(j\w+|call[wlq]?|loop\w*|xbegin)$/.test(word)) return text;
    }
    return `${text.trimEnd()}(,%riz,1)`;
  }

  /** Names before (%rip) must be addresses; the caller checks those that the snippet does not define. */
  #noteRipRelative(tokens: readonly Token[]): void {
    for (const { kind, text } of tokens) {
      if (kind !== 'name' || text === 'rip') continue;
      if (this.#constants.has(text)) {
        this.#fail(`expected a label before (%rip), found the constant ${text}`);
      }
      this.#ripRelative.set(text, { ...this.#line, text, depth: this.#depth });
    }
  }
}

const INTEL_REGISTER = /\b([re]?(ax|bx|cx|dx|si|di|bp|sp)|r(8|9|1[0-5])d?|[re]i[pz])\b/i;

/** Gives `[address]` without a register its empty index register. */
const intelOperand = (text: string): string =>
  text.replace(/\[([^\]]*)\]/, (whole, inner: string) =>
    INTEL_REGISTER.test(inner) ? whole : `[riz*1+${inner}]`,
  );
