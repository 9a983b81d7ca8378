/** What a search over schedules is made of: restore, snapshot, step. QEMU has no counterpart of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../emu/engine/host-memory.js';
import type { Machine } from '../emu/machine.js';
import { phys } from '../emu/memory/address.js';
import { newGuest } from './guest.js';
import { type Bed, type Benchmark, type Effort, type Sample, seconds } from './measure.js';

/** Pages of RAM that the guest has not come to: the host dirties them as it likes. */
const FREE_RAM = 32 << 20;

const rounds = (count: number, { scale }: Effort): number => Math.ceil(count * scale);

/** A sample of `body`, which `prepare` comes before each time and is not measured. */
function repeated(count: number, prepare: (round: number) => void, body: () => void): Sample {
  return () => {
    let total = 0;
    for (let round = 0; round < count; round++) {
      prepare(round);
      total += seconds(body);
    }
    return total / count;
  };
}

function dirty(machine: Machine, pages: number, value: number): void {
  const word = Uint8Array.of(value & 0xff);
  for (let page = 0; page < pages; page++)
    machine.memory.writePhysical(phys(FREE_RAM + page * PAGE_SIZE), word);
}

/** The kernel at the entry of a program's first system call; many will follow. */
function midway({ images }: Bed): Machine {
  const machine = newGuest(images, readFileSync(join(images.programs, 'roundtrip.elf')));
  const outcome = machine.run({ until: { event: 'syscall' } });
  if (outcome.kind !== 'reached') throw new Error(`expected a system call, found ${outcome.kind}`);
  return machine;
}

const restoring = (pages: number, target?: number): Benchmark => ({
  name: `restore, ${pages} dirty page${pages === 1 ? '' : 's'}`,
  unit: 'µs',
  ...(target !== undefined && { target }),
  prepare(bed) {
    const machine = midway(bed);
    const start = machine.snapshot();
    return {
      here: repeated(
        rounds(1000, bed.effort),
        (round) => dirty(machine, pages, round),
        () => machine.restore(start),
      ),
      close: () => machine.close(),
    };
  },
});

const snapshotting = (pages: number): Benchmark => ({
  name: `snapshot, ${pages} dirty page${pages === 1 ? '' : 's'}`,
  unit: 'µs',
  prepare(bed) {
    const machine = midway(bed);
    let taken = machine.snapshot();
    return {
      here: repeated(
        rounds(500, bed.effort),
        (round) => {
          machine.release(taken);
          dirty(machine, pages, round + 1);
        },
        () => {
          taken = machine.snapshot();
        },
      ),
      close: () => machine.close(),
    };
  },
});

const stepping: Benchmark = {
  name: 'steps through the API',
  unit: 'M/s',
  target: 0.5,
  prepare(bed) {
    const machine = midway(bed);
    const start = machine.snapshot();
    const count = rounds(100_000, bed.effort);
    return {
      here: () => {
        machine.restore(start);
        return (
          seconds(() => {
            for (let step = 0; step < count; step++) machine.step();
          }) / count
        );
      },
      close: () => machine.close(),
    };
  },
};

export const snapshotBenchmarks: readonly Benchmark[] = [
  ...[1, 4].map((pages) => restoring(pages)),
  restoring(16, 30),
  ...[64, 256].map((pages) => restoring(pages)),
  ...[1, 16, 256].map((pages) => snapshotting(pages)),
  stepping,
];
