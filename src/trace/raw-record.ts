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
 * Cuts bytes into records. What comes from a ring buffer has been put in one piece before (src/guest/ring.ts).
 * @param at position of the first byte in its file or ring buffer
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
