/** Debug registers keep what is written, tell causes in DR6, and never reach the engine, which a breakpoint in them would end. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RFLAGS } from '../../emu/cpu/architecture.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

let place: number = AT.code;
const INT3 = 3;
const DR6_FIXED = 0xffff_0ff0n;

/** Runs a snippet to its INT3, or to the exception that ends it; each at a place of its own. */
async function run(source: string, rax = 0n, rflags: number = RFLAGS.reserved): Promise<number | undefined> {
  place += 0x100;
  bare.enter(bare.cpu, place, AT.stack);
  bare.cpu.state.setReg(GPR.rax, rax);
  bare.cpu.state.rflags = rflags;
  await bare.code(`${source}\nint3`, place);
  return bare.stoppedIn();
}

describe('in ring 0', () => {
  test.each([
    [
      'DR0 to DR3 keep 64 bits',
      'mov %rax, %dr3\nmov %dr3, %rbx',
      0xffff_8123_4567_89abn,
      0xffff_8123_4567_89abn,
    ],
    ['DR6 has fixed bits', 'mov %rax, %dr6\nmov %dr6, %rbx', 0xffff_ffffn, 0xffff_eff0n | 0xfn],
    ['DR7 has fixed bits', 'mov %rax, %dr7\nmov %dr7, %rbx', 0xffff_dfffn, 0xffff_07ffn],
    ['DR4 is DR6 without CR4.DE', 'mov %rax, %dr4\nmov %dr6, %rbx', 0n, DR6_FIXED],
    ['R8 and R9 are reached by REX.B', 'mov %rax, %r9\nmov %r9, %dr1\nmov %dr1, %r8\nmov %r8, %rbx', 7n, 7n],
  ])('%s', async (_, source, value, expected) => {
    expect(await run(source, value)).toBe(INT3);
    expect(bare.reg('rbx').toString(16)).toBe(expected.toString(16));
  });

  test('at reset DR6 and DR7 have their fixed bits', async () => {
    expect(await run('mov %dr6, %rax\nmov %dr7, %rbx')).toBe(INT3);
    expect([bare.reg('rax'), bare.reg('rbx')]).toEqual([DR6_FIXED, 0x400n]);
  });

  test.each([
    ['execution', 0x1],
    ['writing', 0xd_0001],
    ['I/O', 0x2_0001],
  ])('a breakpoint on %s never matches', async (_, dr7) => {
    const arm = `lea here(%rip), %rax\nmov %rax, %dr0\nmov $${dr7}, %ebx\nmov %rbx, %dr7`;
    expect(await run(`${arm}\nmov (%rax), %cl\nmov %cl, (%rax)\nin $0x80, %al\nhere: nop`)).toBe(INT3);
  });

  test.each([
    ['#GP for the high half of DR6', 'mov %rax, %dr6', 13],
    ['#GP for the high half of DR7', 'mov %rax, %dr7', 13],
    ['#UD for DR5 with CR4.DE', 'mov %cr4, %rbx\nor $8, %rbx\nmov %rbx, %cr4\nmov %dr5, %rcx', 6],
    ['#UD for DR8', '.byte 0x44, 0x0f, 0x23, 0xc0', 6],
    ['#UD for SYSENTER, which CPUID does not offer', 'sysenter', 6],
    ['#UD for SYSEXIT', 'sysexit', 6],
  ])('%s', async (_, source, vector) => {
    expect(await run(source, 1n << 40n)).toBe(vector);
  });

  test('DR7.GD guards them once: #DB, with BD in DR6', async () => {
    expect(await run('mov $0x2000, %eax\nmov %rax, %dr7\nmov %dr0, %rbx')).toBe(1);
    expect(await run('mov %dr6, %rax\nmov %dr7, %rbx')).toBe(INT3);
    expect([bare.reg('rax'), bare.reg('rbx')]).toEqual([DR6_FIXED | 0x2000n, 0x400n]);
  });

  test.each([
    ['an instruction of the engine', 'nop'],
    ['a trapped one', 'rdtsc'],
  ])('a single step behind %s sets BS in DR6', async (_, source) => {
    expect(await run(source, 0n, RFLAGS.reserved | RFLAGS.TF)).toBe(1);
    await run('mov %dr6, %rax');
    expect(bare.reg('rax')).toBe(DR6_FIXED | 0x4000n);
  });

  test('a snapshot holds them', async () => {
    expect(await run('mov %rax, %dr2', 0x1234n)).toBe(INT3);
    const snapshot = bare.machine.snapshot();
    expect(await run('mov %rax, %dr2')).toBe(INT3);
    bare.machine.restore(snapshot);
    expect(await run('mov %dr2, %rbx')).toBe(INT3);
    expect(bare.reg('rbx')).toBe(0x1234n);
  });
});

test('in ring 3 they are #GP', async () => {
  await bare.code('mov %dr0, %rax', AT.userCode);
  bare.enterUser();
  expect(bare.stoppedIn()).toBe(13);
});
