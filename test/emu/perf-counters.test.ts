/** The performance counters: as their unit, for both kinds of machine, and a PC's four through its guest's eyes (SDM 3B, 20.2). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MSR } from '../../emu/cpu/architecture.js';
import { type CpuidResult, cpuid } from '../../emu/cpu/cpuid.js';
import { CPU_MODELS } from '../../emu/cpu/model.js';
import { PerfCounters } from '../../emu/cpu/perf-counter.js';
import { Bare } from './bare.js';

const ON = 0x43_0000n;
const INTERRUPT = 0x10_0000n;
const INVERT = 0x80_0000n;
const threshold = (cycles: bigint): bigint => cycles << 24n;
const INSTRUCTIONS = 0xc0n;
const leafA = (kind: keyof typeof CPU_MODELS): CpuidResult =>
  cpuid(0xa, 0, { index: 0, count: 1, model: CPU_MODELS[kind], hasApic: true });

describe.each(['microvm', 'pc'] as const)('a %s', (kind) => {
  const { perf: model } = CPU_MODELS[kind];

  // What is counted is what CPUID says: the flag of an event that is not there is set.
  test.each<[string, number, bigint]>([
    ['cycles', 0, 0x003cn],
    ['instructions retired', 1, 0x00c0n],
    ['reference cycles', 2, 0x013cn],
    ['references to the last-level cache', 3, 0x4f2en],
    ['misses of it', 4, 0x412en],
    ['branches', 5, 0x00c4n],
    ['mispredicted branches', 6, 0x00c5n],
  ])('counts %s if leaf 0xA does not deny it', (_name, bit, event) => {
    const counters = new PerfCounters(model);
    counters.setSelect(0, ON | event);
    counters.settle(77);
    const denied = (leafA(kind).ebx >> bit) & 1;
    expect(counters.value(0)).toBe(denied === 1 ? 0n : 77n);
  });

  test('the width is what leaf 0xA says', () => {
    const width = (leafA(kind).eax >> 16) & 0xff;
    const counters = new PerfCounters(model);
    counters.setValue(0, 0xffff_ffffn);
    expect(counters.value(0)).toBe((1n << BigInt(width)) - 1n);
  });

  test('the flags of a threshold, its inverse, edges and rings', () => {
    const counted = (flags: bigint): bigint => {
      const counters = new PerfCounters(model);
      counters.setSelect(0, flags | INSTRUCTIONS);
      counters.settle(10);
      return counters.value(0);
    };
    const EDGE = 0x4_0000n;
    const USR = 0x1_0000n;
    const OS = 0x2_0000n;
    const ENABLE = 0x40_0000n;
    const rows: readonly (readonly [flags: bigint, count: bigint])[] = [
      [ON | threshold(1n), 10n],
      [ON | threshold(2n), 0n],
      [ON | INVERT | threshold(1n), 0n],
      [ON | INVERT | threshold(2n), 10n],
      [ON | INVERT, 10n], // inverts a threshold that there is not
      [ON | EDGE, 0n],
      [ENABLE | USR, 10n],
      [ENABLE | OS, 10n],
      [ENABLE, 0n],
      [USR | OS, 0n],
    ];
    for (const [flags, count] of rows) expect(counted(flags), flags.toString(16)).toBe(count);
  });
});

describe("a pc's four", () => {
  const four = (): PerfCounters => new PerfCounters(CPU_MODELS.pc.perf);

  test('count each its own, and one global bit each lets them', () => {
    const counters = four();
    for (const index of [0, 1, 2, 3]) counters.setSelect(index, ON | INSTRUCTIONS);
    counters.setGlobalControl(0b0110n);
    counters.settle(5);
    counters.setGlobalControl(0b1100n);
    counters.settle(8);
    expect([0, 1, 2, 3].map((index) => counters.value(index))).toEqual([0n, 5n, 8n, 3n]);
  });

  test('overflow one by one, each at its time', () => {
    const counters = four();
    for (const [index, period] of [30n, 10n, 20n].entries()) {
      counters.setFullValue(index, (1n << 48n) - period);
      counters.setSelect(index, ON | INSTRUCTIONS | (index === 2 ? 0n : INTERRUPT));
    }
    const seen: [number, boolean, bigint][] = [];
    for (let now = counters.deadline; now < 100; now = counters.deadline)
      seen.push([now, counters.advance(now), counters.status]);
    expect(seen).toEqual([
      [10, true, 0b010n],
      [20, false, 0b110n],
      [30, true, 0b111n],
    ]);
  });

  test('nothing is due before the deadline, and the count goes on behind it', () => {
    const counters = four();
    counters.setValue(3, 0xffff_fff0n);
    counters.setSelect(3, ON | INSTRUCTIONS | INTERRUPT);
    expect([counters.deadline, counters.advance(15), counters.advance(19)]).toEqual([16, false, true]);
    expect([counters.value(3), counters.status]).toEqual([3n, 0b1000n]);
  });

  test('stop all at an overflow that interrupts if IA32_DEBUGCTL says so', () => {
    const counters = four();
    counters.setDebugControl(0x1000n);
    for (const [index, flags] of [ON, ON | INTERRUPT].entries()) {
      counters.setFullValue(index, (1n << 48n) - BigInt(10 * (index + 1)));
      counters.setSelect(index, flags | INSTRUCTIONS);
    }
    expect([counters.advance(10), counters.globalControl]).toEqual([false, 0b1111n]);
    expect([counters.advance(20), counters.globalControl]).toEqual([true, 0n]);
    counters.settle(1000);
    expect(counters.value(0)).toBe(10n);
  });

  test('and three of one event each, which one register switches on', () => {
    const counters = four();
    expect(leafA('pc').edx).toBe(3 | (48 << 5));
    expect(counters.setFixedControl(0x4n)).toBe(false); // "any thread" is of version 3
    expect(counters.setFixedControl(0x1000n)).toBe(false); // there is no fourth
    counters.setGlobalControl(0x5_0000_0000n);
    counters.setFixedControl(0xb3bn); // all three, the first and the last interrupt
    for (const index of [4, 5, 6]) counters.setFullValue(index, (1n << 48n) - BigInt(index));
    expect(counters.deadline).toBe(4);
    expect(counters.advance(4)).toBe(true);
    expect(counters.status).toBe(0x1_0000_0000n);
    expect(counters.value(5)).toBe((1n << 48n) - 5n); // its global bit is clear
    expect(counters.acknowledge(0x1_0000_0000n)).toBe(true);
    expect(counters.advance(6)).toBe(true);
    expect(counters.status).toBe(0x4_0000_0000n);
  });
  test('are captured and reinstated, the next overflow with them', () => {
    const counters = four();
    counters.setValue(2, 0xffff_fff0n);
    counters.setSelect(2, ON | INSTRUCTIONS);
    counters.settle(3);
    const other = four();
    other.reinstate(counters.capture());
    expect([other.deadline, other.value(2), other.select(2)]).toEqual([
      16,
      counters.value(2),
      ON | INSTRUCTIONS,
    ]);
  });
});

describe('a pc through its guest', () => {
  let bare: Bare;
  beforeEach(async () => {
    bare = new Bare({ kind: 'pc' });
    await bare.haltingHandlers();
  });
  afterEach(() => bare.close());

  const write = (msr: number, value: bigint): string =>
    `mov $${msr}, %ecx\nmov $${value & 0xffff_ffffn}, %eax\nmov $${value >> 32n}, %edx\nwrmsr\n`;
  const READ_BACK = 'xor %eax, %eax\nxor %edx, %edx\nrdmsr\nshl $32, %rdx\nor %rdx, %rax\nint3';

  test.each<[string, number, bigint, bigint?]>([
    ['PERFEVTSEL3', MSR.PERFEVTSEL0 + 3, 0x0053_00c0n],
    ['PMC2: sign-extended to 48 bits', MSR.PMC0 + 2, 0x1234_8000_0000n, 0xffff_8000_0000n],
    ['A_PMC1: all 48 bits', MSR.A_PMC0 + 1, 0x8765_4321_0fedn],
    ['PERF_GLOBAL_CTRL', MSR.PERF_GLOBAL_CTRL, 0xan],
    ['PERF_GLOBAL_OVF_CTRL', MSR.PERF_GLOBAL_OVF_CTRL, 0xc000_0000_0000_000fn, 0n],
    ['DEBUGCTL', MSR.DEBUGCTL, 0x5800n],
  ])('%s reads back', async (_name, msr, value, expected = value) => {
    await bare.code(`${write(msr, value)}${READ_BACK}`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(expected);
  });

  test('the capabilities are full-width writes and a stop in SMM', async () => {
    await bare.code(`mov $${MSR.PERF_CAPABILITIES}, %ecx\n${READ_BACK}`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(0x3000n);
  });

  test.each<[string, number, bigint]>([
    ['a fifth counter', MSR.PMC0 + 4, 0n],
    ['a fifth select', MSR.PERFEVTSEL0 + 4, 0n],
    ['a select with AnyThread, of version 3', MSR.PERFEVTSEL0, 0x20_0000n],
    ['a count of more than 48 bits', MSR.A_PMC0, 1n << 48n],
    ['a global bit of a fifth counter', MSR.PERF_GLOBAL_CTRL, 0x10n],
    ['a global bit of a fourth fixed counter', MSR.PERF_GLOBAL_CTRL, 1n << 35n],
    ['a status that is not there', MSR.PERF_GLOBAL_OVF_CTRL, 0x10n],
    ['branch records', MSR.DEBUGCTL, 1n],
    ['the capabilities, which are read-only', MSR.PERF_CAPABILITIES, 0x2000n],
    ['a fourth fixed counter in their control', MSR.FIXED_CTR_CTRL, 0x1000n],
  ])('%s is #GP', async (_name, msr, value) => {
    await bare.code(write(msr, value));
    expect(bare.stoppedIn()).toBe(13);
  });

  test.each([
    [3, 3],
    [4, 13],
    [0x4000_0003, 13],
  ])('RDPMC of counter %i ends in vector %i', async (counter, vector) => {
    await bare.code(`mov $${counter}, %ecx\nrdpmc\nint3`);
    expect(bare.stoppedIn()).toBe(vector);
  });

  test('RDPMC reads the counter that it names', async () => {
    await bare.code(
      `${write(MSR.A_PMC0 + 2, 0x1234_5678_9abcn)}mov $2, %ecx\nrdpmc\nshl $32, %rdx\nor %rdx, %rax\nint3`,
    );
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(0x1234_5678_9abcn);
  });

  test('two counters interrupt by NMI, each exactly behind its instructions; the entry masks itself in between', async () => {
    const nops = Array.from({ length: 80 }, (_, index) => `n${index}: nop`).join('\n');
    // The handler notes where it came from, opens the entry again and clears the status.
    await bare.code(
      `mov (%rsp), %r10\nmov %r10, (%r8)\nadd $8, %r8\nmov 0x340(%rdi), %r11d\nmov %r11d, %r12d\nmovl $0x400, 0x340(%rdi)\n${write(MSR.PERF_GLOBAL_OVF_CTRL, 0xfn)}iretq`,
      0x3_1000,
    );
    bare.gate(2, { at: 0x3_1000 });
    const flags = ON | INTERRUPT | INSTRUCTIONS;
    const labels = await bare.code(`
      mov $0xfee00000, %edi
      mov $0x30000, %r8d
      movl $0x1ff, 0xf0(%rdi)
      movl $0x400, 0x340(%rdi)
      ${write(MSR.PMC0, 0xffff_ffe0n)}
      ${write(MSR.PMC0 + 1, 0xffff_ffc0n)}
      ${write(MSR.PERF_GLOBAL_CTRL, 0n)}
      ${write(MSR.PERFEVTSEL0, flags)}
      ${write(MSR.PERFEVTSEL0 + 1, flags)}
      ${write(MSR.PERF_GLOBAL_CTRL, 0b11n)}
      ${nops}
      int3`);
    expect(bare.stoppedIn()).toBe(3);
    // WRMSR counts from its own start: 31 more come before the first; the second counts the handler's too.
    expect(bare.get64(0x3_0000)).toBe(labels.get('n31'));
    const handler = 11;
    expect(bare.get64(0x3_0008)).toBe(labels.get(`n${63 - handler}`));
    expect(bare.reg('r12')).toBe(0x1_0400n);
  });
});
