import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TraceError } from '../../src/trace/bytes.js';
import { splitChain } from '../../src/trace/callchain.js';
import { CONTEXT, SAMPLE } from '../../src/trace/perf-abi.js';
import { GUEST_LAYOUT, perfDecoder } from '../../src/trace/perf-record.js';
import { rawRecords } from '../../src/trace/raw-record.js';
import { record, sampleId, text, u32, u64 } from './records.js';

const decodeGuest = perfDecoder(GUEST_LAYOUT);
const decode = (bytes: Uint8Array, at = 0) => [...rawRecords(bytes, at)].map(decodeGuest);
const id = sampleId(1, 2, 500, 1);
const who = { pid: 1, tid: 2, time: 500n, cpu: 1 };
const chain = [u64(CONTEXT.USER_DEFERRED), u64(0x3_0000_0001n)];

/** Each record of docs/guest-abi.md, "Ring buffers". */
const rows = [
  {
    name: 'SAMPLE',
    bytes: record(9, 2, u64(0x401000), u32(1), u32(2), u64(500), u32(1), u32(0), u64(7), u64(2), ...chain),
    expected: {
      type: 'sample',
      mode: 'user',
      ip: 0x401000n,
      period: 7n,
      callchain: [CONTEXT.USER_DEFERRED, 0x3_0000_0001n],
    },
  },
  {
    name: 'CALLCHAIN_DEFERRED',
    bytes: record(22, 2, u64(0x3_0000_0001n), u64(2), u64(0x401000), u64(0), ...id),
    expected: { type: 'deferred', cookie: 0x3_0000_0001n, ips: [0x401000n, 0n] },
  },
  {
    name: 'CALLCHAIN_DEFERRED, empty',
    bytes: record(22, 2, u64(5), u64(0), ...id),
    expected: { type: 'deferred', cookie: 5n, ips: [] },
  },
  {
    name: 'COMM',
    bytes: record(3, 0, u32(1), u32(2), text('init'), ...id),
    expected: { type: 'comm', comm: 'init', exec: false },
  },
  {
    name: 'MMAP',
    bytes: record(
      1,
      2,
      u32(1),
      u32(2),
      u64(0x401000),
      u64(0x1000),
      u64(0x1000),
      text('build/user/init'),
      ...id,
    ),
    expected: {
      type: 'mmap',
      mode: 'user',
      address: 0x401000n,
      length: 0x1000n,
      pgoff: 0x1000n,
      executable: true,
      file: 'build/user/init',
    },
  },
  {
    name: 'FORK',
    bytes: record(7, 0, u32(1), u32(8), u32(2), u32(9), u64(400), ...id),
    expected: { type: 'fork', ppid: 8, ptid: 9 },
  },
  {
    name: 'EXIT',
    bytes: record(4, 0, u32(1), u32(8), u32(2), u32(9), u64(400), ...id),
    expected: { type: 'exit', ppid: 8, ptid: 9 },
  },
  {
    name: 'LOST',
    bytes: record(2, 0, u64(0), u64(17), ...id),
    expected: { type: 'lost', lost: 17n, id: 0n },
  },
  { name: 'an unknown type', bytes: record(33, 0, u64(0), ...id), expected: { type: 'other', number: 33 } },
];

describe('one record of each type', () => {
  test.each(rows)('$name', ({ bytes, expected }) => {
    expect(decode(bytes, 0x40)).toEqual([{ at: 0x40, ...who, ...expected }]);
  });
});

test('records follow one another', () => {
  const all = Buffer.concat(rows.map(({ bytes }) => bytes));
  expect(decode(all).map(({ type }) => type)).toEqual(rows.map(({ expected }) => expected.type));
});

describe('input that is not a record', () => {
  const good = rows[0]!.bytes;
  const withSize = (size: number) => {
    const bytes = Buffer.from(good);
    bytes.writeUInt16LE(size, 6);
    return bytes;
  };
  const nr = Buffer.from(good);
  nr.writeBigUInt64LE(1000n, 8 + 40);
  test.each([
    ['half a header', good.subarray(0, 4), 'at 0x100: expected a record header of 8 bytes, found 4'],
    ['a torn record', good.subarray(0, 40), `at 0x100: expected a record of ${good.length} bytes, found 40`],
    ['a size of 0', withSize(0), 'at 0x100: expected a record size that is a multiple of 8, found 0'],
    ['an odd size', withSize(13), 'at 0x100: expected a record size that is a multiple of 8, found 13'],
    ['more entries than the record holds', nr, 'at 0x138: expected 8000 more bytes of SAMPLE, found 16'],
    [
      'no room for the sample_id',
      record(3, 0, u64(1)),
      'at 0x100: expected a sample_id of 24 bytes in COMM, found 8',
    ],
    [
      'a record longer than its type',
      record(2, 0, u64(0), u64(1), u64(2), ...id),
      'at 0x118: expected the end of LOST, found 8 more bytes',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => decode(bytes, 0x100)).toThrow(message);
  });

  test('bytes at random end in records or in a TraceError, and in nothing else', () => {
    const damaged = fc.tuple(fc.nat({ max: good.length * 8 - 1 }), fc.nat({ max: good.length }));
    fc.assert(
      fc.property(fc.array(damaged, { maxLength: 4 }), fc.nat({ max: good.length }), (flips, length) => {
        const bytes = Buffer.from(good);
        for (const [bit] of flips) bytes[bit >> 3]! ^= 1 << (bit & 7);
        try {
          decode(bytes.subarray(0, length));
        } catch (error) {
          expect(error).toBeInstanceOf(TraceError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

test('a layout with fields that are not decoded is refused at once', () => {
  expect(() => perfDecoder({ sampleType: SAMPLE.IP | (1n << 10n), sampleIdAll: true })).toThrow(
    /found also 0x400$/,
  );
});

test('the order of fields with IDENTIFIER, ADDR, ID and STREAM_ID', () => {
  const { IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU } = SAMPLE;
  const sampleType = IDENTIFIER | IP | TID | TIME | ADDR | ID | STREAM_ID | CPU;
  const body = [u64(70), u64(0x10), u32(1), u32(2), u64(500), u64(0xadd), u64(71), u64(72), u32(3), u32(0)];
  const [sample] = [...rawRecords(record(9, 1, ...body))].map(
    perfDecoder({ sampleType, sampleIdAll: false }),
  );
  expect(sample).toEqual({
    type: 'sample',
    at: 0,
    mode: 'kernel',
    ip: 0x10n,
    pid: 1,
    tid: 2,
    time: 500n,
    addr: 0xaddn,
    id: 71n,
    cpu: 3,
    callchain: [],
  });
});

describe('a chain, taken apart', () => {
  const { KERNEL, USER, USER_DEFERRED } = CONTEXT;
  const K = 0xffff_ffff_8100_0000n;
  test.each([
    [
      'kernel and deferred',
      [KERNEL, K, K + 1n, USER_DEFERRED, 5n],
      { kernel: [K, K + 1n], user: [], cookie: 5n },
    ],
    ['user, deferred', [USER_DEFERRED, 5n], { kernel: [], user: [], cookie: 5n }],
    ['refused: kernel and user at once', [KERNEL, K, USER, 0x401n], { kernel: [K], user: [0x401n] }],
    ['refused: kernel alone', [KERNEL, K], { kernel: [K], user: [] }],
    ['nothing', [], { kernel: [], user: [] }],
    [
      'a garbage user address that looks like a marker',
      [USER, 0x401n, 0xffff_ffff_ffff_ffffn, 0x402n],
      {
        kernel: [],
        user: [0x401n, 0xffff_ffff_ffff_ffffn, 0x402n],
      },
    ],
    [
      'a cookie of any value',
      [USER_DEFERRED, USER_DEFERRED],
      { kernel: [], user: [], cookie: USER_DEFERRED },
    ],
  ])('%s', (_, entries, chain) => expect(splitChain(entries)).toEqual(chain));
});
