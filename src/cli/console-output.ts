/** Collects the bytes of a guest's console and passes them on a line or a slice at a time. */
const NEWLINE = 0x0a;

export class ConsoleOutput {
  readonly #write: (bytes: Buffer) => void;
  #pending: number[] = [];
  /** Nothing has been written behind the last newline. */
  isAtLineStart = true;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  /** To be given to the machine as its console. */
  readonly put = (byte: number): void => {
    this.#pending.push(byte);
    if (byte === NEWLINE) this.flush();
  };

  flush(): void {
    if (this.#pending.length === 0) return;
    this.isAtLineStart = this.#pending.at(-1) === NEWLINE;
    this.#write(Buffer.from(this.#pending));
    this.#pending = [];
  }
}
