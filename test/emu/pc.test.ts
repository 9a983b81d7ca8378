/** A PC's board through its guest's eyes: interrupts from the 8259s by LINT0 and from the I/O APIC, HLT, clocks, snapshots. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Bare } from './bare.js';

/** The first 8259 with vectors from 0x30 on, all inputs open. */
const PIC = `
  movb $0x11, %al; outb %al, $0x20
  movb $0x30, %al; outb %al, $0x21
  movb $0x04, %al; outb %al, $0x21
  movb $0x01, %al; outb %al, $0x21
  movb $0x00, %al; outb %al, $0x21
`;
/** Channel 0 of the 8254: mode 2, a period of 1193 input clocks, which is 999,847 ns. */
const PIT = `
  movb $0x34, %al; outb %al, $0x43
  movb $0xa9, %al; outb %al, $0x40
  movb $0x04, %al; outb %al, $0x40
`;
const PERIOD = 999_847;
const TIMER_VECTOR = 0x30;
const SERIAL_VECTOR = 0x34;

let bare: Bare;
beforeEach(async () => {
  bare = new Bare({ kind: 'pc' });
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

describe('the 8259s', () => {
  test('wake a halted CPU by LINT0 at the timer', async () => {
    await bare.code(`${PIC}${PIT} sti; hlt`);
    expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
    expect(bare.cpu.time).toBeGreaterThanOrEqual(PERIOD);
    expect(bare.machine.retired).toBeLessThan(100);
  });
  test('interrupt a running CPU, at the timer', async () => {
    await bare.code(`${PIC}${PIT} sti; jmp .`);
    expect(bare.stoppedIn(2_000_000)).toBe(TIMER_VECTOR);
    expect(bare.cpu.time - PERIOD).toBeLessThan(838); // an input clock
  });
  test('wait for IF', async () => {
    await bare.code(`${PIC}${PIT} hlt`);
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
  });
  test('do not reach a CPU whose LINT0 is masked: a machine that only its clock keeps awake hangs', async () => {
    await bare.code(`movl $0xfee00350, %ebx; movl $0x10700, (%rbx); ${PIC}${PIT} sti; hlt`);
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
  });
  test('carry the serial port', async () => {
    const uart =
      'movw $0x3fc, %dx; movb $0x0a, %al; outb %al, %dx; movw $0x3f9, %dx; movb $1, %al; outb %al, %dx;';
    await bare.code(`${PIC}${uart} sti; hlt`);
    bare.machine.input(Uint8Array.of(0x41));
    expect(bare.stoppedIn()).toBe(SERIAL_VECTOR);
  });
});

test('the I/O APIC reaches the local APIC that its entry names', async () => {
  bare.put64(0x8000 + 8 * 502, 0xfec0_0083n); // its 2 MiB, beside those of the local APIC
  await bare.code(`
    movl $0xfee000f0, %ebx; movl $0x1ff, (%rbx)
    ${PIT}
    movl $0xfec00000, %ebx
    movl $0x15, (%rbx); movl $0, 0x10(%rbx)
    movl $0x14, (%rbx); movl $0x61, 0x10(%rbx)
    sti; hlt`);
  expect(bare.stoppedIn()).toBe(0x61);
});

describe('the HPET', () => {
  const map = (): void => bare.put64(0x8000 + 8 * 502, 0xfec0_0083n);
  test('is read in 64 bits', async () => {
    map();
    await bare.code(
      'movl $0xfed00000, %ebx; movq (%rbx), %rax; movq $-1, 0x108(%rbx); movq 0x108(%rbx), %rcx; int3',
    );
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rax'), bare.reg('rcx')]).toEqual([0x0098_9680_8086_a201n, 2n ** 64n - 1n]);
  });
  test.each([
    ['to the timer of the 8259s in legacy routing', 0, 3, TIMER_VECTOR],
    ['to an input of the I/O APIC', 20 << 9, 1, 0x62],
  ])('leads %s, and wakes a halted CPU there', async (_name, route, config, vector) => {
    map();
    await bare.code(`
      movl $0xfee000f0, %ebx; movl $0x1ff, (%rbx)
      movl $0xfec00000, %ebx
      movl $0x39, (%rbx); movl $0, 0x10(%rbx)
      movl $0x38, (%rbx); movl $0x62, 0x10(%rbx)
      ${PIC}
      movl $0xfed00000, %ebx
      movl $${0x104 | route}, 0x100(%rbx)
      movl $5000, 0x108(%rbx)
      movl $${config}, 0x10(%rbx)
      sti; hlt`);
    expect(bare.stoppedIn()).toBe(vector);
    expect(bare.cpu.time).toBeGreaterThanOrEqual(50_000);
    expect(bare.machine.retired).toBeLessThan(100);
  });
  test('in legacy routing cuts the 8254 off', async () => {
    map();
    await bare.code(`${PIC}movl $0xfed00000, %ebx; movl $2, 0x10(%rbx); ${PIT} sti; hlt`);
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
  });
});

test("the ACPI timer's interrupt is line 9", async () => {
  // The slave's vectors follow the master's here.
  const slave =
    'movb $0x11, %al; outb %al, $0xa0; movb $0x38, %al; outb %al, $0xa1; movb $2, %al; outb %al, $0xa1; movb $1, %al; outb %al, $0xa1; movb $0, %al; outb %al, $0xa1;';
  await bare.code(`${PIC}${slave} movw $0x602, %dx; movw $1, %ax; outw %ax, %dx; sti; hlt`);
  expect(bare.stoppedIn()).toBe(0x39);
  expect(bare.cpu.time).toBeGreaterThanOrEqual(2 ** 23 / 3.579545e-3);
});

test('fw_cfg is read by a string instruction', async () => {
  await bare.code(`
    movw $0x510, %dx; xorl %eax, %eax; outw %ax, %dx
    movw $0x511, %dx; movl $0x30000, %edi; movl $4, %ecx; cld; rep insb; int3`);
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.get64(0x3_0000)).toBe(BigInt(Buffer.from('QEMU').readUInt32LE()));
});

test.each([
  ['by the keyboard controller', 'movb $0xfe, %al; outb %al, $0x64'],
  ['by its output port', 'movb $0xd1, %al; outb %al, $0x64; movb $0, %al; outb %al, $0x60'],
  ['by the reset control register', 'movw $0xcf9, %dx; movb $6, %al; outb %al, %dx'],
])('a guest resets itself %s', async (_name, code) => {
  await bare.code(`${code}; hlt`);
  expect(bare.machine.run()).toEqual({ kind: 'reset' });
});

test('the test device raises an interrupt line', async () => {
  await bare.code(`${PIC} sti; movw $0x2004, %dx; movb $1, %al; outb %al, %dx; nop; nop`);
  expect(bare.stoppedIn()).toBe(SERIAL_VECTOR);
});

test('a snapshot holds the board', async () => {
  await bare.code(`${PIC}${PIT} sti; hlt`);
  bare.machine.run({ budget: 20 });
  const before = bare.machine.snapshot();
  const first = [bare.stoppedIn(), bare.cpu.time, bare.machine.events.hash.digest];
  bare.machine.restore(before);
  expect([bare.stoppedIn(), bare.cpu.time, bare.machine.events.hash.digest]).toEqual(first);
});

test('CPUs share one clock: a time-stamp that is read later is not smaller', async () => {
  const smp = new Bare({ kind: 'pc', cpus: 3, turn: 50 });
  try {
    await smp.code(`
      again: movq 0x30000, %rbx
      rdtsc; shlq $32, %rdx; orq %rdx, %rax
      cmpq %rbx, %rax; jb bad
      movq %rax, 0x30000; jmp again
      bad: int3`);
    for (const cpu of smp.machine.cpus) cpu.activity = 'running';
    await smp.haltingHandlers();
    expect(smp.machine.run({ budget: 20_000 })).toEqual({ kind: 'budget' });
  } finally {
    smp.close();
  }
});
