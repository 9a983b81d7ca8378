/** MOV to and from CR8 reach the local APIC's task priority (SDM 2B, "MOV—Move to/from Control Registers"; SDM 3A, 11.8.6). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { REG } from '../../emu/devices/apic-registers.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

const ON = 'mov $0xfee00000, %edi\nmovl $0x1ff, 0xf0(%rdi)\n';

test.each([
  ['RAX', 'mov $9, %eax\nmov %rax, %cr8'],
  ['R12', 'mov $9, %r12d\nmov %r12, %cr8'],
])('what %s brings is the upper half of the task priority', async (_name, code) => {
  await bare.code(`${code}\nint3`);
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.cpu.apic.read(REG.tpr)).toBe(0x90);
});

test.each([
  ['RBX', 'mov %cr8, %rbx'],
  ['R11', 'mov %cr8, %r11\nmov %r11, %rbx'],
])('%s takes it, all 64 bits', async (_name, code) => {
  await bare.code(`${ON}mov $-1, %rbx\nmov $-1, %r11\nmovl $0x37, 0x80(%rdi)\n${code}\nint3`);
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.reg('rbx')).toBe(3n);
});

test('an interrupt of a class that is not above it waits, and comes behind the instruction that lets it in', async () => {
  const labels = await bare.code(`
    ${ON}mov $5, %eax\nmov %rax, %cr8
    movl $0x44058, 0x300(%rdi)
    sti\nnop\nnop
    mov $4, %eax\nmov %rax, %cr8
    at: nop\nnop`);
  expect(bare.stoppedIn()).toBe(0x58);
  expect(bare.frame(false).rip).toBe(labels.get('at'));
});

describe('refused', () => {
  test('a reserved bit is #GP', async () => {
    await bare.code('mov $0x10, %eax\nmov %rax, %cr8\nint3');
    expect(bare.stoppedIn()).toBe(13);
  });
  test.each(['mov %rax, %cr8', 'mov %cr8, %rax'])('%s in ring 3 is #GP', async (code) => {
    await bare.code(`xor %eax, %eax\n${code}\nint3`, AT.userCode);
    bare.enterUser();
    expect(bare.stoppedIn()).toBe(13);
  });
  test.each([
    ['from CR9', '.byte 0x44, 0x0f, 0x20, 0xc8'],
    ['to CR15', '.byte 0x44, 0x0f, 0x22, 0xf8'],
  ])('%s is #UD', async (_name, code) => {
    await bare.code(`${code}\nint3`);
    expect(bare.stoppedIn()).toBe(6);
  });
});

test('bytes that only look alike are as ever', async () => {
  await bare.code(`
    mov $0xc0220f44, %esi
    movabs $0xc0200f44c0220f44, %r10
    int3`);
  expect(bare.stoppedIn()).toBe(3);
  expect([bare.reg('rsi'), bare.reg('r10')]).toEqual([0xc022_0f44n, 0xc020_0f44_c022_0f44n]);
});

// An immediate that ends in what would be the prefix.
test.each([
  ['mov %cr0, %rbx', 0x8001_0033n],
  ['mov %cr3, %rbx', BigInt(AT.pml4)],
])('%s behind a byte that looks like REX.R', async (code, expected) => {
  await bare.code(`mov $0x44, %al\n${code}\nint3`);
  expect(bare.stoppedIn()).toBe(3);
  expect([bare.reg('rbx'), bare.reg('rax') & 0xffn]).toEqual([expected, 0x44n]);
});

test('MOV to CR3 behind such a byte', async () => {
  await bare.code(`mov $${AT.pml4}, %ebx\nmov $0x4f, %al\nmov %rbx, %cr3\nnop\nint3`);
  expect(bare.stoppedIn()).toBe(3);
});

test('in 32-bit code the prefix is an instruction of its own', () => {
  const { state } = bare.cpu;
  state.setSegment('cs', { selector: 0x30, base: 0n, limit: 0xffff_ffff, flags: 0x00cf_9b00 });
  state.hflags &= ~HFLAG.CS64;
  bare.machine.write(0, BigInt(AT.code), Buffer.of(0x44, 0x0f, 0x20, 0xc3, 0x90, 0xf4)); // inc %esp; mov %cr0, %ebx; nop; hlt
  bare.machine.run({ budget: 100 });
  expect([bare.reg('rbx'), bare.reg('rsp')]).toEqual([0x8001_0033n, BigInt(AT.stack + 1)]);
});
