/** Builds a line of ASCII in place: at millions of lines, strings put together from parts would cost more than all else. */

const LONGEST = 256;
const BLANK = 0x20;
const ZERO = 0x30;
const HEX = Buffer.from('0123456789abcdef');
/** What a 32-bit number holds in decimal digits for certain. */
const BILLION = 1e9;
const DECIMALS_OF_BILLION = 9;
const NIBBLES = 8;

export class LineBuilder {
  readonly #bytes = Buffer.alloc(LONGEST);
  #length = 0;

  byte(value: number): void {
    this.#bytes[this.#length++] = value;
  }

  blank(): void {
    this.byte(BLANK);
  }

  text(text: string): void {
    this.#length += this.#bytes.write(text, this.#length, 'latin1');
  }

  /** A whole number from 0 to 2^53 - 1. */
  decimal(value: number): void {
    if (value < BILLION) this.#digits(value, 1);
    else {
      this.#digits(Math.floor(value / BILLION), 1);
      this.#digits(value % BILLION, DECIMALS_OF_BILLION);
    }
  }

  /** At least `least` digits. */
  #digits(value: number, least: number): void {
    let count = least;
    for (let bound = 10 ** least; value >= bound; bound *= 10) count++;
    let left = value;
    for (let at = this.#length + count - 1; at >= this.#length; at--) {
      const rest = (left / 10) | 0;
      this.#bytes[at] = ZERO + left - rest * 10;
      left = rest;
    }
    this.#length += count;
  }

  /** A number of 32 bits with at least `least` digits. */
  hex(value: number, least = 1): void {
    const count = Math.max(least, NIBBLES - (Math.clz32(value) >>> 2));
    for (let shift = 4 * (count - 1); shift >= 0; shift -= 4) this.byte(HEX[(value >>> shift) & 0xf]!);
  }

  /** The line; the next one begins. */
  take(): string {
    const line = this.#bytes.toString('latin1', 0, this.#length);
    this.#length = 0;
    return line;
  }
}
