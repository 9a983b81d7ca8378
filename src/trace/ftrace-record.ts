import { Cursor, TraceError } from './bytes.js';
import type { RawRecord } from './raw-record.js';

/** What every record of `ftrace_buffers` begins with (docs/guest-abi.md, "Ring buffers"). */
interface Common {
  /** Position in the ring buffer. */
  readonly at: number;
  readonly pid: number;
  readonly tid: number;
  /** Nanoseconds. */
  readonly time: bigint;
  /** The cookie of the entry; 0 where the request was refused. */
  readonly cookie: bigint;
}
export interface FtraceEnter extends Common {
  readonly type: 'sys_enter';
  readonly nr: number;
  readonly args: readonly bigint[];
}
export interface FtraceExit extends Common {
  readonly type: 'sys_exit';
  readonly nr: number;
  readonly result: bigint;
}
export interface FtraceStack extends Common {
  readonly type: 'user_unwind_stack';
  readonly ips: readonly bigint[];
}
/** A request from a call of `trace_probe` that the host has put somewhere. */
export interface FtraceProbe extends Common {
  readonly type: 'probe';
  /** The instruction before which it was called. */
  readonly ip: bigint;
}
export type FtraceRecord = FtraceEnter | FtraceExit | FtraceStack | FtraceProbe;

type Body = (cursor: Cursor, common: Common) => FtraceRecord;

/** A system call's number; a program may ask for any, and -1 is one that it may ask for. */
const numberOf = (word: bigint): number => Number(BigInt.asIntN(32, word));

/** Record type to its name and what follows the common part. */
const BODIES: Readonly<Record<number, readonly [FtraceRecord['type'], Body]>> = {
  1: [
    'sys_enter',
    (cursor, common) => ({ type: 'sys_enter', ...common, nr: numberOf(cursor.u64()), args: cursor.words(6) }),
  ],
  2: [
    'sys_exit',
    (cursor, common) => ({ type: 'sys_exit', ...common, nr: numberOf(cursor.u64()), result: cursor.i64() }),
  ],
  3: [
    'user_unwind_stack',
    (cursor, common) => ({ type: 'user_unwind_stack', ...common, ips: cursor.words(cursor.count()) }),
  ],
  4: ['probe', (cursor, common) => ({ type: 'probe', ...common, ip: cursor.u64() })],
};

/** @throws {TraceError} where the record is of an unknown type, or shorter or longer than its type says */
export function decodeFtrace({ type, at, body }: RawRecord): FtraceRecord {
  const known = BODIES[type];
  if (known === undefined) throw new TraceError(at, `expected a record of type 1 to 4, found ${type}`);
  const [name, decode] = known;
  const cursor = new Cursor(body, name, at + 8);
  const [pid, tid, time, cookie] = [cursor.u32(), cursor.u32(), cursor.u64(), cursor.u64()];
  const record = decode(cursor, { at, pid, tid, time, cookie });
  cursor.end();
  return record;
}
