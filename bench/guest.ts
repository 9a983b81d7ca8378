/** Programs run to their end, here and in QEMU, and a program held at a place in this machine. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Machine } from '../emu/machine.js';
import { type Images, seconds } from './measure.js';
import { runQemu } from './qemu.js';

export interface GuestOptions {
  readonly cpus?: number;
  readonly commandLine?: string;
}

/** A machine with the kernel and one program loaded. */
export function newGuest(
  images: Images,
  program: Uint8Array,
  { cpus = 1, commandLine = '' }: GuestOptions = {},
): Machine {
  const machine = new Machine({ cpus });
  machine.load(readFileSync(images.kernel), {
    commandLine,
    modules: [{ bytes: program, commandLine: 'program' }],
  });
  return machine;
}

/** Seconds of a run from the first instruction to the power-off, in a machine of its own. */
export function runHere(images: Images, program: Uint8Array, options: GuestOptions = {}): number {
  const machine = newGuest(images, program, options);
  try {
    return seconds(() => {
      const { kind } = machine.run();
      if (kind !== 'poweroff') throw new Error(`expected the guest to power off, found ${kind}`);
    });
  } finally {
    machine.close();
  }
}

/** Programs as files, in a folder that `close` removes. */
export class ProgramFiles {
  readonly #folder = mkdtempSync(join(tmpdir(), 'unwindlab-bench-'));

  /** Seconds of a whole QEMU process that runs the program. */
  runQemu(images: Images, program: Uint8Array, cpus = 1): number {
    const path = join(this.#folder, 'program');
    writeFileSync(path, program);
    return runQemu({ kernel: images.kernel, program: path, append: 'init=program', cpus });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
