/** A run is a function of its image and arguments: 100 runs on two CPUs, with threads, preemption and both tracers, are one. */
import { describe, expect, it } from 'vitest';
import { RunningKernel } from '../../src/lab/kernel.js';
import { openGuest } from '../../src/lab/open.js';
import { runToEnd } from '../../src/lab/run.js';
import { collectSamples } from '../../src/lab/samples.js';

const RUNS = 100;
const APPEND = 'trace=perf,ftrace perf.period=4000 tick=10000';

interface Run {
  readonly outcome: string;
  readonly hash: string;
  readonly instructions: number;
  readonly console: string;
  readonly samples: unknown;
}

async function bootOnce(turn: number): Promise<Run> {
  let console = '';
  const { machine } = openGuest(
    { image: '@kernel', modules: ['@threads'], commandLine: APPEND },
    {
      cpus: 2,
      turn,
      console: (byte) => {
        console += String.fromCharCode(byte);
      },
    },
  );
  const samples = collectSamples(new RunningKernel(machine));
  const { kind } = await runToEnd(machine, { budget: 50_000_000 });
  const run = {
    outcome: kind,
    hash: machine.events.hash.digest,
    instructions: machine.retired,
    console,
    samples,
  };
  machine.close();
  return run;
}

describe('the same image and arguments', () => {
  it(`give the same run ${RUNS} times, sample by sample`, { timeout: 120_000 }, async () => {
    const first = await bootOnce(2000);
    expect(first.outcome).toBe('poweroff');
    const { perf, ftrace } = first.samples as ReturnType<typeof collectSamples>;
    expect(perf.filter(({ type }) => type === 'sample').length).toBeGreaterThan(20);
    expect(ftrace.length).toBeGreaterThan(20);
    for (let count = 1; count < RUNS; count++) expect(await bootOnce(2000)).toEqual(first);
  });

  it('with another turn are another run of the same program', async () => {
    const [usual, finer] = [await bootOnce(2000), await bootOnce(700)];
    expect(finer.hash).not.toBe(usual.hash);
    expect(finer.console.split('\n').sort()).toEqual(usual.console.split('\n').sort());
  });
});
