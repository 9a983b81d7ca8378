/** Instructions per second and the cost of a system call: runs of two lengths, whose difference leaves the boot out. */
import {
  ffi,
  type Pointer,
  UC_ARCH_X86,
  UC_CPU_X86_QEMU64,
  UC_MODE_64,
  UC_PROT_ALL,
} from '../emu/engine/ffi.js';
import { assemble } from '../src/asm/keystone.js';
import { ProgramFiles, runHere } from './guest.js';
import { type Bed, type Benchmark, perOperation, type Sides, seconds } from './measure.js';
import { compute, computeTwice, computing, systemCalls } from './programs.js';

interface Run {
  readonly name: string;
  readonly unit: Benchmark['unit'];
  readonly target?: number;
  program(operations: number): Promise<Uint8Array>;
  readonly cpus: number;
  /** Operations of the longer run, and operations that each counts as (two CPUs do two at a time). */
  readonly here: number;
  readonly qemu: number;
  readonly each: number;
}

const RUNS: readonly Run[] = [
  {
    name: 'instructions in turns, 1 CPU',
    unit: 'M/s',
    program: compute,
    cpus: 1,
    here: 5e7,
    qemu: 1e9,
    each: 1,
  },
  {
    name: 'instructions in turns, 2 CPUs together',
    unit: 'M/s',
    program: computeTwice,
    cpus: 2,
    here: 2.5e7,
    qemu: 1e9,
    each: 2,
  },
  {
    name: 'system call round trip',
    unit: 'µs',
    target: 1.5,
    program: systemCalls,
    cpus: 1,
    here: 2e5,
    qemu: 1e6,
    each: 1,
  },
];

/** The shorter run does this part of the longer one's work. */
const SHORT = 0.1;

async function twoLengths(
  { program, cpus, here, qemu, each }: Run,
  { images, effort, qemu: hasQemu }: Bed,
): Promise<Sides> {
  const files = new ProgramFiles();
  const both = async (operations: number, run: (bytes: Uint8Array) => number) => {
    const [few, many] = [operations * effort.scale * SHORT, operations * effort.scale].map(Math.ceil);
    const programs = new Map([
      [few!, await program(few!)],
      [many!, await program(many!)],
    ]);
    return () => perOperation(few!, many!, (count) => run(programs.get(count)!)) / each;
  };
  return {
    here: await both(here, (bytes) => runHere(images, bytes, { cpus })),
    ...(hasQemu && { qemu: await both(qemu, (bytes) => files.runQemu(images, bytes, cpus)) }),
    close: () => files.close(),
  };
}

const CODE = 0x1000;
const STACK = 0x3000;
const FREE_RUNNING = 5e8;

/**
 * The engine alone, without a limit on instructions: what counting costs. It has an engine of its own, because one that changes
 * between the two throws its translated code away.
 */
async function freeRunning(instructions: number): Promise<{ run: () => number; close: () => void }> {
  const { bytes } = await assemble(`mov $${STACK}, %esp\n${computing(instructions)}\nhlt`, {
    address: BigInt(CODE),
  });
  const f = ffi();
  const out: [Pointer] = [null];
  f.check(f.open(UC_ARCH_X86, UC_MODE_64, out), 'uc_open');
  const uc = out[0];
  f.check(f.setCpuModel(uc, UC_CPU_X86_QEMU64), 'uc_ctl');
  f.check(f.useExits(uc), 'uc_ctl');
  f.check(f.memMap(uc, 0n, 0x4000n, UC_PROT_ALL), 'uc_mem_map');
  f.check(f.memWrite(uc, BigInt(CODE), bytes, BigInt(bytes.length)), 'uc_mem_write');
  return {
    run: () =>
      seconds(() => f.check(f.start(uc, BigInt(CODE), 0n, 0n, 0) as number, 'uc_emu_start')) / instructions,
    close: () => f.close(uc),
  };
}

export const speedBenchmarks: readonly Benchmark[] = [
  {
    name: 'instructions free running (engine alone)',
    unit: 'M/s',
    async prepare({ effort, images, qemu }) {
      const { run, close } = await freeRunning(FREE_RUNNING * effort.scale);
      const inQemu = qemu && (await twoLengths(RUNS[0]!, { effort, images, qemu })).qemu;
      return { here: run, ...(inQemu && { qemu: inQemu }), close };
    },
  },
  ...RUNS.map((run) => ({
    name: run.name,
    unit: run.unit,
    ...(run.target !== undefined && { target: run.target }),
    prepare: (bed: Bed) => twoLengths(run, bed),
  })),
];
