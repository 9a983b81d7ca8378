import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Stitched, type Stitcher, stitchAsPerf, stitchComplete } from '../../src/unwind/stitch.js';

interface Sample {
  readonly id: string;
  readonly tid: number;
  readonly cookie?: bigint | undefined;
}
interface Record_ {
  readonly id: string;
  readonly tid: number;
  readonly cookie: bigint;
  readonly ips: readonly bigint[];
}

/** `s` or `r`, tid, cookie: `s1c3` is a sample of task 1 with cookie 3, `s1` one without, `r1c3` a record. */
function feed(stitcher: Stitcher<Sample, Record_>, stream: string): string[] {
  const out: Stitched<Sample, Record_>[] = [];
  for (const id of stream.split(' ')) {
    const [, kind, tid, cookie] = /^([sr])(\d+)(?:c(\d+))?/.exec(id)!;
    const key = { id, tid: Number(tid) };
    if (kind === 's') out.push(...stitcher.sample({ ...key, cookie: cookie ? BigInt(cookie) : undefined }));
    else out.push(...stitcher.record({ ...key, cookie: BigInt(cookie!), ips: [BigInt(cookie!)] }));
  }
  out.push(...stitcher.end());
  return out.map(tell);
}

function tell(outcome: Stitched<Sample, Record_>): string {
  switch (outcome.kind) {
    case 'plain':
      return outcome.sample.id;
    case 'stitched':
      return `${outcome.sample.id}+${outcome.record.id}${outcome.late ? ' late' : ''}`;
    case 'unstitched':
      return `${outcome.sample.id} ${outcome.why}`;
    default:
      return `${outcome.record.id} ${outcome.kind}`;
  }
}

const rows: readonly { name: string; stream: string; complete: string[]; perf: string[] }[] = [
  { name: 'no cookie', stream: 's1', complete: ['s1'], perf: ['s1'] },
  { name: 'sample, then record', stream: 's1c3 r1c3', complete: ['s1c3+r1c3'], perf: ['s1c3+r1c3'] },
  {
    name: 'one record serves several samples',
    stream: 's1c3a s1c3b r1c3',
    complete: ['s1c3a+r1c3', 's1c3b+r1c3'],
    perf: ['s1c3a+r1c3', 's1c3b+r1c3'],
  },
  {
    name: 'a sample after its record',
    stream: 's1c3a r1c3 s1c3b s1c5 r1c5',
    complete: ['s1c3a+r1c3', 's1c3b+r1c3 late', 's1c5+r1c5'],
    perf: ['s1c3a+r1c3', 's1c3b passed-over', 's1c5+r1c5'],
  },
  {
    name: 'a record that never comes',
    stream: 's1c3 s1c5 r1c5 s1c7',
    complete: ['s1c5+r1c5', 's1c3 no-record', 's1c7 no-record'],
    perf: ['s1c3 passed-over', 's1c5+r1c5', 's1c7 no-record'],
  },
  { name: 'a record that nobody asked for', stream: 'r1c3', complete: ['r1c3 orphan'], perf: [] },
  {
    name: 'a duplicate',
    stream: 's1c3 r1c3 r1c3',
    complete: ['s1c3+r1c3', 'r1c3 duplicate'],
    perf: ['s1c3+r1c3'],
  },
  {
    name: 'equal cookies of two tasks are not one',
    stream: 's1c3 r2c3',
    complete: ['s1c3 no-record', 'r2c3 orphan'],
    perf: ['s1c3 no-record'],
  },
  {
    name: 'tasks do not hold each other up',
    stream: 's1c3 s2c4 r2c4 s3 r1c3',
    complete: ['s2c4+r2c4', 's3', 's1c3+r1c3'],
    perf: ['s2c4+r2c4', 's3', 's1c3+r1c3'],
  },
];

describe('complete', () => {
  test.each(rows)('$name', ({ stream, complete }) =>
    expect(feed(stitchComplete(), stream)).toEqual(complete),
  );
});
describe('as perf', () => {
  test.each(rows)('$name', ({ stream, perf }) => expect(feed(stitchAsPerf(), stream)).toEqual(perf));
});

test('duplicates tell whether they agree', () => {
  const stitcher = stitchComplete<Sample, Record_>();
  stitcher.record({ id: 'a', tid: 1, cookie: 3n, ips: [1n, 2n] });
  expect(stitcher.record({ id: 'b', tid: 1, cookie: 3n, ips: [1n, 2n] })[0]).toMatchObject({ same: true });
  expect(stitcher.record({ id: 'c', tid: 1, cookie: 3n, ips: [1n] })[0]).toMatchObject({ same: false });
});

const item = fc.record({
  kind: fc.constantFrom('s', 'r'),
  tid: fc.integer({ min: 1, max: 3 }),
  cookie: fc.integer({ min: 1, max: 4 }),
});

test('complete: any order gives the same outcomes, and every sample comes out once', () => {
  const streams = fc.array(item, { minLength: 1, maxLength: 20 }).chain((items) => {
    const ids = items.map(({ kind, tid, cookie }) => `${kind}${tid}c${cookie}`);
    return fc.tuple(fc.constant(ids), fc.shuffledSubarray(ids, { minLength: ids.length }));
  });
  fc.assert(
    fc.property(streams, ([stream, shuffled]) => {
      const outcomes = (ids: string[]) =>
        feed(stitchComplete(), ids.join(' '))
          .map((line) => line.replace(' late', ''))
          .sort();
      expect(outcomes(shuffled)).toEqual(outcomes(stream));
      const samples = stream.filter((id) => id.startsWith('s')).sort();
      const told = outcomes(stream)
        .filter((line) => line.startsWith('s'))
        .map((line) => line.split(/[+ ]/)[0]);
      expect(told.sort()).toEqual(samples);
    }),
  );
});
