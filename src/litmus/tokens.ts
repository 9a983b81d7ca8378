/** The words of the parts of a litmus test that are not assembly, each with its line. */
import type { LitmusError } from './test.js';

interface Token {
  readonly text: string;
  readonly line: number;
}

const TOKEN = /\s+|\/\\|\\\/|!=|<>|\.\.|0[xX][\da-fA-F]+|\d+|[A-Za-z_][\w]*|./gsu;

export class Tokens {
  readonly #tokens: Token[] = [];
  readonly #fail: (line: number, message: string) => LitmusError;
  #next = 0;
  #lastLine: number;

  /** @param fail makes the error for a line of the file. */
  constructor(text: string, line: number, fail: (line: number, message: string) => LitmusError) {
    this.#fail = fail;
    let at = line;
    for (const [found] of text.matchAll(TOKEN)) {
      if (found.trim() !== '') this.#tokens.push({ text: found, line: at });
      at += found.split('\n').length - 1;
    }
    this.#lastLine = this.#tokens.at(-1)?.line ?? line;
  }

  get isEmpty(): boolean {
    return this.#next === this.#tokens.length;
  }

  /** The line of the next token. */
  get line(): number {
    return this.#tokens[this.#next]?.line ?? this.#lastLine;
  }

  /** Whether the next tokens match, one pattern each. */
  at(...patterns: readonly RegExp[]): boolean {
    return patterns.every((pattern, index) => pattern.test(this.#tokens[this.#next + index]?.text ?? ''));
  }

  takeIf(pattern: RegExp): string | undefined {
    return this.at(pattern) && !this.isEmpty ? this.#tokens[this.#next++]!.text : undefined;
  }

  /** @throws LitmusError that says what was expected, in the author's words. */
  take(pattern: RegExp, expected: string): string {
    const line = this.line;
    const token = this.takeIf(pattern);
    if (token !== undefined) return token;
    const found = this.isEmpty ? 'nothing more' : this.#tokens[this.#next]!.text;
    throw this.#fail(line, `expected ${expected}, found ${found}`);
  }

  expect(mark: string): void {
    this.take(new RegExp(`^\\${mark}$`), mark);
  }

  error(message: string, line = this.line): LitmusError {
    return this.#fail(line, message);
  }
}
