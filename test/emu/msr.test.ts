/** Model-specific registers, the time-stamp counter and the performance counter as instructions see them (SDM 2B, "RDMSR", "WRMSR", "RDTSC", "RDPMC"). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MSR } from '../../emu/cpu/architecture.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

const load = (msr: number, value: bigint): string =>
  `mov $${msr}, %ecx\nmov $${value & 0xffff_ffffn}, %eax\nmov $${value >> 32n}, %edx\n`;
const READ_BACK = 'xor %eax, %eax\nxor %edx, %edx\nrdmsr\nshl $32, %rdx\nor %rdx, %rax\nint3';
const HIGH = 0xffff_8880_1234_5000n;
const NON_CANONICAL = 0x1234_8000_0000_0000n;

describe('read back', () => {
  test.each<[string, number, bigint, bigint?]>([
    ['STAR', MSR.STAR, 0x0010_0008_0000_0000n],
    ['LSTAR', MSR.LSTAR, HIGH],
    ['CSTAR', MSR.CSTAR, HIGH],
    ['FMASK', MSR.FMASK, 0x47700n],
    ['FS_BASE', MSR.FS_BASE, HIGH],
    ['GS_BASE', MSR.GS_BASE, HIGH],
    ['KERNEL_GS_BASE', MSR.KERNEL_GS_BASE, HIGH],
    ['EFER', MSR.EFER, 0xd01n],
    ['EFER: LMA cannot be written', MSR.EFER, 0x901n, 0xd01n],
    ['PAT', MSR.PAT, 0x0007_0406_0007_0401n],
    ['APIC_BASE', MSR.APIC_BASE, 0xfee0_0900n],
    ['PERFEVTSEL0', MSR.PERFEVTSEL0, 0x0053_00c0n],
    ['PERF_GLOBAL_CTRL', MSR.PERF_GLOBAL_CTRL, 1n],
    ['PMC0: the low 32 bits, sign-extended to 40', MSR.PMC0, 0x8000_0000n, 0xff_8000_0000n],
    ['PMC0: a positive value', MSR.PMC0, 0x7fff_ffffn],
    ['MISC_ENABLE', MSR.MISC_ENABLE, 0x801n],
    ['BIOS_SIGN_ID: no microcode', MSR.BIOS_SIGN_ID, 0n],
  ])('%s', async (_name, msr, value, expected = value) => {
    // The counter stands still, and nothing is counted while it is read.
    await bare.code(`${load(MSR.PERF_GLOBAL_CTRL, 0n)}wrmsr\n${load(msr, value)}wrmsr\n${READ_BACK}`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(expected);
  });

  test('FS and GS bases are used by the next access, and SWAPGS exchanges the latter', async () => {
    bare.put64(AT.data, 11n, 22n, 33n);
    await bare.code(`
      ${load(MSR.FS_BASE, BigInt(AT.data))}wrmsr
      ${load(MSR.GS_BASE, BigInt(AT.data + 8))}wrmsr
      ${load(MSR.KERNEL_GS_BASE, BigInt(AT.data + 16))}wrmsr
      xor %edi, %edi
      mov %fs:(%rdi), %rax
      mov %gs:(%rdi), %rbx
      swapgs
      mov %gs:(%rdi), %rsi
      int3`);
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rax'), bare.reg('rbx'), bare.reg('rsi')]).toEqual([11n, 22n, 33n]);
  });

  test('RDMSR clears the upper halves of RAX and RDX', async () => {
    await bare.code(`mov $-1, %rax\nmov $-1, %rdx\nmov $${MSR.FMASK}, %ecx\nrdmsr\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rax'), bare.reg('rdx')]).toEqual([0n, 0n]);
  });
});

describe('#GP(0)', () => {
  test.each<[string, number, bigint, 'rdmsr' | 'wrmsr']>([
    ['an unknown register', 0x1234, 0n, 'rdmsr'],
    ['an unknown register', 0x1234, 0n, 'wrmsr'],
    ['x2APIC registers', 0x802, 0n, 'rdmsr'],
    ['LSTAR', MSR.LSTAR, NON_CANONICAL, 'wrmsr'],
    ['CSTAR', MSR.CSTAR, NON_CANONICAL, 'wrmsr'],
    ['FS_BASE', MSR.FS_BASE, NON_CANONICAL, 'wrmsr'],
    ['GS_BASE', MSR.GS_BASE, NON_CANONICAL, 'wrmsr'],
    ['KERNEL_GS_BASE', MSR.KERNEL_GS_BASE, NON_CANONICAL, 'wrmsr'],
    ['FMASK above 32 bits', MSR.FMASK, 1n << 32n, 'wrmsr'],
    ['EFER with a reserved bit', MSR.EFER, 0xd03n, 'wrmsr'],
    ['EFER.LME while paging is on', MSR.EFER, 0xc01n, 'wrmsr'],
    ['APIC_BASE moved', MSR.APIC_BASE, 0xfed0_0900n, 'wrmsr'],
    ['PERF_GLOBAL_STATUS is read-only', MSR.PERF_GLOBAL_STATUS, 1n, 'wrmsr'],
    ['BIOS_SIGN_ID takes zero only', MSR.BIOS_SIGN_ID, 1n, 'wrmsr'],
    ['MTRRCAP is read-only', MSR.MTRRCAP, 0n, 'wrmsr'],
    ['PAT with a reserved type', MSR.PAT, 2n, 'wrmsr'],
    ['PERFEVTSEL0 above 32 bits', MSR.PERFEVTSEL0, 1n << 32n, 'wrmsr'],
    ['PERF_GLOBAL_CTRL with a counter that is not there', MSR.PERF_GLOBAL_CTRL, 2n, 'wrmsr'],
  ])('%s', async (_name, msr, value, code) => {
    const labels = await bare.code(`${load(msr, value)}at: ${code}`);
    expect(bare.stoppedIn()).toBe(13);
    expect(bare.frame(true)).toMatchObject({ errorCode: 0, rip: labels.get('at') });
  });

  test('a refused write changes nothing', async () => {
    await bare.code('add $8, %rsp\naddq $2, (%rsp)\niretq', AT.data);
    bare.gate(13, { at: AT.data });
    await bare.code(`${load(MSR.LSTAR, HIGH)}wrmsr\n${load(MSR.LSTAR, NON_CANONICAL)}wrmsr\n${READ_BACK}`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(HIGH);
  });
});

describe('RDTSC', () => {
  test('counts executed instructions, its own included', async () => {
    await bare.code('rdtsc\nmov %eax, %esi\nnop\nnop\nnop\nrdtsc\nsub %esi, %eax\nint3');
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(5n);
  });

  test('can be set', async () => {
    await bare.code(`${load(MSR.TSC, 0x1_2345_0000n)}wrmsr\nrdtsc\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rdx'), bare.reg('rax')]).toEqual([1n, 0x2345_0001n]);
  });

  test('goes on while the CPU is halted', async () => {
    await bare.code('add $8, %ebx\nmovl $0, 0xb0(%rdi)\niretq', AT.data);
    bare.gate(0x40, { at: AT.data });
    await bare.code(`
      mov $0xfee00000, %edi
      movl $0x1ff, 0xf0(%rdi)
      movl $0x40, 0x320(%rdi)
      movl $0xb, 0x3e0(%rdi)
      rdtsc
      mov %eax, %esi
      movl $5000, 0x380(%rdi)
      sti
      hlt
      rdtsc
      sub %esi, %eax
      int3`);
    expect(bare.stoppedIn()).toBe(3);
    // From RDTSC two instructions to the start of the timer, 5000 ticks, three of the handler, and RDTSC at its place.
    expect(bare.reg('rax')).toBe(5005n);
  });

  test.each([
    ['is open to ring 3', '0x620', 6],
    ['is closed to ring 3 by CR4.TSD', '0x624', 13],
  ])('%s', async (_name, cr4, vector) => {
    await bare.code('rdtsc\nud2', AT.userCode);
    bare.enterUser();
    bare.cpu.state.setCr(4, BigInt(cr4));
    expect(bare.stoppedIn()).toBe(vector);
  });
});

describe('RDPMC and the counter', () => {
  const COUNT = `${load(MSR.PERF_GLOBAL_CTRL, 1n)}wrmsr\n${load(MSR.PMC0, 0n)}wrmsr\n`;
  const on = (flags: bigint): string => `${load(MSR.PERFEVTSEL0, flags)}wrmsr\n`;

  test.each<[string, bigint, bigint]>([
    ['instructions, USR and OS', 0x43_00c0n, 4n],
    ['OS alone', 0x42_00c0n, 4n],
    ['not enabled', 0x03_00c0n, 0n],
    ['neither ring', 0x40_00c0n, 0n],
    ['an event that is not there', 0x43_003cn, 0n],
  ])('counts: %s', async (_name, select, expected) => {
    await bare.code(`${COUNT}${on(select)}xor %ecx, %ecx\nnop\nnop\nrdpmc\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(expected);
  });

  test('a select that is switched off keeps the count', async () => {
    await bare.code(`${COUNT}${on(0x43_00c0n)}nop\n${on(0n)}xor %ecx, %ecx\nnop\nnop\nrdpmc\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(5n);
  });

  test('a counter that is not there is #GP', async () => {
    await bare.code('mov $1, %ecx\nrdpmc');
    expect(bare.stoppedIn()).toBe(13);
  });

  test.each([
    ['is closed to ring 3', '0x620', 13],
    ['is open to ring 3 with CR4.PCE', '0x720', 6],
  ])('%s', async (_name, cr4, vector) => {
    await bare.code('xor %ecx, %ecx\nrdpmc\nud2', AT.userCode);
    bare.enterUser();
    bare.cpu.state.setCr(4, BigInt(cr4));
    expect(bare.stoppedIn()).toBe(vector);
  });

  // From WRMSR to PERFEVTSEL0 the counter counts; with PMC0 at -N the overflow comes behind N instructions.
  test.each([1, 2, 3, 10, 50])(
    'overflows behind %i instructions and raises an NMI exactly there',
    async (period) => {
      const nops = Array.from({ length: 60 }, (_, index) => `n${index}: nop`).join('\n');
      const labels = await bare.code(`
      mov $0xfee00000, %edi
      movl $0x1ff, 0xf0(%rdi)
      movl $0x400, 0x340(%rdi)
      ${load(MSR.PMC0, BigInt.asUintN(32, BigInt(-period)))}wrmsr
      ${on(0x53_00c0n)}${nops}`);
      expect(bare.stoppedIn()).toBe(2);
      // WRMSR itself counts from its own start.
      expect(bare.frame(false).rip).toBe(labels.get(`n${period - 1}`));
      // The entry masks itself (SDM 3A, 11.5.1) and the status bit is set until it is acknowledged.
      expect(bare.cpu.apic.read(0x340)).toBe(0x1_0400);
    },
  );

  test('the status bit is set by the overflow and cleared by a one in OVF_CTRL', async () => {
    const status = `mov $${MSR.PERF_GLOBAL_STATUS}, %ecx\nrdmsr\n`;
    await bare.code(`
      ${load(MSR.PMC0, 0xffff_ffffn)}wrmsr
      ${on(0x43_00c0n)}nop
      ${status}mov %eax, %esi
      ${load(MSR.PERF_GLOBAL_OVF_CTRL, 1n)}wrmsr
      ${status}int3`);
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rsi'), bare.reg('rax')]).toEqual([1n, 0n]);
  });

  test.each([
    ['without the INT bit', 0x43_00c0n, '0x400'],
    ['with a masked LVT entry', 0x53_00c0n, '0x10400'],
  ])('an overflow %s raises nothing', async (_name, select, lvt) => {
    await bare.code(`
      mov $0xfee00000, %edi
      movl $0x1ff, 0xf0(%rdi)
      movl $${lvt}, 0x340(%rdi)
      ${load(MSR.PMC0, 0xffff_fff0n)}wrmsr
      ${on(select)}mov $100, %ecx
      loop: dec %ecx
      jnz loop
      int3`);
    expect(bare.stoppedIn()).toBe(3);
  });
});
