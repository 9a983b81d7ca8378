/** The same kernel under QEMU's own engine: one process from start to power-off. */
import { spawnSync } from 'node:child_process';
import { seconds } from './measure.js';

const QEMU = 'qemu-system-x86_64';
const TIMEOUT_MS = 120_000;

/** The first line of `--version`, or `undefined` where QEMU is not installed. */
export function qemuVersion(): string | undefined {
  const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

export interface QemuRun {
  readonly kernel: string;
  /** Path of the one program. */
  readonly program: string;
  /** The kernel's command line. */
  readonly append: string;
  readonly cpus?: number;
}

/** @returns seconds of the whole process. @throws Error when the guest does not power off with status 0. */
export const runQemu = ({ kernel, program, append, cpus = 1 }: QemuRun): number =>
  runTcg(64, cpus, [
    ...['-kernel', kernel, '-initrd', program, '-append', append],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
  ]);

/** The same for somebody else's kernel. */
export const runQemuPc = (pc: { kernel: string; initrd: string; append: string; cpus: number }): number =>
  runTcg(512, pc.cpus, ['-kernel', pc.kernel, '-initrd', pc.initrd, '-append', pc.append]);

const runTcg = (megabytes: number, cpus: number, rest: readonly string[]): number =>
  runProcess(QEMU, [
    ...['-accel', 'tcg', '-m', String(megabytes), '-smp', String(cpus)],
    ...['-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...rest,
  ]);

/** @returns seconds of a process that must end with status 0; what it prints is dropped. */
export function runProcess(command: string, args: readonly string[], env = process.env): number {
  let failure: string | undefined;
  const took = seconds(() => {
    const { status, error, stderr } = spawnSync(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      timeout: TIMEOUT_MS,
      env,
    });
    if (status !== 0) failure = error?.message ?? `status ${status}: ${stderr.trim()}`;
  });
  if (failure !== undefined)
    throw new Error(`expected ${command} ${args.join(' ')} to succeed, found ${failure}`);
  return took;
}
