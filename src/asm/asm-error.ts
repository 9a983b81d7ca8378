/** A snippet that cannot be assembled. `line` counts from 1; `statement` is the text as its author wrote it. */
export class AsmError extends Error {
  override readonly name = 'AsmError';
  readonly line: number;
  readonly statement: string;

  constructor(line: number, statement: string, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
    this.statement = statement;
  }
}
