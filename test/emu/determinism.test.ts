/** The same machine gives the same run, instruction for instruction; where the host pauses it makes no difference. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Bare } from './bare.js';
import { served, workload } from './workload.js';

/** All that a run leaves behind. */
const trace = ({ machine }: Bare) => ({
  hash: machine.events.hash.digest,
  events: machine.events.count,
  cpus: machine.cpus.map((cpu) => ({
    registers: Array.from({ length: 16 }, (_, index) => cpu.state.reg(index)),
    rip: cpu.state.rip,
    rflags: cpu.state.rflags,
    time: cpu.time,
    retired: cpu.retired,
  })),
});

test('100 machines with timers, IPIs and NMIs, some of them from outside, run alike', async () => {
  let first: unknown;
  for (let round = 0; round < 100; round++) {
    const bare = await workload();
    for (let part = 1; part <= 5; part++) {
      bare.machine.run({ budget: 2000 + 37 * part });
      bare.machine.inject(part & 1, { nmi: true });
      bare.machine.inject((part >> 1) & 1, { vector: 0x41 });
    }
    bare.machine.run({ budget: 5000 });
    const now = trace(bare);
    first ??= now;
    expect(now).toEqual(first);
    for (const [name, times] of Object.entries(served(bare))) expect(times, name).toBeGreaterThan(3);
    bare.close();
  }
});

test('an injection one instruction later is another run', async () => {
  const bare = await workload({ cpus: 1 });
  const start = bare.machine.snapshot();
  const hashes = new Set<string>();
  for (let at = 500; at < 520; at++) {
    bare.machine.restore(start);
    bare.machine.run({ budget: at });
    bare.machine.inject(0, { nmi: true });
    bare.machine.run({ budget: 1000 });
    hashes.add(bare.machine.events.hash.digest);
  }
  expect(hashes.size).toBe(20);
  bare.close();
});

test.each([1, 2, 3])('%i CPUs: a run in slices of any length is the run in one piece', async (cpus) => {
  const bare = await workload({ cpus });
  const start = bare.machine.snapshot();
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 700 })), {
        minLength: 1,
        maxLength: 60,
      }),
      (slices) => {
        bare.machine.restore(start);
        for (const budget of slices) expect(bare.machine.run({ budget })).toEqual({ kind: 'budget' });
        const sliced = trace(bare);
        bare.machine.restore(start);
        bare.machine.run({ budget: slices.reduce((sum, slice) => sum + slice, 0) });
        expect(trace(bare)).toEqual(sliced);
      },
    ),
    { numRuns: 40 },
  );
  bare.close();
});

test('n steps of one CPU are a run of n instructions', async () => {
  const bare = await workload({ cpus: 1 });
  const start = bare.machine.snapshot();
  for (let step = 0; step < 3000; step++) bare.machine.step();
  const stepped = trace(bare);
  bare.machine.restore(start);
  bare.machine.run({ budget: stepped.cpus[0]!.retired });
  expect(trace(bare)).toEqual(stepped);
  bare.close();
});

test('the length of a turn is part of the run on several CPUs, and nothing on one', async () => {
  const hashes = async (cpus: number): Promise<Set<string>> => {
    const seen = new Set<string>();
    for (const turn of [50, 100, 1000]) {
      const bare = await workload({ cpus, turn });
      bare.machine.run({ budget: 10_000 });
      seen.add(bare.machine.events.hash.digest);
      bare.close();
    }
    return seen;
  };
  expect((await hashes(1)).size).toBe(1);
  expect((await hashes(2)).size).toBe(3);
});
