import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { splitChain } from '../../src/trace/callchain.js';
import { Maps } from '../../src/trace/maps.js';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import { byTime, readPerfData } from '../../src/trace/perf-data.js';
import { type Recording, writePerfData } from '../../src/trace/perf-data-writer.js';
import { GUEST_LAYOUT } from '../../src/trace/perf-record.js';
import { perfScript } from '../../src/trace/perf-script.js';
import { rawRecords } from '../../src/trace/raw-record.js';
import { stacks } from '../../src/trace/stacks.js';
import { stitchComplete } from '../../src/unwind/stitch.js';
import { record, sampleId, text, u32, u64 } from './records.js';

const K = 0xffff_ffff_8100_1234n;
const sample = (misc: number, time: number, ip: bigint, ...chain: bigint[]) =>
  record(
    9,
    misc,
    u64(ip),
    u32(7),
    u32(9),
    u64(time),
    u32(1),
    u32(0),
    u64(1000),
    u64(chain.length),
    ...chain.map(u64),
  );

/** What our kernel writes, one record of each type that a sample needs. */
const records = [
  record(3, 0, u32(7), u32(9), text('worker'), ...sampleId(7, 9, 1000, 1)),
  record(
    1,
    2,
    u32(7),
    u32(9),
    u64(0x401000),
    u64(0x1000),
    u64(0x401000), // perf prints addresses by their place in a file that it cannot open
    text('no/such/worker'),
    ...sampleId(7, 9, 2000, 1),
  ),
  sample(1, 3_000_000, K, CONTEXT.KERNEL, K, K + 1n, CONTEXT.USER_DEFERRED, 0x3_0000_0002n),
  record(22, 2, u64(0x3_0000_0002n), u64(2), u64(0x401010), u64(0x401020), ...sampleId(7, 9, 4_000_000, 1)),
  sample(1, 5_000_000, K, CONTEXT.KERNEL, K, K + 1n),
];
const recording: Recording = {
  layout: GUEST_LAYOUT,
  source: 'cpu-clock',
  period: 1000n,
  records: [...rawRecords(Buffer.concat(records))],
  kernel: { start: 0xffff_ffff_8100_0000n, end: 0xffff_ffff_8110_0000n },
};
const file = writePerfData(recording);

const printed = (time: string): string[] => [
  `worker       9 [001]     ${time}:       1000 cpu-clock: `,
  '\tffffffff81001234 [unknown] ([kernel.kallsyms])',
  '\tffffffff81001235 [unknown] ([kernel.kallsyms])',
];

const expected = [
  ...printed('0.003000'),
  '\t          401010 [unknown] (no/such/worker)',
  '\t          401020 [unknown] (no/such/worker)',
  '',
  ...printed('0.005000'),
  '',
  '',
].join('\n');

test('our reader finds what was written', () => {
  const data = readPerfData(file);
  expect(data.events).toMatchObject([{ name: 'cpu-clock', type: 1, config: 0n, layout: GUEST_LAYOUT }]);
  expect(data.records.map(({ type, time }) => [type, time])).toEqual([
    ['mmap', 0n],
    ['comm', 1000n],
    ['mmap', 2000n],
    ['sample', 3_000_000n],
    ['deferred', 4_000_000n],
    ['sample', 5_000_000n],
  ]);
  const events = stacks(byTime(data.records), {
    maps: new Maps(),
    eventName: () => 'cpu-clock',
    stitcher: stitchComplete(),
  });
  expect([...events].map((event) => perfScript(event)).join('')).toBe(expected);
});

/** The same with the stacks inside of the samples. */
const stitchedFile = writePerfData({
  ...recording,
  userStack: ({ callchain }) => (callchain.at(-1) === 0x3_0000_0002n ? [0x401010n, 0x401020n] : undefined),
});

test('samples that carry their stacks need no deferred records', () => {
  const { records } = readPerfData(stitchedFile);
  expect(records.map(({ type }) => type)).toEqual(['mmap', 'comm', 'mmap', 'sample', 'sample']);
  const chains = records.flatMap((entry) => (entry.type === 'sample' ? [splitChain(entry.callchain)] : []));
  expect(chains).toEqual([
    { kernel: [K, K + 1n], user: [0x401010n, 0x401020n] },
    { kernel: [K, K + 1n], user: [] },
  ]);
});

/** All but the symbols: for a kernel, perf takes the names of the one that it runs on. */
const FIELDS = 'comm,tid,cpu,time,period,event,ip,dso';
const perf = spawnSync('perf', ['--version'], { encoding: 'utf8' });
test.skipIf(perf.status !== 0)(
  `perf itself reads it${perf.status === 0 ? '' : ' (skipped: no perf)'}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'unwindlab-perf-'));
    const path = join(folder, 'perf.data');
    writeFileSync(path, stitchedFile);
    const { stdout, stderr } = spawnSync('perf', ['script', '-f', '-F', FIELDS, '-i', path], {
      encoding: 'utf8',
    });
    rmSync(folder, { recursive: true });
    const words = (text: string) => text.replaceAll('[unknown] ', '').replaceAll(/ +/g, ' ').trim();
    expect(words(stdout), stderr).toBe(words(expected));
  },
);
