import { TraceError } from './bytes.js';

/** A record before its body is decoded. The header is perf's: u32 type, u16 misc, u16 size of the whole record. */
export interface RawRecord {
  readonly type: number;
  readonly misc: number;
  /** Position of the header in its file or ring buffer. */
  readonly at: number;
  readonly body: Uint8Array;
}

const HEADER = 8;

/**
 * The bytes between `tail` and `head` of a ring buffer, in one piece.
 * @param data the buffer's data area; position modulo its length is the place
 * @param tail position of the first byte not yet read
 * @param head position after the last byte written
 * @throws {TraceError} where head and tail cannot belong to this buffer
 */
export function unwrap(data: Uint8Array, tail: number, head: number): Uint8Array {
  const length = head - tail;
  if (length < 0 || length > data.length)
    throw new TraceError(
      tail,
      `expected data_head within ${data.length} bytes after data_tail, found it ${length} after`,
    );
  if (length === 0) return new Uint8Array(0);
  const from = tail % data.length;
  const out = new Uint8Array(length);
  const first = data.subarray(from, from + length);
  out.set(first);
  out.set(data.subarray(0, length - first.length), first.length);
  return out;
}

/**
 * Cuts bytes into records.
 * @param at position of the first byte
 * @throws {TraceError} at a record whose size is impossible or which is cut off
 */
export function* rawRecords(bytes: Uint8Array, at = 0): Generator<RawRecord> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset < bytes.length; ) {
    const left = bytes.length - offset;
    if (left < HEADER)
      throw new TraceError(at + offset, `expected a record header of ${HEADER} bytes, found ${left}`);
    const size = view.getUint16(offset + 6, true);
    if (size < HEADER || size % 8 !== 0)
      throw new TraceError(at + offset, `expected a record size that is a multiple of 8, found ${size}`);
    if (size > left) throw new TraceError(at + offset, `expected a record of ${size} bytes, found ${left}`);
    yield {
      type: view.getUint32(offset, true),
      misc: view.getUint16(offset + 4, true),
      at: at + offset,
      body: bytes.subarray(offset + HEADER, offset + size),
    };
    offset += size;
  }
}
