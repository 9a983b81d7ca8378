/** Whole processes, from the command to the power-off of the guest. */
import { join } from 'node:path';
import type { Benchmark, Images } from './measure.js';
import { runProcess, runQemu } from './qemu.js';

interface Boot {
  readonly name: string;
  readonly target?: number;
  readonly command: string;
  readonly program: string;
  readonly cpus: number;
  /** For both; QEMU, which hands the kernel no name with the program, gets `init=` too. */
  readonly append: string;
}

/** The demo is the Makefile's: QEMU runs the same kernel, program and tracer, and nobody reads its samples. */
const BOOTS: readonly Boot[] = [
  { name: 'boot to power-off: hello', command: 'boot', program: 'hello', cpus: 1, append: '' },
  {
    name: 'boot to power-off: demo (stacks of lisp, 2 CPUs)',
    target: 1000,
    command: 'stacks',
    program: 'lisp',
    cpus: 2,
    append: 'trace=perf perf.period=200000',
  },
];

export const bootBenchmarks: readonly Benchmark[] = BOOTS.map(
  ({ name, target, command, program, cpus, append }) => ({
    name,
    unit: 'ms',
    ...(target !== undefined && { target }),
    prepare: ({ images, qemu }) => ({
      here: () =>
        runProcess(process.execPath, [
          ...[images.cli, command, images.kernel],
          ...['--module', path(images, program), '--cpus', String(cpus), '--append', append],
        ]),
      ...(qemu && {
        qemu: () =>
          runQemu({
            kernel: images.kernel,
            program: path(images, program),
            append: `init=${program} ${append}`,
            cpus,
          }),
      }),
    }),
  }),
);

const path = (images: Images, program: string): string => join(images.programs, `${program}.elf`);
