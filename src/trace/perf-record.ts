import { Cursor, TraceError } from './bytes.js';
import { MISC, RECORD, RECORD_USER_TYPE_START, SAMPLE } from './perf-abi.js';
import type { RawRecord } from './raw-record.js';

/** What `perf_event_attr` says about the layout of records. */
export interface PerfLayout {
  /** A mask of {@link SAMPLE} bits. */
  readonly sampleType: bigint;
  /** Whether records other than samples end with a sample_id. */
  readonly sampleIdAll: boolean;
}

/** The layout of this project's kernel (docs/guest-abi.md, "Ring buffers"). */
export const GUEST_LAYOUT: PerfLayout = {
  sampleType: SAMPLE.IP | SAMPLE.TID | SAMPLE.TIME | SAMPLE.CPU | SAMPLE.PERIOD | SAMPLE.CALLCHAIN,
  sampleIdAll: true,
};

/** What every record tells: the task it was written in, and when and where. What the layout leaves out is not there. */
interface Common {
  /** Position of the record in its file or ring buffer. */
  readonly at: number;
  /** Process, -1 for none. */
  readonly pid: number;
  /** Thread, -1 for none. */
  readonly tid: number;
  /** Nanoseconds; 0 where the record says nothing. */
  readonly time: bigint;
  readonly cpu?: number;
  /** Number of the event that wrote the record. */
  readonly id?: bigint;
}
/** Taken in kernel code, in user code, or neither. */
export type CpuMode = 'kernel' | 'user' | 'other';

export interface PerfSample extends Common {
  readonly type: 'sample';
  readonly mode: CpuMode;
  readonly ip?: bigint;
  readonly addr?: bigint;
  readonly period?: bigint;
  /** As recorded, with context markers; `splitChain` reads it. */
  readonly callchain: readonly bigint[];
}
export interface PerfDeferred extends Common {
  readonly type: 'deferred';
  readonly cookie: bigint;
  readonly ips: readonly bigint[];
}
export interface PerfComm extends Common {
  readonly type: 'comm';
  readonly comm: string;
  readonly exec: boolean;
}
export interface PerfMmap extends Common {
  readonly type: 'mmap';
  readonly mode: CpuMode;
  readonly address: bigint;
  readonly length: bigint;
  /** Offset of the mapping in its file. */
  readonly pgoff: bigint;
  readonly executable: boolean;
  readonly file: string;
}
/** A task begins or ends; `ppid` and `ptid` name its parent. */
export interface PerfTask extends Common {
  readonly type: 'fork' | 'exit';
  readonly ppid: number;
  readonly ptid: number;
}
export interface PerfLost extends Common {
  readonly type: 'lost';
  readonly lost: bigint;
}
/** A record that is not decoded. */
export interface PerfOther extends Common {
  readonly type: 'other';
  readonly number: number;
}
export type PerfRecord = PerfSample | PerfDeferred | PerfComm | PerfMmap | PerfTask | PerfLost | PerfOther;

type Body = (cursor: Cursor, common: Common, raw: RawRecord) => PerfRecord;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const DECODED = Object.values(SAMPLE).reduce((mask, bit) => mask | bit) & ~SAMPLE.READ;

/**
 * A decoder for records of one layout.
 * @throws {TraceError} here, where the layout asks for sample fields that are not decoded; the decoder itself throws one
 * for a record that is shorter or longer than its layout.
 */
export function perfDecoder(layout: PerfLayout): (raw: RawRecord) => PerfRecord {
  const unknown = layout.sampleType & ~DECODED;
  if (unknown !== 0n)
    throw new TraceError(
      0,
      `expected a sample_type of IP, TID, TIME, ADDR, ID, CPU, PERIOD, STREAM_ID, IDENTIFIER and CALLCHAIN, found also 0x${unknown.toString(16)}`,
    );
  const trailer = sampleIdSize(layout);
  return (raw) => {
    const { type, body, at } = raw;
    if (type === RECORD.SAMPLE) {
      const cursor = new Cursor(body, 'SAMPLE', at + 8);
      const sample = readSample(cursor, layout.sampleType, raw);
      cursor.end();
      return sample;
    }
    const [name, decode] = BODIES[type] ?? [`record type ${type}`, undefined];
    const bodyLength = type < RECORD_USER_TYPE_START ? body.length - trailer : body.length;
    if (bodyLength < 0)
      throw new TraceError(at, `expected a sample_id of ${trailer} bytes in ${name}, found ${body.length}`);
    const common: Mutable<Common> = { at, pid: -1, tid: -1, time: 0n };
    if (layout.sampleIdAll && type < RECORD_USER_TYPE_START)
      readTrailer(
        new Cursor(body.subarray(bodyLength), name, at + 8 + bodyLength),
        layout.sampleType,
        common,
      );
    if (decode === undefined) return { type: 'other', number: type, ...common };
    const cursor = new Cursor(body.subarray(0, bodyLength), name, at + 8);
    const record = decode(cursor, common, raw);
    cursor.end();
    return record;
  };
}

/** Bytes of the sample_id that ends every record but samples. */
export function sampleIdSize({ sampleType, sampleIdAll }: PerfLayout): number {
  const fields = [SAMPLE.TID, SAMPLE.TIME, SAMPLE.ID, SAMPLE.STREAM_ID, SAMPLE.CPU, SAMPLE.IDENTIFIER];
  return sampleIdAll ? 8 * fields.filter((bit) => (sampleType & bit) !== 0n).length : 0;
}

/** The sample_id that ends a record: the same fields as in a sample, in an order of their own. */
function readTrailer(cursor: Cursor, sampleType: bigint, into: Mutable<Common>): void {
  const has = (bit: bigint) => (sampleType & bit) !== 0n;
  if (has(SAMPLE.TID)) readTask(cursor, into);
  if (has(SAMPLE.TIME)) into.time = cursor.u64();
  if (has(SAMPLE.ID)) into.id = cursor.u64();
  if (has(SAMPLE.STREAM_ID)) cursor.skip(8);
  if (has(SAMPLE.CPU)) readCpu(cursor, into);
  if (has(SAMPLE.IDENTIFIER)) into.id = cursor.u64();
}

function readSample(cursor: Cursor, sampleType: bigint, { at, misc }: RawRecord): PerfSample {
  const has = (bit: bigint) => (sampleType & bit) !== 0n;
  const sample: Mutable<PerfSample> = {
    type: 'sample',
    at,
    mode: modeOf(misc),
    pid: -1,
    tid: -1,
    time: 0n,
    callchain: [],
  };
  if (has(SAMPLE.IDENTIFIER)) sample.id = cursor.u64();
  if (has(SAMPLE.IP)) sample.ip = cursor.u64();
  if (has(SAMPLE.TID)) readTask(cursor, sample);
  if (has(SAMPLE.TIME)) sample.time = cursor.u64();
  if (has(SAMPLE.ADDR)) sample.addr = cursor.u64();
  if (has(SAMPLE.ID)) sample.id = cursor.u64();
  if (has(SAMPLE.STREAM_ID)) cursor.skip(8);
  if (has(SAMPLE.CPU)) readCpu(cursor, sample);
  if (has(SAMPLE.PERIOD)) sample.period = cursor.u64();
  if (has(SAMPLE.CALLCHAIN)) sample.callchain = cursor.words(cursor.count());
  return sample;
}

function readTask(cursor: Cursor, into: Mutable<Common>): void {
  into.pid = cursor.i32();
  into.tid = cursor.i32();
}
function readCpu(cursor: Cursor, into: Mutable<Common>): void {
  into.cpu = cursor.u32();
  cursor.skip(4);
}

function modeOf(misc: number): CpuMode {
  const mode = misc & MISC.CPUMODE_MASK;
  return mode === MISC.KERNEL ? 'kernel' : mode === MISC.USER ? 'user' : 'other';
}

const mmapStart = (cursor: Cursor) => ({
  pid: cursor.i32(),
  tid: cursor.i32(),
  address: cursor.u64(),
  length: cursor.u64(),
  pgoff: cursor.u64(),
});
const PROT_EXEC = 4;

const task =
  (type: 'fork' | 'exit'): Body =>
  (cursor, common) => {
    const [pid, ppid, tid, ptid] = [cursor.i32(), cursor.i32(), cursor.i32(), cursor.i32()];
    const time = cursor.u64();
    return { type, ...common, time: common.time || time, pid, tid, ppid, ptid };
  };

/** Record type to its name and the decoder of its body, without the sample_id. */
const BODIES: Readonly<Record<number, readonly [string, Body]>> = {
  [RECORD.MMAP]: [
    'MMAP',
    (cursor, common, { misc }) => ({
      type: 'mmap',
      ...common,
      ...mmapStart(cursor),
      mode: modeOf(misc),
      executable: (misc & MISC.BIT_13) === 0,
      file: cursor.text(cursor.left),
    }),
  ],
  [RECORD.MMAP2]: [
    'MMAP2',
    (cursor, common, { misc }) => {
      const start = mmapStart(cursor);
      cursor.skip(24); // device and inode, or build id
      const prot = cursor.u32();
      cursor.skip(4); // MAP_ flags
      const executable = modeOf(misc) === 'kernel' || (prot & PROT_EXEC) !== 0;
      return {
        type: 'mmap',
        ...common,
        ...start,
        mode: modeOf(misc),
        executable,
        file: cursor.text(cursor.left),
      };
    },
  ],
  [RECORD.LOST]: [
    'LOST',
    (cursor, common) => {
      const id = cursor.u64();
      return { type: 'lost', ...common, id, lost: cursor.u64() };
    },
  ],
  [RECORD.COMM]: [
    'COMM',
    (cursor, common, { misc }) => {
      const [pid, tid] = [cursor.i32(), cursor.i32()];
      const exec = (misc & MISC.BIT_13) !== 0;
      return { type: 'comm', ...common, pid, tid, exec, comm: cursor.text(cursor.left) };
    },
  ],
  [RECORD.FORK]: ['FORK', task('fork')],
  [RECORD.EXIT]: ['EXIT', task('exit')],
  [RECORD.CALLCHAIN_DEFERRED]: [
    'CALLCHAIN_DEFERRED',
    (cursor, common) => {
      const cookie = cursor.u64();
      return { type: 'deferred', ...common, cookie, ips: cursor.words(cursor.count()) };
    },
  ],
};
