/** Foreign images that are not Linux: memtest86+ draws its screen on the serial console, takes keys from it and counts its passes; Xen starts Debian's Linux. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type RunOptions, unwindlab } from '../system/run.js';
import { BRIEF, guest } from './boot.js';
import { screenOf } from './terminal.js';

const LIMIT = 600_000;
const pc = (args: readonly string[], dialogue: RunOptions['dialogue'] = []) =>
  unwindlab(['boot', '--machine', 'pc', ...args], { limit: LIMIT, dialogue });

const MEMTEST = ['--ram', '5M', guest('memtest.bin'), '--append'];
/** Its menus by digits: settings, tests, "remove one": the tenth, which waits for two times 80 seconds; back, and back. */
const WITHOUT_WAITING = '11210\r00';
const ESCAPE = '\x1b';

describe.skipIf(!existsSync(guest('memtest.bin')))('memtest86+ (skipped without it: make guests)', () => {
  test.skipIf(BRIEF)('finishes a pass without errors, and is told to end by keys', async () => {
    const { stdout, stderr, status } = await pc(
      [...MEMTEST, 'console=ttyS0,115200'],
      [
        ['Memtest86+', WITHOUT_WAITING],
        ['| Pass:  1 ', ESCAPE],
      ],
    );
    const screen = screenOf(stdout);
    expect(screen[0]).toMatch(/^ +Memtest86\+ v\d+\.\d+ +\| unwindlab virtual CPU/);
    expect(screen[7]).toMatch(/\| Time: +0:00:\d\d +Status: Pass/);
    expect(screen[8]).toMatch(/\| Pass: +1 +Errors: 0$/);
    expect({ stderr, status }).toEqual({ stderr: 'unwindlab: the guest has reset itself\n', status: 14 });
  });

  test('starts all CPUs, and tests on them', async () => {
    const { stdout, status } = await pc([
      '--cpus',
      '2',
      '--budget',
      '700M',
      ...MEMTEST,
      'console=ttyS0 nopause',
    ]);
    const screen = screenOf(stdout);
    expect(screen[7]).toMatch(/^CPU: 2 Cores 2 Threads +SMP: 2T \(PAR\)/);
    expect(screen[3]).toMatch(/\| Test #\d/);
    expect(screen[8]).toMatch(/\| Pass: +0 +Errors: 0$/);
    expect(status).toBe(10); // it goes on for ever
  });
});

test.skipIf(!existsSync(guest('xen')))(
  'Xen says that it was given no kernel, and halts (skipped without it: make guests)',
  async () => {
    const options = ['--ram', '512M', '--cpus', '2', '--append', 'com1=115200 console=com1 noreboot'];
    const { stdout, stderr, status } = await pc([...options, guest('xen')]);
    expect(stdout).toMatch(/^\(XEN\) Xen version 4\.\d+/m);
    expect(stdout).toMatch(/^\(XEN\) Bootloader: unwindlab/m);
    expect(stdout).toMatch(/^\(XEN\) Panic on CPU 0:\r?\n\(XEN\) dom0 kernel not specified/m);
    expect({ stderr, status }).toEqual({
      stderr: 'unwindlab: the guest hangs: every CPU is halted and nothing will wake one\n',
      status: 12,
    });
  },
);

const DOM0 = ['console=hvc0', 'earlyprintk=xen', 'rdinit=/bin/busybox', '--', 'sh'].join(' ');
const isHere = ['xen', 'vmlinuz-dom0', 'initrd.gz'].every((name) => existsSync(guest(name)));

/** What is shown in brief is the harder one. */
const WAYS = [['multiboot', 1], ['multiboot2', 2]].slice(BRIEF ? 1 : 0); // biome-ignore format: a way to a pair

test.skipIf(!isHere).each(WAYS)("Xen by %s, on %i CPUs, starts Debian's Linux as its dom0, in ring 3, and a shell in it (skipped without them: make guests)", async (format, cpus) => {
  const modules = ['--module', `${guest('vmlinuz-dom0')},${DOM0}`, '--module', guest('initrd.gz')];
  const machine = ['--ram', '512M', '--cpus', `${cpus}`, '--format', `${format}`];
  const { stdout, stderr, status } = await pc([...machine, '--append', 'com1=115200 console=com1', ...modules, guest('xen')], [
    ['/ # ', 'busybox mount -t sysfs sys /sys; busybox mount -t proc proc /proc\n'],
    ['/ # ', 'busybox cat /sys/hypervisor/version/*\n'],
    ['/ # ', 'busybox uname -r\n'],
    ['/ # ', 'busybox grep hvc_console /proc/interrupts\n'],
    ['/ # ', 'busybox poweroff -f\n'],
  ]);
  const printed = stdout.replaceAll('\r', '');
  expect(printed).toContain(`(XEN) Brought up ${cpus} CPUs\n`);
  expect(printed).toMatch(/^\(XEN\) {2}Dom0 kernel: 64-bit, PAE, lsb/m);
  expect(printed).toMatch(/Hypervisor detected: Xen PV$/m);
  expect(printed).toMatch(/^\.\d[^\n]*\n4\n\d+\n/m); // of the hypervisor: extra, major, minor
  expect(printed).toMatch(/^6\.\d+\.\d+-\d+-amd64$/m);
  expect(printed).toMatch(/^ *\d+: +[1-9].* xen-dyn +-virq +hvc_console$/m);
  expect(printed).toMatch(/^\(XEN\) Entering ACPI S5 state\.$/m);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
}); // biome-ignore format: a fact to a line
