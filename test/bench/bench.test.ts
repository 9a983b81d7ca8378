/** Every benchmark runs, but for foreign images, which take minutes; how fast is no matter of a test. */
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ALL } from '../../bench/all.js';
import { linuxBenchmarks } from '../../bench/linux.js';
import { BRIEF, IMAGES, measure } from '../../bench/measure.js';
import { qemuVersion } from '../../bench/qemu.js';
import { table } from '../../bench/table.js';

const qemu = qemuVersion() !== undefined;
const built = Object.values(IMAGES).every((path) => existsSync(path));

test.skipIf(!built).each(ALL.filter((benchmark) => !linuxBenchmarks.includes(benchmark)))(
  `$name${built ? '' : ' (skipped: not built)'}`,
  async (benchmark) => {
    const row = await measure(benchmark, { images: IMAGES, effort: BRIEF, qemu });
    expect(row.unwindlab.median).toBeGreaterThan(0);
    expect(row.unwindlab.samples).toBe(BRIEF.repetitions);
    expect(row.qemu === undefined || row.qemu.median > 0).toBe(true);
  },
  300_000,
);

test('the table says where a target is missed', () => {
  const unwindlab = { median: 2.345, best: 2.2, spread: 0.1, samples: 9 };
  const rows = [
    {
      name: 'a',
      unit: 'µs',
      unwindlab,
      target: 1.5,
      met: false,
      qemu: { ...unwindlab, median: 0.5 },
      ratio: 4.69,
    },
    { name: 'b', unit: 'M/s', unwindlab, target: 0.5, met: true },
    { name: 'c', unit: 'ms', unwindlab, targetRatio: 3, met: true, qemu: unwindlab, ratio: 1 },
  ] as const;
  const lines = table(rows).split('\n');
  expect(lines[2]).toMatch(/^a +µs +2\.35 +±4% +2\.20 +0\.500 +±20% +2\.20 +4\.69x slower +<= 1\.5 MISSED$/);
  expect(lines[3]).toMatch(/^b +M\/s +2\.35 +±4% +2\.20 +>= 0\.5 met$/);
  expect(lines[4]).toMatch(/<= 3x met$/);
});
