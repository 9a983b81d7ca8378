/**
 * QEMU's TCG as the oracle for the whole machine: the same kernel file prints the same console there and ends with the same
 * exit status, for each program, on one CPU and on two. Two QEMUs run at a time at most.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { statedRuns } from '../guest-user/stated.js';
import { type Ended, KERNEL, program, run, unwindlab } from './run.js';

const QEMU = 'qemu-system-x86_64';
const hasQemu = spawnSync(QEMU, ['--version']).status === 0;
const why = hasQemu ? '' : ` (skipped: no ${QEMU})`;

/** Behind this line the serial port is set up and keeps what it is sent. */
const BANNER = 'unwindlab kernel';
/** The kernel takes a control-D for the end of the input, as a terminal does. */
const END_OF_INPUT = '\x04';

function qemu(name: string, cpus: number, input: string, append: string): Promise<Ended> {
  const machine = ['-accel', 'tcg', '-smp', `${cpus}`, '-m', '64', '-no-reboot'];
  const devices = [
    ...['-nodefaults', '-display', 'none', '-serial', 'stdio'],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
  ];
  const image = ['-kernel', KERNEL, '-initrd', program(name), '-append', `init=${name} ${append}`];
  return run(QEMU, [...machine, ...devices, ...image], {
    input: input + END_OF_INPUT,
    inputAfter: BANNER,
  });
}

const boot = (name: string, cpus: number, input: string, append: string): Promise<Ended> =>
  unwindlab(['boot', KERNEL, '--module', program(name), '--cpus', `${cpus}`, '--append', append], { input });

/** QEMU gives a program no arguments, so these are the runs without any. */
const inputs = new Map<string, string>();
for (const { image, arguments: args, input } of statedRuns())
  if (args.length === 0 && !inputs.has(image)) inputs.set(image, input);

async function expectSame(name: string, cpus: readonly number[], append = ''): Promise<void> {
  const input = inputs.get(name)!;
  const oracle = await Promise.all(cpus.map((count) => qemu(name, count, input, append)));
  for (const [index, count] of cpus.entries()) {
    const { stdout, status } = await boot(name, count, input, append);
    expect({ count, stdout, status }).toEqual({
      count,
      stdout: oracle[index]!.stdout,
      status: oracle[index]!.status,
    });
  }
}

describe.skipIf(!hasQemu)(`the same kernel under QEMU${why}`, () => {
  it.each([...inputs.keys()])('%s: same console, same exit status, on 1 and 2 CPUs', (name) =>
    expectSame(name, [1, 2]),
  );

  it.each(['threads', 'processes'])('%s: on 8 CPUs', (name) => expectSame(name, [8]));

  it.each(['threads', 'lisp', 'tracers'])('%s: with both tracers at work', (name) =>
    expectSame(name, [1, 2], 'trace=perf,ftrace'),
  );
});
