/** SYSCALL and SYSRET (SDM 2B, "SYSCALL—Fast System Call", "SYSRET—Return From Fast System Call"). */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EFER, MSR, RFLAGS } from '../../emu/cpu/architecture.js';
import { AT, Bare, SELECTOR } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

/** SYSRET takes CS from base + 16 and SS from base + 8: user data at 0x18, user code at 0x20. */
const STAR = (0x10n << 48n) | (8n << 32n);
const wrmsr = (msr: number, value: bigint): string =>
  `mov $${msr}, %ecx\nmov $${value & 0xffff_ffffn}, %eax\nmov $${value >> 32n}, %edx\nwrmsr\n`;
const KERNEL = AT.handlers + 0x1000;
const setUp = (fmask: number): string =>
  wrmsr(MSR.STAR, STAR) + wrmsr(MSR.LSTAR, BigInt(KERNEL)) + wrmsr(MSR.FMASK, BigInt(fmask));
/** Ring 0 sets the registers up and goes to ring 3 by SYSRET with the flags in R11. */
const start = (fmask: number, flags: number): string =>
  `${setUp(fmask)}mov $${AT.userCode}, %ecx\nmov $${flags}, %r11d\nmov $${AT.userStack + 0x800}, %esp\nsysretq`;

test('SYSCALL saves RIP and RFLAGS, masks RFLAGS, loads CS and SS from STAR, and leaves RSP', async () => {
  const flags = RFLAGS.reserved | RFLAGS.IF | 0x8d5;
  await bare.code(start(RFLAGS.IF | RFLAGS.TF | 0x4c1, flags));
  const labels = await bare.code('mov $39, %eax\nsyscall\nbehind: nop', AT.userCode);
  await bare.code('hlt', KERNEL);
  const events: unknown[] = [];
  bare.machine.events.on('syscall', (event) => events.push(event));
  expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'hang' });
  expect(bare.reg('rcx')).toBe(labels.get('behind'));
  expect(bare.reg('r11')).toBe(BigInt(flags));
  expect(bare.reg('rsp')).toBe(BigInt(AT.userStack + 0x800));
  const { state } = bare.cpu;
  expect(state.rip).toBe(BigInt(KERNEL + 1));
  expect(state.rflags).toBe(flags & ~(RFLAGS.IF | 0x4c1));
  expect(state.cpl).toBe(0);
  expect(state.segment('cs')).toMatchObject({ selector: 8, base: 0n });
  expect(state.segment('ss')).toMatchObject({ selector: 16, base: 0n });
  expect(events).toMatchObject([{ kind: 'syscall', number: 39, rip: labels.get('behind')! - 2n }]);
});

test('SYSRETQ goes to ring 3 at RCX with RFLAGS from R11, CS = base + 16 and SS = base + 8, both with RPL 3', async () => {
  const flags = RFLAGS.reserved | RFLAGS.IF | 0x8d5;
  await bare.code(start(0, flags));
  await bare.code('at: ud2', AT.userCode);
  expect(bare.stoppedIn()).toBe(6);
  expect(bare.frame(false)).toEqual({
    errorCode: undefined,
    rip: BigInt(AT.userCode),
    cs: SELECTOR.userCode,
    rflags: flags | RFLAGS.RF,
    rsp: BigInt(AT.userStack + 0x800),
    ss: SELECTOR.userData,
  });
});

test.each([
  ['syscall', KERNEL],
  ['ud2', undefined],
])('flags of ring 0 do not reach what %s saves in ring 3', async (instruction, entry) => {
  const ring0 = 'mov $-1, %rax\nadd $-1, %rax\nnop\n'; // leaves CF, PF, AF and SF
  await bare.code(start(0, RFLAGS.reserved).replace('sysretq', `${ring0}sysretq`));
  await bare.code(`nop\n${instruction}`, AT.userCode);
  if (entry !== undefined) await bare.code('hlt', entry);
  bare.machine.run({ budget: 100 });
  const saved = entry === undefined ? bare.frame(false).rflags & ~RFLAGS.RF : Number(bare.reg('r11'));
  expect(saved).toBe(RFLAGS.reserved);
});

test('a thousand round trips leave every other register alone', async () => {
  await bare.code(start(RFLAGS.IF, RFLAGS.reserved | RFLAGS.IF));
  await bare.code(
    'mov $1000, %ebx\nmov $0x1111, %r8d\nmov $0x2222, %r15d\nloop: syscall\ndec %ebx\njnz loop\nud2',
    AT.userCode,
  );
  await bare.code('inc %rbp\nsysretq', KERNEL);
  bare.cpu.state.setReg(5, 0n);
  expect(bare.stoppedIn(20_000)).toBe(6);
  expect([bare.reg('rbp'), bare.reg('r8'), bare.reg('r15'), bare.reg('rbx')]).toEqual([
    1000n,
    0x1111n,
    0x2222n,
    0n,
  ]);
});

test.each(['syscall', 'sysretq'])('%s without EFER.SCE is #UD', async (code) => {
  bare.cpu.state.efer &= ~EFER.SCE;
  const labels = await bare.code(`nop\nat: ${code}`);
  expect(bare.stoppedIn()).toBe(6);
  expect(bare.frame(false).rip).toBe(labels.get('at'));
});

test('clearing EFER.SCE by WRMSR takes effect at once', async () => {
  const labels = await bare.code(`${setUp(0)}${wrmsr(MSR.EFER, EFER.LME | EFER.NXE | EFER.LMA)}at: syscall`);
  expect(bare.stoppedIn()).toBe(6);
  expect(bare.frame(false).rip).toBe(labels.get('at'));
});

test.each([
  ['TF that FMASK clears does not trap in the kernel', RFLAGS.TF, 3, 0],
  ['TF that FMASK leaves traps before the first kernel instruction', 0, 1, 0],
])('%s', async (_name, fmask, vector, behind) => {
  await bare.code(`${setUp(fmask)}int3`);
  expect(bare.stoppedIn()).toBe(3);
  await bare.code('int3', KERNEL);
  await bare.code('syscall', AT.userCode);
  bare.enterUser(AT.userCode, RFLAGS.reserved | RFLAGS.TF);
  expect(bare.stoppedIn()).toBe(vector);
  expect(bare.frame(false).rip).toBe(BigInt(KERNEL + (vector === 3 ? 1 : behind)));
});

test('SYSCALL at the end of a page and a kernel entry in the upper half', async () => {
  bare.put64(AT.pml4 + 8 * 511, BigInt(AT.pdpt | 3));
  bare.put64(AT.pdpt + 8 * 510, BigInt(AT.pd | 3));
  const high = 0xffff_ffff_8000_0000n + BigInt(KERNEL);
  await bare.code(
    `${setUp(0)}${wrmsr(MSR.LSTAR, high)}mov $${AT.userCode + 0xffe}, %ecx\nmov $2, %r11d\nsysretq`,
  );
  await bare.code('syscall', AT.userCode + 0xffe);
  await bare.code('hlt', KERNEL);
  expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'hang' });
  expect(bare.cpu.state.rip).toBe(high + 1n);
  expect(bare.reg('rcx')).toBe(BigInt(AT.userCode + 0x1000));
});
