/** Reads lines one at a time, synchronously, so that a listener in the middle of a run can ask for the next one. */
import { readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const CHUNK = 1 << 16;

export class LineReader {
  readonly #handle: number;
  readonly #chunk = Buffer.alloc(CHUNK);
  readonly #decoder = new StringDecoder('utf8');
  /** Whole lines that have been read, and how many of them have been handed out. */
  #lines: string[] = [];
  #taken = 0;
  /** What has been read of the next one. */
  #begun = '';
  #position: number | null;

  /** @param position where to begin; without one, where the handle stands, as a pipe needs it */
  constructor(handle: number, position: number | null = null) {
    this.#handle = handle;
    this.#position = position;
  }

  /** The next line without its newline; undefined at the end. */
  readonly next = (): string | undefined => {
    while (this.#taken === this.#lines.length) {
      const length = readSync(this.#handle, this.#chunk, 0, CHUNK, this.#position);
      if (length === 0) return this.#last();
      if (this.#position !== null) this.#position += length;
      const [first, ...more] = this.#decoder.write(this.#chunk.subarray(0, length)).split('\n');
      const lines = [this.#begun + first, ...more];
      this.#begun = lines.pop()!;
      this.#lines = lines;
      this.#taken = 0;
    }
    return this.#lines[this.#taken++];
  };

  /** A last line needs no newline. */
  #last(): string | undefined {
    const rest = this.#begun;
    this.#begun = '';
    return rest === '' ? undefined : rest;
  }
}
