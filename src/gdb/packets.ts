/**
 * The framing of GDB's remote serial protocol ("Overview", appendix E.1 of the GDB manual): `$BODY#CC`, where CC is the sum of the
 * body's bytes in two hexadecimal digits, and `}` before a byte that has a meaning of its own. Nothing here knows what a body says.
 */

/** What has come in on a connection. */
export type Arrival =
  | { readonly kind: 'packet'; readonly body: Buffer }
  /** A packet whose sum is wrong, or which is longer than `MAX_BODY`. */
  | { readonly kind: 'damaged' }
  | { readonly kind: 'ack' }
  | { readonly kind: 'nak' }
  /** Ctrl-C. */
  | { readonly kind: 'interrupt' };

/** Bytes of the longest body that is taken, before its escapes are undone; told to gdb as PacketSize. */
export const MAX_BODY = 0x4000;

const DOLLAR = 0x24;
const HASH = 0x23;
const PLUS = 0x2b;
const MINUS = 0x2d;
const STAR = 0x2a;
const ESCAPE = 0x7d;
const ESCAPED_BIT = 0x20;
const CTRL_C = 3;
const SPECIAL: ReadonlySet<number> = new Set([DOLLAR, HASH, STAR, ESCAPE]);
const SUM_DIGITS = 2;

/** Takes a stream of bytes apart, however it comes in pieces. Bytes between packets that mean nothing are passed over. */
export class PacketReader {
  #state: 'between' | 'body' | 'sum' = 'between';
  #body: number[] = [];
  #isTooLong = false;
  #sum = '';

  /** What has become complete with these bytes, in their order. */
  feed(bytes: Uint8Array): Arrival[] {
    const arrivals: Arrival[] = [];
    for (const byte of bytes) {
      const arrival = this.#take(byte);
      if (arrival !== undefined) arrivals.push(arrival);
    }
    return arrivals;
  }

  #take(byte: number): Arrival | undefined {
    switch (this.#state) {
      case 'between':
        return this.#between(byte);
      case 'body':
        if (byte === DOLLAR)
          this.#begin(); // what came before was cut off
        else if (byte === HASH) this.#state = 'sum';
        else if (this.#body.length < MAX_BODY) this.#body.push(byte);
        else this.#isTooLong = true;
        return undefined;
      case 'sum':
        this.#sum += String.fromCharCode(byte);
        return this.#sum.length < SUM_DIGITS ? undefined : this.#end();
    }
  }

  #between(byte: number): Arrival | undefined {
    switch (byte) {
      case DOLLAR:
        this.#begin();
        return undefined;
      case PLUS:
        return { kind: 'ack' };
      case MINUS:
        return { kind: 'nak' };
      case CTRL_C:
        return { kind: 'interrupt' };
      default:
        return undefined;
    }
  }

  #begin(): void {
    this.#state = 'body';
    this.#body = [];
    this.#isTooLong = false;
    this.#sum = '';
  }

  #end(): Arrival {
    this.#state = 'between';
    const said = /^[0-9a-f]{2}$/i.test(this.#sum) ? Number.parseInt(this.#sum, 16) : -1;
    if (this.#isTooLong || said !== sumOf(this.#body)) return { kind: 'damaged' };
    return { kind: 'packet', body: unescaped(this.#body) };
  }
}

const sumOf = (bytes: Iterable<number>): number => {
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xff;
  return sum;
};

function unescaped(bytes: readonly number[]): Buffer {
  const out: number[] = [];
  let isEscaped = false;
  for (const byte of bytes) {
    if (byte === ESCAPE && !isEscaped) isEscaped = true;
    else {
      out.push(isEscaped ? byte ^ ESCAPED_BIT : byte);
      isEscaped = false;
    }
  }
  return Buffer.from(out);
}

/** A packet around a body; characters of a string are bytes. */
export function framed(body: string | Uint8Array): Buffer {
  const escaped: number[] = [];
  for (const byte of typeof body === 'string' ? Buffer.from(body, 'latin1') : body) {
    if (SPECIAL.has(byte)) escaped.push(ESCAPE, byte ^ ESCAPED_BIT);
    else escaped.push(byte);
  }
  const sum = sumOf(escaped).toString(16).padStart(SUM_DIGITS, '0');
  return Buffer.concat([Buffer.of(DOLLAR), Buffer.from(escaped), Buffer.from(`#${sum}`)]);
}

/** Bytes written as pairs of hexadecimal digits; undefined for anything else. */
export function fromHex(text: string): Buffer | undefined {
  return text.length % 2 === 0 && /^[0-9a-f]*$/i.test(text) ? Buffer.from(text, 'hex') : undefined;
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A number of at most 64 bits in hexadecimal; undefined for anything else. */
export const hexNumber = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
