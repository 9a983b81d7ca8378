/**
 * Debian's own kernel, as `make guests` fetches it, boots to a shell, runs what a user types and powers off: by PVH and as bzImage, with the
 * 8259s alone, with local APIC, with ACPI and the I/O APIC, on one CPU and more.
 */
import { existsSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { Scratch } from '../system/run.js';
import { guest, type Pc, typeAt } from './boot.js';

const KERNELS = { PVH: guest('vmlinux'), bzImage: guest('vmlinuz') } as const;

const scratch = new Scratch();
afterAll(() => scratch.remove());

interface Way extends Pick<Pc, 'append' | 'cpus'> {
  readonly kernel?: keyof typeof KERNELS;
  /** The command that ends the machine. */
  readonly off?: string;
}

const TYPED = ['uname -r', 'nproc', 'cat /proc/interrupts', 'for i in 1 2 3; do echo n$i; done', 'ls /'];

const boot = ({ kernel = 'PVH', off = 'poweroff -f', ...way }: Way) =>
  typeAt(scratch, { ...way, kernel: KERNELS[kernel], initrd: guest('initrd.gz'), ram: '512M' }, [
    ...TYPED,
    off,
  ]);

describe.skipIf(!existsSync(KERNELS.PVH))('Linux (skipped without build/guests: make guests)', () => {
  test.each<[name: string, way: Way, irqs: RegExp]>([
    ['by PVH, with the 8259s and the 8254 alone', { append: 'noapic nolapic acpi=off', off: 'off' }, /^ +0: +\d+ +XT-PIC +timer$/m],
    ['by PVH, with the local APIC', { append: 'acpi=off', off: 'off' }, /^ +4: +\d+ +XT-PIC +ttyS0$/m],
    ['by PVH, with ACPI', {}, /^ +4: +\d+ +IO-APIC +4-edge +ttyS0$/m],
    ['as bzImage, with ACPI', { kernel: 'bzImage' }, /^ +4: +\d+ +IO-APIC +4-edge +ttyS0$/m],
    ['by PVH, on 2 CPUs', { cpus: 2 }, /^LOC: +[1-9]\d* +[1-9]\d* /m],
    ['by PVH, on 4 CPUs', { cpus: 4 }, /^LOC:( +[1-9]\d*){4} /m],
  ])('%s', async (_name, way, irqs) => {
    const { stdout: printed, stderr, status } = await boot(way);
    expect(printed).toMatch(/^6\.\d+\.\d+-\d+-cloud-amd64$/m);
    expect(printed).toMatch(new RegExp(`^${way.cpus ?? 1}$`, 'm'));
    expect(printed).toMatch(irqs);
    expect(printed).toContain('\nn1\nn2\nn3\n');
    expect(printed).toMatch(/^bin +dev +init +proc +root +sys$/m);
    if (way.cpus !== undefined) expect(printed).toContain(`Brought up 1 node, ${way.cpus} CPUs`);
    expect(printed).not.toMatch(/BUG:|WARNING:|Oops|unchecked MSR|TSC warp/);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
}); // biome-ignore format: a way to a line
