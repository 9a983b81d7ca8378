import { describe, expect, test } from 'vitest';
import { chromeTrace } from '../../src/trace/chrome-trace.js';
import { collapsed } from '../../src/trace/collapsed.js';
import { decodeFtrace } from '../../src/trace/ftrace-record.js';
import { jsonLine } from '../../src/trace/json.js';
import { Maps } from '../../src/trace/maps.js';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import type { PerfRecord } from '../../src/trace/perf-record.js';
import { perfScript } from '../../src/trace/perf-script.js';
import { rawRecords } from '../../src/trace/raw-record.js';
import { type SampleStitcher, type StackEvent, stacks } from '../../src/trace/stacks.js';
import type { CallEvent } from '../../src/trace/syscalls.js';
import { stitchAsPerf, stitchComplete } from '../../src/unwind/stitch.js';
import { record, u32, u64 } from './records.js';

const KERNEL = 0xffff_ffff_8100_0010n;
const who = { at: 0, pid: 1, tid: 1, cpu: 0 };
const sample = (time: bigint, cookie?: bigint, ...user: bigint[]): PerfRecord => ({
  type: 'sample',
  ...who,
  time,
  mode: 'kernel',
  period: 100n,
  callchain: [
    CONTEXT.KERNEL,
    KERNEL,
    ...(user.length > 0 ? [CONTEXT.USER, ...user] : []),
    ...(cookie === undefined ? [] : [CONTEXT.USER_DEFERRED, cookie]),
  ],
});
const deferred = (time: bigint, cookie: bigint, ...ips: bigint[]): PerfRecord => ({
  type: 'deferred',
  ...who,
  time,
  cookie,
  ips,
});
const records: readonly PerfRecord[] = [
  { type: 'comm', ...who, time: 0n, comm: 'init', exec: false },
  sample(1000n, 3n),
  deferred(2000n, 3n, 0x401000n, 0x402000n),
  sample(3000n, 3n),
  sample(4000n),
  sample(5000n, undefined, 0x403000n),
  { type: 'lost', ...who, time: 6000n, lost: 4n },
  sample(7000n, 5n),
  deferred(8000n, 7n),
];
const names = new Map([
  [KERNEL, 'do_work'],
  [0x401000n, 'leaf;odd'],
  [0x402000n, 'main'],
  [0x403000n, 'other'],
]);
const symbols = {
  resolve: (address: bigint) => {
    const name = names.get(address);
    return name === undefined ? undefined : { name, offset: 0n };
  },
};
const withImage: PerfRecord = {
  type: 'mmap',
  ...who,
  time: 0n,
  mode: 'user',
  address: 0x400000n,
  length: 0x10000n,
  pgoff: 0n,
  executable: true,
  file: 'init.elf',
};

const told = (stitcher?: SampleStitcher): StackEvent[] => [
  ...stacks([withImage, ...records], {
    maps: new Maps({ kernel: symbols, symbolsOf: () => symbols }),
    eventName: () => 'cpu-clock',
    ...(stitcher && { stitcher }),
  }),
];
const summary = (events: readonly StackEvent[]) =>
  events.map((event) => {
    const what =
      event.kind === 'sample' ? event.userHalf : event.kind === 'deferred' ? event.why : event.lost;
    return `${event.time} ${event.kind} ${what}`;
  });

describe('what becomes of each half', () => {
  test('complete', () => {
    expect(summary(told(stitchComplete()))).toEqual([
      '1000 sample stitched',
      '3000 sample late',
      '4000 sample none',
      '5000 sample immediate',
      '6000 lost 4',
      '7000 sample no-record',
      '8000 deferred orphan',
    ]);
  });
  test('as perf', () => {
    expect(summary(told(stitchAsPerf()))).toEqual([
      '1000 sample stitched',
      '4000 sample none',
      '5000 sample immediate',
      '6000 lost 4',
      '3000 sample passed-over',
      '7000 sample passed-over',
    ]);
  });
  test('apart', () => {
    expect(summary(told())).toEqual([
      '1000 sample apart',
      '2000 deferred apart',
      '3000 sample apart',
      '4000 sample none',
      '5000 sample immediate',
      '6000 lost 4',
      '7000 sample apart',
      '8000 deferred apart',
    ]);
  });
});

test('perf script with CPU and cookie', () => {
  const [first] = told(stitchComplete());
  expect(perfScript(first!, { cookies: true })).toBe(
    [
      'init       1 [000]     0.000001:        100 cpu-clock: (cookie 3)',
      '\tffffffff81000010 do_work+0x0 ([kernel.kallsyms])',
      '\t          401000 leaf;odd+0x0 (init.elf)',
      '\t          402000 main+0x0 (init.elf)',
      '',
      '',
    ].join('\n'),
  );
});

test('collapsed stacks', () => {
  expect(collapsed(told(stitchComplete()))).toBe(
    [
      'init;[no user stack];do_work_[k] 1',
      'init;do_work_[k] 1',
      'init;main;leaf:odd;do_work_[k] 2',
      'init;other;do_work_[k] 1',
      '',
    ].join('\n'),
  );
});

test('a time line of calls and samples', () => {
  const call: CallEvent = {
    kind: 'leave',
    pid: 1,
    tid: 1,
    time: 2500n,
    nr: 3,
    name: 'close',
    args: [{ name: 'fd', value: 3n, text: '3' }],
    told: 1,
    result: { returned: 0n, text: '0' },
    duration: 1500n,
  };
  const { traceEvents } = JSON.parse(chromeTrace([call, told(stitchComplete())[0]!]));
  expect(traceEvents).toEqual([
    { ph: 'X', name: 'close', pid: 1, tid: 1, ts: 1, dur: 1.5, args: { fd: '3', result: '0' } },
    {
      ph: 'i',
      s: 't',
      name: 'cpu-clock',
      pid: 1,
      tid: 1,
      ts: 1,
      args: { stack: ['do_work', 'leaf;odd', 'main'] },
    },
    { ph: 'M', name: 'thread_name', pid: 1, tid: 1, args: { name: 'init' } },
  ]);
});

test('JSON of a sample', () => {
  const [first] = told(stitchComplete());
  expect(JSON.parse(jsonLine(first!))).toMatchObject({
    kind: 'sample',
    comm: 'init',
    time: 1000,
    period: 100,
    cookie: '0x3',
    userHalf: 'stitched',
    kernel: [
      { ip: '0xffffffff81000010', image: '[kernel.kallsyms]', symbol: 'do_work', symbolOffset: '0x0' },
    ],
  });
});

describe('records of ftrace_buffers', () => {
  const common = [u32(1), u32(2), u64(500), u64(0x3_0000_0001n)];
  const decode = (bytes: Uint8Array) => [...rawRecords(bytes)].map(decodeFtrace);
  const base = { at: 0, pid: 1, tid: 2, time: 500n, cookie: 0x3_0000_0001n };
  test.each([
    [
      'sys_enter',
      record(1, 0, ...common, u64(1), ...[1, 2, 3, 4, 5, 6].map(u64)),
      { nr: 1, args: [1n, 2n, 3n, 4n, 5n, 6n] },
    ],
    ['sys_exit', record(2, 0, ...common, u64(1), u64(-14)), { nr: 1, result: -14n }],
    ['user_unwind_stack', record(3, 0, ...common, u64(2), u64(0x401000), u64(0)), { ips: [0x401000n, 0n] }],
    ['probe', record(4, 0, ...common, u64(0xffff_8000)), { ip: 0xffff_8000n }],
  ])('%s', (type, bytes, expected) => expect(decode(bytes)).toEqual([{ type, ...base, ...expected }]));

  test.each([
    ['an unknown type', record(5, 0, ...common), 'at 0x0: expected a record of type 1 to 4, found 5'],
    ['one too short', record(2, 0, ...common, u64(1)), 'at 0x28: expected 8 more bytes of sys_exit, found 0'],
    [
      'one too long',
      record(2, 0, ...common, u64(1), u64(1), u64(1)),
      'expected the end of sys_exit, found 8 more',
    ],
  ])('%s is refused', (_, bytes, message) => expect(() => decode(bytes)).toThrow(message));
});
