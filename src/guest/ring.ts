import type { KernelAddr } from '../../emu/memory/address.js';
import { after, type GuestLayout } from './layout.js';
import { GuestError } from './reader.js';

/** Turns the bytes of whole records into records; `at` is the position of the first byte. */
export type DecodeRecords<T> = (bytes: Uint8Array, at: number) => Iterable<T>;

export interface Drained<T> {
  readonly records: readonly T[];
  /** What the reader has to write to `tailAddress`, so that the kernel may reuse the room. */
  readonly tail: bigint;
  readonly tailAddress: KernelAddr;
  /** Records that were dropped for want of room and not told by a LOST record yet. */
  readonly lost: bigint;
}

/**
 * Reads one ring buffer from data_tail to data_head (docs/guest-abi.md, "Ring buffers"). Head and tail only grow; a
 * position modulo the size of the data area is a place in it.
 *
 * The guest must be stopped outside the writer, or the head may tell of a record that is half written: at
 * `trace_record`, in user mode, or after power-off.
 */
export class RingReader<T> {
  readonly #layout: GuestLayout;
  readonly #address: KernelAddr;
  readonly #decode: DecodeRecords<T>;

  /** @param address the buffer's header */
  constructor(layout: GuestLayout, address: KernelAddr, decode: DecodeRecords<T>) {
    this.#layout = layout;
    this.#address = address;
    this.#decode = decode;
  }

  /**
   * What has been written since data_tail.
   * @throws {GuestError} where head and tail cannot be; what `decode` throws passes through
   */
  drain(): Drained<T> {
    const at = (name: string) => this.#layout.constant(`BUFFER_${name}`);
    const header = this.#layout.read(this.#address, at('data'), 'a ring buffer');
    const word = (name: string) => header.getBigUint64(at(name), true);
    const [head, tail] = [word('head'), word('tail')];
    const waiting = head - tail;
    if (waiting < 0n || waiting > BigInt(at('DATA_SIZE')))
      throw new GuestError(
        `expected data_head of the ring buffer at 0x${this.#address.toString(16)} at most ${at('DATA_SIZE')} bytes after data_tail, found ${waiting}`,
      );
    return {
      records: [...this.#decode(this.#read(tail, Number(waiting)), Number(tail))],
      tail: head,
      tailAddress: after(this.#address, at('tail')),
      lost: word('lost'),
    };
  }

  /** `length` bytes from `position` on, in one piece although they may go around the end. */
  #read(position: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    const size = this.#layout.constant('BUFFER_DATA_SIZE');
    const data = after(this.#address, this.#layout.constant('BUFFER_data'));
    let place = Number(position % BigInt(size));
    for (let done = 0; done < length; place = 0) {
      const piece = this.#layout.read(
        after(data, place),
        Math.min(length - done, size - place),
        'ring buffer data',
      );
      out.set(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), done);
      done += piece.byteLength;
    }
    return out;
  }
}
