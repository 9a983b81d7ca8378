/** Our reader and writers against a recording of Linux 7.2 and what perf 7.2 printed of it. */
import { describe, expect, test } from 'vitest';
import { splitChain } from '../../src/trace/callchain.js';
import { byTime, readPerfData } from '../../src/trace/perf-data.js';
import type { SampleStitcher } from '../../src/trace/stacks.js';
import { stitchAsPerf, stitchComplete } from '../../src/unwind/stitch.js';
import { printedAsPerf } from './as-perf.js';
import { recorded, recordedText } from './recorded.js';

const data = readPerfData(recorded('p1.data'));
const records = byTime(data.records);
const merged = recordedText('perf-script-merged.txt');
const apart = recordedText('perf-script-no-merge.txt');

const print = (stitcher?: SampleStitcher): string => printedAsPerf(data, merged + apart, stitcher);

test('perf script, to the byte', () => {
  expect(print(stitchAsPerf())).toBe(merged);
});

test('perf script --no-merge-callchains, to the byte', () => {
  expect(print()).toBe(apart);
});

test('complete stitching differs from perf in the one late sample alone', () => {
  const split = (text: string) => new Set(text.split('\n\n'));
  const [ours, theirs] = [split(print(stitchComplete())), split(merged)];
  const onlyOurs = [...ours].filter((stack) => !theirs.has(stack));
  const onlyTheirs = [...theirs].filter((stack) => !ours.has(stack));
  expect(onlyTheirs.map((stack) => stack.split('\n').at(-1))).toEqual([
    '\t       300000001 [unknown] ([unknown])',
  ]);
  expect(onlyOurs.map((stack) => stack.split('\n').at(-1))).toEqual([
    '\t          401000 _start+0x0 (/usr/bin/prog)',
  ]);
});

describe('perf report -D', () => {
  const report = recordedText('report-D.txt');

  test('knows the same records at the same places and times', () => {
    const type: Readonly<Record<string, string>> = {
      SAMPLE: 'sample',
      CALLCHAIN_DEFERRED: 'deferred',
      COMM: 'comm',
      MMAP2: 'mmap',
      EXIT: 'exit',
    };
    const lines = [...report.matchAll(/^(\d+) (0x[0-9a-f]+) \[0x[0-9a-f]+\]: PERF_RECORD_(\w+)/gm)]
      .map(([, time, at, name]) => ({ at: Number(at), time: BigInt(time!), type: type[name!] }))
      .filter((line) => line.type !== undefined);
    expect(lines.length).toBe(203);
    expect(data.records.map(({ at, time, type }) => ({ at, time, type }))).toEqual(lines);
  });

  test('knows the same chains', () => {
    const chains = report
      .split('... FP chain: nr:')
      .slice(1)
      .map((text) => [...text.matchAll(/^\.{5} +\d+: ([0-9a-f]{16})/gm)].map(([, ip]) => BigInt(`0x${ip}`)));
    const ours = data.records.flatMap((record) =>
      record.type === 'sample' ? [record.callchain] : record.type === 'deferred' ? [record.ips] : [],
    );
    expect(ours).toEqual(chains);
  });
});

test('every sample was promised a user stack, and a user sample holds nothing else', () => {
  for (const record of records) {
    if (record.type !== 'sample') continue;
    const { kernel, user, cookie } = splitChain(record.callchain);
    expect(cookie).toBeDefined();
    expect(user).toEqual([]);
    expect(kernel.length > 0).toBe(record.mode === 'kernel');
  }
});

test('the event is named by the file', () => {
  expect(data.events.map(({ name, ids }) => [name, ids])).toEqual([['cpu-clock', [8n, 9n]]]);
});
