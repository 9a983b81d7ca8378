/**
 * Debian's own kernel, as `make guests` fetches it, boots to a shell, runs what a user types and powers off: by PVH and as bzImage, with the
 * 8259s alone, with local APIC, with ACPI and the I/O APIC, on one CPU and more.
 */
import { existsSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { Scratch } from '../system/run.js';
import { BRIEF, guest, type Pc, typeAt } from './boot.js';

const KERNELS = { PVH: guest('vmlinux'), bzImage: guest('vmlinuz') } as const;

const scratch = new Scratch();
afterAll(() => scratch.remove());

interface Way extends Pick<Pc, 'append' | 'cpus'> {
  readonly kernel?: keyof typeof KERNELS;
  /** As `--device` takes them. */
  readonly devices?: readonly string[];
  /** The command that ends the machine. */
  readonly off?: string;
  /** What the kernel says of devices that it finds. */
  readonly finds?: readonly RegExp[];
}

const TYPED = [
  'uname -r',
  'nproc',
  'cat /proc/interrupts',
  'cat /sys/devices/system/clocksource/clocksource0/available_clocksource',
  'for i in 1 2 3; do echo n$i; done',
  'ls /',
];

/** What needs the local APIC, and what needs ACPI's tables. */
const APIC_FINDS = [
  /generic architected perfmon, full-width counters/,
  /NMI watchdog: Enabled/,
  /x86\/PAT: Configuration \[0-7\]: WB {2}WC/,
];
const ACPI_FINDS = [
  ...APIC_FINDS,
  /TSC deadline timer available/,
  /hpet0: at MMIO 0xfed00000, IRQs 2, 8, 0/,
  /ACPI: PM-Timer IO Port: 0x608/,
  /^tsc hpet acpi_pm $/m,
];

/** What is said of devices that ACPI's tables do not name. */
const WITHOUT = ['hpet=off', 'i8042=off', 'rtc=off'] as const;
const WITHOUT_FINDS = [
  ...APIC_FINDS,
  /i8042: PNP: No PS\/2 controller found/,
  /Unable to read current time from RTC/,
  /^tsc acpi_pm $/m,
];

const boot = ({ kernel = 'PVH', off = 'poweroff -f', devices = [], ...way }: Way) =>
  typeAt(
    scratch,
    { ...way, kernel: KERNELS[kernel], initrd: guest('initrd.gz'), ram: '512M' },
    [...TYPED, off],
    ['boot', ...devices.flatMap((device) => ['--device', device])],
  );

/** Of the ways below, those that share least: 8259s alone, ACPI with all devices, bzImage, 4 CPUs. */
const EACH_OWN: readonly number[] = [0, 2, 4, 6];

describe.skipIf(!existsSync(KERNELS.PVH))('Linux (skipped without build/guests: make guests)', () => {
  test.each(([
    ['by PVH, with the 8259s and the 8254 alone', { append: 'noapic nolapic acpi=off', off: 'off' }, /^ +0: +\d+ +XT-PIC +timer$/m],
    ['by PVH, with the local APIC', { append: 'acpi=off', off: 'off', finds: APIC_FINDS }, /^ +4: +\d+ +XT-PIC +ttyS0$/m],
    ['by PVH, with ACPI', { finds: ACPI_FINDS }, /^ +4: +\d+ +IO-APIC +4-edge +ttyS0$/m],
    ['by PVH, with ACPI, without HPET, keyboard controller and clock', { devices: WITHOUT, finds: WITHOUT_FINDS }, /^ +4: +\d+ +IO-APIC +4-edge +ttyS0$/m],
    ['as bzImage, with ACPI', { kernel: 'bzImage', finds: ACPI_FINDS }, /^ +4: +\d+ +IO-APIC +4-edge +ttyS0$/m],
    ['by PVH, on 2 CPUs', { cpus: 2, finds: ACPI_FINDS }, /^LOC: +[1-9]\d* +[1-9]\d* /m],
    ['by PVH, on 4 CPUs', { cpus: 4, finds: ACPI_FINDS }, /^LOC:( +[1-9]\d*){4} /m],
  ] as [name: string, way: Way, irqs: RegExp][]).filter((_way, index) => !BRIEF || EACH_OWN.includes(index)))('%s', async (_name, way, irqs) => {
    const { stdout: printed, stderr, status } = await boot(way);
    expect(printed).toMatch(/^6\.\d+\.\d+-\d+-cloud-amd64$/m);
    expect(printed).toMatch(new RegExp(`^${way.cpus ?? 1}$`, 'm'));
    expect(printed).toMatch(irqs);
    expect(printed).toContain('\nn1\nn2\nn3\n');
    for (const line of way.finds ?? []) expect(printed).toMatch(line);
    expect(printed).toMatch(/^bin +dev +init +proc +root +sys$/m);
    if (way.cpus !== undefined) expect(printed).toContain(`Brought up 1 node, ${way.cpus} CPUs`);
    expect(printed).not.toMatch(/BUG:|WARNING:|Oops|unchecked MSR|TSC warp/);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
}); // biome-ignore format: a way to a line
