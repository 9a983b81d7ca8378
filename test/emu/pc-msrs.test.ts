/** What kernels read and set up at boot: memory types, machine checks, and registers that tell of the platform, as a PC has them and a microvm has not. */
import { afterAll, describe, expect, test } from 'vitest';
import { MSR } from '../../emu/cpu/architecture.js';
import { cpuid } from '../../emu/cpu/cpuid.js';
import { Bare } from './bare.js';

const pc = new Bare({ kind: 'pc', cpus: 2 });
const microvm = new Bare();
afterAll(() => {
  pc.close();
  microvm.close();
});

const ALL = 2n ** 64n - 1n;
const WB = 0x0606_0606_0606_0606n;

describe('at reset, as firmware leaves them', () => {
  test.each<[name: string, msr: number, value: bigint]>([
    ['MTRRCAP: eight variable ranges, fixed ones, write combining', 0xfe, 0x508n],
    ['MTRR_DEF_TYPE: on, with fixed ranges, write-back', 0x2ff, 0xc06n],
    ['memory below 512 KiB', 0x250, WB],
    ['memory below 640 KiB', 0x258, WB],
    ['the hole for screens', 0x259, 0n],
    ['what was ROM', 0x268, 0x0505_0505_0505_0505n],
    ['what was ROM, to 1 MiB', 0x26f, 0x0505_0505_0505_0505n],
    ['the devices below 4 GiB', 0x200, 0xc000_0000n],
    ['which are 1 GiB', 0x201, 0xff_c000_0800n],
    ['a range that is off', 0x20f, 0n],
    ['MCG_CAP: four banks, and a register that controls all', 0x179, 0x104n],
    ['MCG_STATUS', 0x17a, 0n],
    ['MCG_CTL', 0x17b, ALL],
    ['MC3_STATUS', 0x40d, 0n],
    ['PLATFORM_ID', 0x17, 0n],
    ['PLATFORM_INFO: ten times 100 MHz', 0xce, 0x0a00_0000_0a00n],
    ['MISC_ENABLE: fast strings, counters, no traces, no precise events', 0x1a0, 0x1881n],
    ['ARCH_CAPABILITIES: not affected by rogue loads', 0x10a, 0x4000_0000_0d10_e179n],
  ])('%s', (_name, msr, value) => {
    expect(pc.cpu.readMsr(msr)?.toString(16)).toBe(value.toString(16));
  });
});

describe('writes (SDM 3A, 12.11; SDM 3B, 16.3)', () => {
  test.each<[name: string, msr: number, value: bigint, accepted: boolean]>([
    ['MTRRCAP is read-only', 0xfe, 0x508n, false],
    ['all ranges off', 0x2ff, 0n, true],
    ['a default of write-combining', 0x2ff, 0xc01n, true],
    ['a default of type 2', 0x2ff, 0xc02n, false],
    ['a default of type 7', 0x2ff, 0xc07n, false],
    ['a reserved bit of the default', 0x2ff, 0x1c06n, false],
    ['all types in a fixed range', 0x26a, 0x0605_0401_0006_0504n, true],
    ['type 3 in its last byte', 0x26a, 0x0306_0606_0606_0606n, false],
    ['type 8 in its first', 0x26a, 0x0606_0606_0606_0608n, false],
    ['a fixed range that is not there', 0x251, WB, false],
    ['a base of 40 bits', 0x202, 0xff_ffff_f005n, true],
    ['a base of 41 bits', 0x202, 0x100_0000_0006n, false],
    ['a base of type 2', 0x202, 0x2n, false],
    ['a base that is not of a page', 0x202, 0x806n, false],
    ['a mask with its valid bit', 0x203, 0xff_8000_0800n, true],
    ['a mask with one below it', 0x203, 0xff_8000_0c00n, false],
    ['a mask of 41 bits', 0x203, 0x1ff_8000_0800n, false],
    ['a ninth range', 0x210, 0n, false],
    ['MCG_CAP is read-only', 0x179, 0x104n, false],
    ['a check is over', 0x17a, 0n, true],
    ['a reserved status', 0x17a, 8n, false],
    ['all checks off', 0x17b, 0n, true],
    ['some checks on', 0x17b, 5n, false],
    ['a bank on', 0x404, ALL, true],
    ['a status cleared', 0x405, 0n, true],
    ['a status made up', 0x405, 1n, false],
    ['an address made up', 0x406, 1n, false],
    ['a fifth bank', 0x410, 0n, false],
    ['slow strings', 0x1a0, 0x1880n, true],
    ['counters off', 0x1a0, 0x1801n, false],
    ['CPUID with fewer leaves', 0x1a0, 0x40_1881n, false],
    ['PLATFORM_ID is read-only', 0x17, 0n, false],
    ['ARCH_CAPABILITIES is read-only', 0x10a, 0n, false],
  ])('%s', (_name, msr, value, accepted) => {
    const before = pc.cpu.readMsr(msr);
    expect(pc.cpu.writeMsr(msr, value)).toBe(accepted);
    expect(pc.cpu.readMsr(msr)).toBe(accepted ? value : before);
  });
});

test("INIT sets back what is the processor's and leaves memory types and machine checks (SDM 3A, table 9-1)", () => {
  const cpu = pc.machine.cpus[1]!;
  cpu.writeMsr(MSR.LSTAR, 0x1234n);
  cpu.writeMsr(0x250, 0n);
  cpu.writeMsr(0x404, 5n);
  cpu.init();
  expect([MSR.LSTAR, 0x250, 0x404].map((msr) => cpu.readMsr(msr))).toEqual([0n, 0n, 5n]);
});

test('a snapshot holds them', () => {
  pc.cpu.writeMsr(0x250, 0n);
  const snapshot = pc.machine.snapshot();
  pc.cpu.writeMsr(0x250, WB);
  pc.cpu.writeMsr(0x258, 0n);
  pc.machine.restore(snapshot);
  expect([0x250, 0x258].map((msr) => pc.cpu.readMsr(msr))).toEqual([0n, WB]);
});

// CPUID announces exactly what is there.
test.each([
  ['MTRRs', 1, 'edx', 12, 0x2ff],
  ['machine checks', 1, 'edx', 7, 0x17a],
  ['their architecture', 1, 'edx', 14, 0x179],
  ['PERF_CAPABILITIES', 1, 'ecx', 15, MSR.PERF_CAPABILITIES],
  ['TSC-deadline mode', 1, 'ecx', 24, MSR.TSC_DEADLINE],
  ['TSC_ADJUST', 7, 'ebx', 1, MSR.TSC_ADJUST],
  ['ARCH_CAPABILITIES', 7, 'edx', 29, MSR.ARCH_CAPABILITIES],
] as const)('CPUID tells of %s', (_name, leaf, register, bit, msr) => {
  for (const { cpu } of [pc, microvm]) {
    const subject = { index: 0, count: 1, model: cpu.model, hasApic: true };
    const announced = ((cpuid(leaf, 0, subject)[register] >>> bit) & 1) === 1;
    expect([announced, cpu.readMsr(msr) !== undefined]).toEqual([cpu === pc.cpu, cpu === pc.cpu]);
  }
});

// Leaf 0xB (SDM 2A, "CPUID", table 3-8): shift to the next level's id, CPUs of the level, level and type, x2APIC id.
test.each([
  [1, 0, [[0, 1, 0x100, 0], [0, 1, 0x201, 0], [0, 0, 2, 0]]],
  [4, 3, [[0, 1, 0x100, 3], [2, 4, 0x201, 3], [0, 0, 2, 3]]],
  [5, 4, [[0, 1, 0x100, 4], [3, 5, 0x201, 4], [0, 0, 2, 4]]],
])('the topology of %i CPUs at CPU %i', (count, index, levels) => {
  const subject = { index, count, model: pc.cpu.model, hasApic: true };
  const answers = levels.map((_, level) => cpuid(0xb, level, subject));
  expect(answers.map(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx])).toEqual(levels);
}); // biome-ignore format: a machine to a line
