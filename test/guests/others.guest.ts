/** Foreign images that are not Linux: memtest86+ draws its screen on the serial console and counts its passes, Xen starts its CPUs and looks for a kernel. */
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { unwindlab } from '../system/run.js';
import { BRIEF, guest } from './boot.js';
import { screenOf } from './terminal.js';

const LIMIT = 600_000;
const pc = (...args: readonly string[]) => unwindlab(['boot', '--machine', 'pc', ...args], { limit: LIMIT });

/** Of a pass over so little memory, with its two waits of 80 seconds, and some of the next; or of its beginning. */
const PASS = BRIEF
  ? { budget: '8G', shown: /Test +\d+% #/ }
  : { budget: '220G', shown: /Pass: +[1-9]\d* +Errors: 0/ };

test.skipIf(!existsSync(guest('memtest.bin')))(
  'memtest86+ draws its screen and counts without errors (skipped without it: make guests)',
  async () => {
    const options = ['--ram', '5M', '--budget', PASS.budget, '--append', 'console=ttyS0,115200'];
    const { stdout, status } = await pc(...options, guest('memtest.bin'));
    const screen = screenOf(stdout);
    expect(screen[0]).toMatch(/^ +Memtest86\+ v\d+\.\d+ +\| unwindlab virtual CPU/);
    expect(screen.join('\n')).toMatch(PASS.shown);
    expect(screen.join('\n')).toMatch(/Errors: 0/);
    expect(status).toBe(10); // it goes on for ever
  },
);

test.skipIf(!existsSync(guest('xen')))(
  'Xen says that it was given no kernel, and halts (skipped without it: make guests)',
  async () => {
    const options = ['--ram', '512M', '--cpus', '2', '--append', 'com1=115200 console=com1 noreboot'];
    const { stdout, stderr, status } = await pc(...options, guest('xen'));
    expect(stdout).toMatch(/^\(XEN\) Xen version 4\.\d+/m);
    expect(stdout).toMatch(/^\(XEN\) Bootloader: unwindlab/m);
    expect(stdout).toMatch(/^\(XEN\) Panic on CPU 0:\r?\n\(XEN\) dom0 kernel not specified/m);
    expect({ stderr, status }).toEqual({
      stderr: 'unwindlab: the guest hangs: every CPU is halted and nothing will wake one\n',
      status: 12,
    });
  },
);

const DOM0 = 'console=hvc0 earlyprintk=xen rdinit=/bin/busybox -- poweroff -f';

test.skipIf(!existsSync(guest('xen')))("Xen starts Debian's Linux as its dom0, in ring 3, which powers off (skipped without it: make guests)", async () => {
  const modules = ['--module', `${guest('vmlinuz')},${DOM0}`, '--module', guest('initrd.gz')];
  const { stdout, stderr, status } = await pc('--ram', '1G', '--append', 'com1=115200 console=com1 noreboot dom0_mem=512M', ...modules, guest('xen'));
  expect(stdout).toMatch(/Hypervisor detected: Xen PV/);
  expect(stdout).toContain('Run /bin/busybox as init process');
  expect(stdout).toMatch(/^\(XEN\) Hardware Dom0 halted: halting machine/m);
  expect({ stderr, status }).toEqual({ stderr: 'unwindlab: the guest hangs: every CPU is halted and nothing will wake one\n', status: 12 });
}); // biome-ignore format: a fact to a line
