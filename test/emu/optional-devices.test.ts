/** Devices that can be switched, through their guest's eyes: what is read at their ports and addresses when they are there and when they are not. */
import { describe, expect, test } from 'vitest';
import type { DeviceName, DeviceSwitches } from '../../emu/devices/optional.js';
import type { MachineKind, MachineOptions, Outcome } from '../../emu/machine.js';
import { Bare } from './bare.js';

const HERE = {
  pc: ['hpet', 'i8042', 'rtc', 'fw_cfg', 'isa-debugcon', 'pc-testdev'],
  microvm: ['fw_cfg', 'isa-debugcon', 'pc-testdev'],
} as const satisfies Record<MachineKind, readonly DeviceName[]>;

/** Switches for all devices of a machine: those that are named are there, and no others. */
const only = (kind: MachineKind, ...names: DeviceName[]): DeviceSwitches =>
  Object.fromEntries(HERE[kind].map((name) => [name, names.includes(name)]));

interface Seen {
  readonly eax: number;
  readonly outcome: Outcome;
  readonly printed: string;
}

/** Runs code that ends in a HLT. */
async function see(code: string, options: MachineOptions): Promise<Seen> {
  let printed = '';
  const bare = new Bare({
    ...options,
    console: (byte) => {
      printed += String.fromCharCode(byte);
    },
  });
  try {
    bare.put64(0x8000 + 8 * 502, 0xfec0_0083n); // 2 MiB of device memory, beside those of the local APIC
    await bare.code(`xorl %eax, %eax\n${code}\nhlt`);
    const outcome = bare.machine.run({ budget: 100 });
    return { eax: Number(bare.reg('rax')), outcome, printed };
  } finally {
    bare.close();
  }
}

const HPET_ID = 'movl $0xfed00000, %ebx; movl (%rbx), %eax';
const SELF_TEST = 'movb $0xaa, %al; outb %al, $0x64; xorl %eax, %eax; inb $0x60, %al';
const CLOCK_VALID = 'movb $0x0d, %al; outb %al, $0x70; inb $0x71, %al';
const SIGNATURE = 'movw $0x510, %dx; outw %ax, %dx; incl %edx; inb %dx, %al';
const stored = (port: number): string =>
  `movl $0x12345678, %eax; outl %eax, $${port}; xorl %eax, %eax; inl $${port}, %eax`;
const LINE_4 = 'movw $0x2004, %dx; inb %dx, %al';
const BUS_ERROR = 'bus-error';

/** DEVICE, WHAT IS READ, CODE THAT READS IT, and the value WITH it and WITHOUT it. */
const READS: readonly (readonly [DeviceName, string, string, number, number | typeof BUS_ERROR])[] = [
  ['hpet', 'its id at 0xfed00000', HPET_ID, 0x8086_a201, BUS_ERROR],
  ['i8042', 'the answer to a self-test at port 0x60', SELF_TEST, 0x55, 0xff],
  ['i8042', 'status at port 0x64: passed its test', 'inb $0x64, %al', 0x14, 0],
  ['rtc', 'register D at port 0x71: memory is valid', CLOCK_VALID, 0x80, 0xff],
  ['fw_cfg', 'the first byte of its signature at port 0x511', SIGNATURE, 'Q'.charCodeAt(0), 0xff],
  ['isa-debugcon', 'port 0xe9', 'inb $0xe9, %al', 0xe9, 0xff],
  ['pc-testdev', 'what was written to port 0xe0', stored(0xe0), 0x1234_5678, 0xffff_ffff],
  ['pc-testdev', 'what was written to port 0xe8', stored(0xe8), 0x1234_5678, 0xffff_ffff],
  ['pc-testdev', 'port 0xe4', 'inl $0xe4, %eax', 0, 0xffff_ffff],
];

describe.each(['microvm', 'pc'] as const)('on a %s', (kind) => {
  const rows = READS.filter(([device]) => (HERE[kind] as readonly DeviceName[]).includes(device));

  test.each(rows)('%s: %s', async (device, _what, code, present, absent) => {
    const seen = await see(code, { kind, devices: only(kind, device) });
    expect([seen.eax, seen.outcome.kind]).toEqual([present, 'hang']);
    const missing = await see(code, { kind, devices: only(kind) });
    if (absent === BUS_ERROR) expect(missing.outcome.kind).toBe(BUS_ERROR);
    else expect([missing.eax, missing.outcome.kind]).toEqual([absent, 'hang']);
  });

  test('nothing said is as the machine is by itself', async () => {
    for (const [device, , code] of rows) {
      const all = only(kind, ...(kind === 'pc' ? HERE.pc : []));
      expect(await see(code, { kind }), device).toEqual(await see(code, { kind, devices: all }));
    }
  });

  test('the debug console prints between what the serial port does', async () => {
    const code =
      'movw $0x3f8, %dx; movb $0x61, %al; outb %al, %dx; incl %eax; outb %al, $0xe9; incl %eax; outb %al, %dx';
    expect((await see(code, { kind, devices: only(kind, 'isa-debugcon') })).printed).toBe('abc');
    expect((await see(code, { kind, devices: only(kind) })).printed).toBe('ac');
  });

  test("the debug console's port within the test device's is its own, by whatever order they are named", async () => {
    const code =
      'movb $0x21, %al; outb %al, $0xe9; xorl %eax, %eax; inl $0xe8, %eax; shll $8, %eax; inb $0xe9, %al';
    for (const devices of [
      { 'isa-debugcon': true, 'pc-testdev': true },
      { 'pc-testdev': true, 'isa-debugcon': true },
    ])
      expect(await see(code, { kind, devices })).toMatchObject({ eax: 0xe9, printed: '!' });
  });

  test('a pulse of the keyboard controller resets, with and without one', async () => {
    for (const devices of [{}, only(kind)]) {
      const { outcome } = await see('movb $0xfe, %al; outb %al, $0x64', { kind, devices });
      expect(outcome).toEqual({ kind: 'reset' });
    }
  });

  test('a snapshot holds the state of what is there', async () => {
    const bare = new Bare({ kind, devices: only(kind, 'fw_cfg', 'pc-testdev') });
    try {
      await bare.haltingHandlers();
      await bare.code(`
        xorl %eax, %eax; movw $0x510, %dx; outw %ax, %dx; incl %edx; inb %dx, %al
        movl $0x12345678, %eax; outl %eax, $0xe0; xorl %eax, %eax
        inb %dx, %al; movl %eax, %ebx; inl $0xe0, %eax; notl %eax; outl %eax, $0xe0; int3`);
      bare.machine.run({ budget: 8 });
      const before = bare.machine.snapshot();
      const first = [bare.stoppedIn(), bare.reg('rbx'), bare.reg('rax')];
      expect(first).toEqual([3, BigInt('E'.charCodeAt(0)), 0xedcb_a987n]);
      bare.machine.restore(before);
      expect([bare.stoppedIn(), bare.reg('rbx'), bare.reg('rax')]).toEqual(first);
    } finally {
      bare.close();
    }
  });
});

test('the test device has interrupt lines where there are any', async () => {
  const devices = { 'pc-testdev': true };
  expect((await see(LINE_4, { kind: 'pc', devices })).eax).toBe(0);
  expect((await see(LINE_4, { kind: 'microvm', devices })).eax).toBe(0xff);
});

test("a pc's timer interrupts without HPET and clock", async () => {
  const bare = new Bare({ kind: 'pc', devices: { hpet: false, rtc: false } });
  try {
    await bare.haltingHandlers();
    await bare.code(`
      movb $0x11, %al; outb %al, $0x20; movb $0x30, %al; outb %al, $0x21
      movb $0x04, %al; outb %al, $0x21; movb $0x01, %al; outb %al, $0x21; movb $0x00, %al; outb %al, $0x21
      movb $0x34, %al; outb %al, $0x43; movb $0xa9, %al; outb %al, $0x40; movb $0x04, %al; outb %al, $0x40
      sti; hlt`);
    expect(bare.stoppedIn()).toBe(0x30);
  } finally {
    bare.close();
  }
});

test('a device that a machine cannot have is refused before anything is made', () => {
  expect(() => new Bare({ devices: { hpet: true } })).toThrow(
    new RangeError(
      'expected a device that a microvm can have (fw_cfg, isa-debugcon, pc-testdev), found "hpet", which only a pc has',
    ),
  );
});
