/** Debian's kernel from its start to its power-off, where `make guests` has fetched it: a free-running pc beside QEMU's. */
import { existsSync } from 'node:fs';
import type { Benchmark } from './measure.js';
import { IMAGES } from './measure.js';
import { runProcess, runQemuPc } from './qemu.js';

const GUESTS = 'build/guests';
/** The first program is busybox as `poweroff -f`: no input, for a QEMU that is started with some loses it. */
const APPEND = 'console=ttyS0 rdinit=/bin/busybox -- poweroff -f';

const WAYS = [
  { name: 'PVH', kernel: 'vmlinux', cpus: 1 },
  { name: 'bzImage', kernel: 'vmlinuz', cpus: 1 },
  { name: 'PVH, 4 CPUs', kernel: 'vmlinux', cpus: 4 },
] as const;

/** Empty where the images are not there. */
export const linuxBenchmarks: readonly Benchmark[] = WAYS.filter(({ kernel }) =>
  existsSync(`${GUESTS}/${kernel}`),
).map(({ name, kernel, cpus }) => {
  const files = { kernel: `${GUESTS}/${kernel}`, initrd: `${GUESTS}/initrd.gz`, append: APPEND };
  return {
    name: `boot to power-off: Debian's Linux, ${name}`,
    unit: 'ms',
    targetRatio: 3,
    prepare: ({ qemu }) => ({
      here: () =>
        runProcess(process.execPath, [
          ...[IMAGES.cli, 'boot', '--machine', 'pc', '--ram', '512M', '--cpus', String(cpus)],
          ...['--initrd', files.initrd, '--append', files.append, files.kernel],
        ]),
      ...(qemu && { qemu: () => runQemuPc({ ...files, cpus }) }),
    }),
  };
});
