import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TraceError } from '../../src/trace/bytes.js';
import { readPerfData } from '../../src/trace/perf-data.js';
import { recorded } from './recorded.js';

const good = recorded('p1.data');

test.each([
  ['nothing', good.subarray(0, 0), 'at 0x0: expected 8 more bytes of the perf.data header, found 0'],
  [
    'a text',
    Buffer.from('a text file, and no more\n'),
    'expected a perf.data file that begins with PERFILE2',
  ],
  ['half a header', good.subarray(0, 50), 'bytes of the perf.data header, found 2'],
  ['half of the data', good.subarray(0, 20_000), /^at 0x\w+: expected \d+ bytes of \w+, found 0$/],
  [
    'a pipe',
    Buffer.concat([good.subarray(0, 8), Buffer.from([16, 0, 0, 0, 0, 0, 0, 0])]),
    'found 16 (a pipe has 16)',
  ],
])('%s is refused', (_, file, message) => {
  expect(() => readPerfData(file)).toThrow(TraceError);
  expect(() => readPerfData(file)).toThrow(message);
});

/** Bits of the header, the event, the first records, and of the sections after the data. */
const places = fc.oneof(
  fc.nat({ max: 0x400 * 8 - 1 }),
  fc.integer({ min: 0x7690 * 8, max: good.length * 8 - 1 }),
  fc.nat({ max: good.length * 8 - 1 }),
);

test('a file with flipped bits or a missing end is read or refused in one sentence', () => {
  fc.assert(
    fc.property(
      fc.array(places, { maxLength: 3 }),
      fc.option(fc.nat({ max: good.length }), { freq: 3 }),
      (flips, length) => {
        const file = Buffer.from(good);
        for (const bit of flips) file[bit >> 3]! ^= 1 << (bit & 7);
        try {
          readPerfData(file.subarray(0, length ?? file.length));
        } catch (error) {
          expect(error).toBeInstanceOf(TraceError);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
