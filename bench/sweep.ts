/**
 * Runs of a sweep: back to a snapshot, on to a boundary of the request in the newest version, an NMI there, its handler, back to user mode,
 * and the invariants asked. Beside it what QEMU has for the purpose: `loadvm`, `inject-nmi`, `cont` and `stop` through its monitor, on
 * the same kernel; where it stops there is up to the clock, and nobody looks at what has come of it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_BUDGET, DEFAULT_RAM, DEFAULT_TURN } from '../emu/machine.js';
import { guestSpecOf } from '../src/lab/guest-spec.js';
import { openSweep } from '../src/lab/sweep.js';
import type { Sweep } from '../src/sweep/sweep.js';
import { type Benchmark, type Effort, type Images, type Sample, seconds } from './measure.js';
import { systemCalls } from './programs.js';

const SAMPLED = 'trace=perf,ftrace perf.source=nmi';
/** Runs of a sample here, and points of one in QEMU. */
const RUNS = 3000;
const POINTS = 40;
/** More than the guest can do while it is looked at. */
const FOR_EVER = 1_000_000_000;
const DRIVER = 'dist/bench/qemu-points.js';

const QUESTION = {
  from: 'unwind_deferred_request.begin',
  to: 'unwind_deferred_request.end',
  occurrence: 2,
  cpu: 0,
  injection: { kind: 'nmi' },
  depth: 1,
  bound: 200_000,
  prune: false,
} as const;

/** All units of the window, again and again. */
const sweeping =
  (sweep: Sweep, { scale }: Effort): Sample =>
  () => {
    let runs = 0;
    const took = seconds(() => {
      for (let unit = 1; runs < RUNS * scale; unit = 1 + (unit % (sweep.units - 1)))
        for (const step = sweep.unit(unit); !step.next().done; runs++);
    });
    return took / runs;
  };

async function pointsInQemu(
  { newest }: Images,
  { scale }: Effort,
): Promise<{ sample: Sample; close(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'unwindlab-bench-'));
  const program = join(folder, 'program');
  writeFileSync(program, await systemCalls(FOR_EVER));
  const points = Math.max(Math.ceil(POINTS * scale), 2);
  const sample = (): number => {
    const args = [DRIVER, folder, newest, program, `init=program ${SAMPLED}`, String(points)];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 120_000,
    });
    if (status !== 0)
      throw new Error(`expected QEMU to be driven through its monitor, found ${stderr.trim()}`);
    return Number(stdout);
  };
  return { sample, close: () => rmSync(folder, { recursive: true, force: true }) };
}

export const sweepBenchmarks: readonly Benchmark[] = [
  {
    name: 'runs of a sweep with invariants (QEMU: loadvm, inject-nmi)',
    unit: 'k/s',
    target: 10,
    async prepare({ images, effort, qemu }) {
      const guest = guestSpecOf(
        { image: images.newest, modules: ['@roundtrip,6'], commandLine: SAMPLED },
        { cpus: 1, ram: DEFAULT_RAM, turn: DEFAULT_TURN },
      );
      const { sweep, close } = await openSweep({
        guest,
        question: QUESTION,
        monitor: 'unwind',
        budget: DEFAULT_BUDGET,
      });
      const there = qemu ? await pointsInQemu(images, effort) : undefined;
      return {
        here: sweeping(sweep, effort),
        ...(there && { qemu: there.sample }),
        close() {
          close();
          there?.close();
        },
      };
    },
  },
];
