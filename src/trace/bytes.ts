/**
 * Input that is not what its format says: torn, cut off, or of a kind that is not decoded. `at` is the position of the
 * fault in its file or ring buffer.
 */
export class TraceError extends Error {
  override name = 'TraceError';
  readonly at: number;
  constructor(at: number, message: string) {
    super(`at 0x${at.toString(16)}: ${message}`);
    this.at = at;
  }
}

/**
 * Reads little-endian fields one after the other. `what` names the thing being read and `start` is the position of
 * its first byte; both are for the error alone.
 */
export class Cursor {
  readonly #view: DataView;
  readonly #what: string;
  readonly #start: number;
  #next = 0;

  constructor(bytes: Uint8Array, what: string, start: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#start = start;
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#view.byteLength - this.#next;
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }
  /** A u64 that counts bytes or elements. @throws {TraceError} where it is beyond 2^53. */
  count(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw this.#error(`expected a length or a count, found 0x${value.toString(16)}`);
    return Number(value);
  }
  /** `count` u64 words. */
  words(count: number): bigint[] {
    const from = this.#take(8 * count);
    return Array.from({ length: count }, (_, index) => this.#view.getBigUint64(from + 8 * index, true));
  }
  /** Text in a field of `length` bytes, up to the first NUL. */
  text(length: number): string {
    const { buffer, byteOffset } = this.#view;
    const field = new Uint8Array(buffer, byteOffset + this.#take(length), length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  }
  skip(length: number): void {
    this.#take(length);
  }
  /** @throws {TraceError} where something is left over. */
  end(): void {
    if (this.left !== 0)
      throw this.#error(`expected the end of ${this.#what}, found ${this.left} more bytes`);
  }

  #take(length: number): number {
    if (length > this.left)
      throw this.#error(`expected ${length} more bytes of ${this.#what}, found ${this.left}`);
    const from = this.#next;
    this.#next += length;
    return from;
  }
  #error(message: string): TraceError {
    return new TraceError(this.#start + this.#next, message);
  }
}
