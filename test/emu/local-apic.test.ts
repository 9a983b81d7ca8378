/** The local APIC (SDM 3A, "Advanced Programmable Interrupt Controller", chapter 11), as its unit and through the guest's eyes. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Ipi } from '../../emu/devices/apic-command.js';
import { LocalApic } from '../../emu/devices/local-apic.js';
import { AT, Bare } from './bare.js';

const REG = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  ppr: 0xa0,
  eoi: 0xb0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icrLow: 0x300,
  icrHigh: 0x310,
  timer: 0x320,
  thermal: 0x330,
  performance: 0x340,
  lint0: 0x350,
  lint1: 0x360,
  error: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
} as const;
const MASKED = 0x1_0000;
const DIVIDE_BY_1 = 0xb;

/** One APIC on a bench: its wires lead to lists. */
function bench(id = 0, enabled = true) {
  const sent: Ipi[] = [];
  const wires = { time: 0, nmis: 0 };
  const apic = new LocalApic(id, {
    now: () => wires.time,
    send: (ipi) => sent.push(ipi),
    raiseNmi: () => wires.nmis++,
    changed: () => {},
  });
  if (enabled) apic.write(REG.svr, 0x1ff);
  return { apic, sent, wires };
}

describe('registers', () => {
  test.each<[string, number, number]>([
    ['id', REG.id, 0x0500_0000],
    ['version', REG.version, 0x0005_0014],
    ['tpr', REG.tpr, 0],
    ['ppr', REG.ppr, 0],
    ['ldr', REG.ldr, 0],
    ['dfr', REG.dfr, 0xffff_ffff],
    ['svr', REG.svr, 0xff],
    ['esr', REG.esr, 0],
    ...(['timer', 'thermal', 'performance', 'lint0', 'lint1', 'error'] as const).map(
      (name): [string, number, number] => [name, REG[name], MASKED],
    ),
    ['initial count', REG.initialCount, 0],
    ['current count', REG.currentCount, 0],
    ['divide', REG.divide, 0],
    ['a reserved one', 0x40, 0],
  ])('%s after reset', (_name, register, value) => {
    expect(bench(5, false).apic.read(register)).toBe(value);
  });

  test.each<[string, number, number, number]>([
    ['tpr keeps eight bits', REG.tpr, 0xffff_ff5a, 0x5a],
    ['ldr keeps the top byte', REG.ldr, 0x1234_5678, 0x1200_0000],
    ['dfr keeps the model', REG.dfr, 0x0123_4567, 0x0fff_ffff],
    ['svr', REG.svr, 0xffff_ffff, 0x3ff],
    ['timer', REG.timer, 0x2_0040, 0x2_0040],
    ['icr high keeps the destination', REG.icrHigh, 0xab12_3456, 0xab00_0000],
    ['divide keeps bits 0, 1 and 3', REG.divide, 0xffff_ffff, 0xb],
    ['id is read-only', REG.id, 0xff00_0000, 0],
    ['version is read-only', REG.version, 0, 0x0005_0014],
    ['ppr is read-only', REG.ppr, 0xff, 0],
    ['current count is read-only', REG.currentCount, 77, 0],
  ])('%s', (_name, register, written, read) => {
    const { apic } = bench();
    apic.write(register, written);
    expect(apic.read(register)).toBe(read);
  });

  test('clearing the software enable masks every LVT entry and accepts no more interrupts', () => {
    const { apic } = bench();
    apic.write(REG.timer, 0x40);
    apic.write(REG.svr, 0xff);
    apic.accept(0x50);
    expect(apic.read(REG.timer)).toBe(0x40 | MASKED);
    expect(apic.pendingVector()).toBe(-1);
    apic.write(REG.timer, 0x41);
    expect(apic.read(REG.timer)).toBe(0x41 | MASKED);
  });

  test.each([0x10, 0x1f, 0x20, 0x3f, 0x40, 0x9e, 0xe0, 0xff])(
    'request and service bits of vector %i are at their place',
    (vector) => {
      const { apic } = bench();
      const at = (bank: number): number => apic.read(bank + 0x10 * (vector >> 5));
      const bit = (1 << (vector & 31)) >>> 0;
      apic.accept(vector);
      expect([at(REG.irr), at(REG.isr)]).toEqual([bit, 0]);
      apic.acknowledge(vector);
      expect([at(REG.irr), at(REG.isr)]).toEqual([0, bit]);
      apic.write(REG.eoi, 0);
      expect([at(REG.irr), at(REG.isr)]).toEqual([0, 0]);
    },
  );

  // PPR is the task priority, or the class in service, whichever is higher (11.8.3.1).
  test.each([
    [0x00, -1, 0x00],
    [0x37, -1, 0x37],
    [0x37, 0x25, 0x37],
    [0x37, 0x42, 0x40],
    [0x37, 0x3f, 0x37],
    [0x00, 0x51, 0x50],
  ])('task priority %i with vector %i in service is processor priority %i', (tpr, inService, ppr) => {
    const { apic } = bench();
    if (inService >= 0) apic.acknowledge(inService);
    apic.write(REG.tpr, tpr);
    expect(apic.read(REG.ppr)).toBe(ppr);
  });
});

describe('the timer', () => {
  test.each([
    [0b0000, 2],
    [0b0001, 4],
    [0b0010, 8],
    [0b0011, 16],
    [0b1000, 32],
    [0b1001, 64],
    [0b1010, 128],
    [0b1011, 1],
  ])('divide code %i divides by %i', (code, divisor) => {
    const { apic, wires } = bench();
    apic.write(REG.timer, 0x40);
    apic.write(REG.divide, code);
    wires.time = 1000;
    apic.write(REG.initialCount, 100);
    expect(apic.deadline).toBe(1000 + 100 * divisor);
    wires.time = 1000 + 30 * divisor;
    expect(apic.read(REG.currentCount)).toBe(70);
    apic.advance(apic.deadline - 1);
    expect(apic.pendingVector()).toBe(-1);
    apic.advance(apic.deadline);
    expect(apic.pendingVector()).toBe(0x40);
  });

  test('one-shot fires once and stops at zero', () => {
    const { apic, wires } = bench();
    apic.write(REG.timer, 0x40);
    apic.write(REG.divide, DIVIDE_BY_1);
    apic.write(REG.initialCount, 10);
    wires.time = 10;
    apic.advance(10);
    expect(apic.deadline).toBe(Number.POSITIVE_INFINITY);
    expect(apic.read(REG.currentCount)).toBe(0);
    expect(apic.read(REG.initialCount)).toBe(10);
  });

  test('periodic keeps its beat, also when looked at late', () => {
    const { apic, wires } = bench();
    apic.write(REG.timer, 0x2_0040);
    apic.write(REG.divide, DIVIDE_BY_1);
    apic.write(REG.initialCount, 10);
    apic.advance(10);
    expect(apic.deadline).toBe(20);
    apic.advance(57);
    expect(apic.deadline).toBe(60);
    wires.time = 57;
    expect(apic.read(REG.currentCount)).toBe(3);
  });

  test('a masked timer counts and raises nothing', () => {
    const { apic } = bench();
    apic.write(REG.timer, MASKED | 0x40);
    apic.write(REG.divide, DIVIDE_BY_1);
    apic.write(REG.initialCount, 10);
    apic.advance(10);
    expect(apic.pendingVector()).toBe(-1);
  });

  test('an initial count of zero stops it', () => {
    const { apic } = bench();
    apic.write(REG.timer, 0x40);
    apic.write(REG.initialCount, 10);
    apic.write(REG.initialCount, 0);
    expect(apic.deadline).toBe(Number.POSITIVE_INFINITY);
  });

  test('a change of the divider goes on from the present count', () => {
    const { apic, wires } = bench();
    apic.write(REG.divide, DIVIDE_BY_1);
    apic.write(REG.initialCount, 100);
    wires.time = 40;
    apic.write(REG.divide, 0);
    expect(apic.read(REG.currentCount)).toBe(60);
    expect(apic.deadline).toBe(40 + 60 * 2);
  });
});

describe('the performance entry', () => {
  test.each([
    ['an NMI', 0x400, 1, -1],
    ['a fixed interrupt', 0x40, 0, 0x40],
    ['nothing when it is masked', MASKED | 0x400, 0, -1],
  ])('raises %s, and masks itself', (_name, lvt, nmis, vector) => {
    const { apic, wires } = bench();
    apic.write(REG.performance, lvt);
    apic.performanceOverflow();
    expect([wires.nmis, apic.pendingVector()]).toEqual([nmis, vector]);
    expect(apic.read(REG.performance)).toBe(lvt | MASKED);
    apic.performanceOverflow();
    expect(wires.nmis).toBe(nmis);
  });
});

describe('the interrupt command register', () => {
  const ASSERT = 1 << 14;
  test.each<[string, number, number, Ipi | undefined]>([
    ['fixed to an id', 0x40 | ASSERT, 3, { mode: 'fixed', vector: 0x40, destination: { physical: 3 } }],
    ['fixed, logical', 0x840 | ASSERT, 6, { mode: 'fixed', vector: 0x40, destination: { logical: 6 } }],
    ['fixed to itself', 0x4_0040 | ASSERT, 0, { mode: 'fixed', vector: 0x40, destination: 'self' }],
    ['fixed to all', 0x8_0040 | ASSERT, 0, { mode: 'fixed', vector: 0x40, destination: 'all' }],
    ['NMI to the others', 0xc_0400 | ASSERT, 0, { mode: 'nmi', vector: 0, destination: 'others' }],
    ['INIT', 0x500 | ASSERT, 1, { mode: 'init', vector: 0, destination: { physical: 1 } }],
    ['INIT level de-assert does nothing', 0x8500, 1, undefined],
    ['start-up', 0x608 | ASSERT, 1, { mode: 'sipi', vector: 8, destination: { physical: 1 } }],
    ['a reserved mode does nothing', 0x300 | ASSERT, 1, undefined],
  ])('%s', (_name, low, destination, ipi) => {
    const { apic, sent } = bench();
    apic.write(REG.icrHigh, destination << 24);
    apic.write(REG.icrLow, low);
    expect(sent).toEqual(ipi === undefined ? [] : [ipi]);
    expect(apic.read(REG.icrLow) & (1 << 12), 'the send is complete at once').toBe(0);
  });

  test('an illegal vector is not sent and shows in the error status, after a write to it', () => {
    const { apic, sent } = bench();
    apic.write(REG.error, 0x66);
    apic.write(REG.icrLow, 0x0f | ASSERT);
    expect(sent).toEqual([]);
    expect(apic.read(REG.esr)).toBe(0);
    apic.write(REG.esr, 0);
    expect(apic.read(REG.esr)).toBe(0x20);
    expect(apic.pendingVector()).toBe(0x66);
    apic.write(REG.esr, 0);
    expect(apic.read(REG.esr)).toBe(0);
  });

  test.each([
    ['flat: any common bit', 0xffff_ffff, 0x06, 0x04, true],
    ['flat: none', 0xffff_ffff, 0x06, 0x01, false],
    ['cluster: same cluster, common bit', 0x0fff_ffff, 0x23, 0x21, true],
    ['cluster: another cluster', 0x0fff_ffff, 0x23, 0x31, false],
    ['cluster: same cluster, no common bit', 0x0fff_ffff, 0x21, 0x22, false],
    ['cluster: broadcast', 0x0fff_ffff, 0x21, 0xff, true],
  ])('logical destinations, %s', (_name, dfr, ldr, destination, matches) => {
    const { apic } = bench();
    apic.write(REG.dfr, dfr);
    apic.write(REG.ldr, ldr << 24);
    expect(apic.matchesLogical(destination)).toBe(matches);
  });
});

describe('between CPUs', () => {
  let bare: Bare | undefined;
  afterEach(() => bare?.close());

  const ICR = (high: number, low: number): string =>
    `movl $${high << 24}, 0x310(%rdi)\nmovl $${low}, 0x300(%rdi)\n`;
  const ON = 'mov $0xfee00000, %edi\nmovl $0x1ff, 0xf0(%rdi)\n';

  /** Four CPUs: all enable their APIC, 1 to 3 then wait with interrupts on, CPU 0 sends. @returns who ran the handler. */
  async function send(icr: string, logical = false): Promise<number[]> {
    bare = new Bare({ cpus: 4, turn: 50 });
    await bare.haltingHandlers();
    await bare.code('mov $1, %ebx\nwait: jmp wait', AT.data);
    for (const vector of [2, 0x40]) bare.gate(vector, { at: AT.data });
    const setUp = `${ON}${logical ? 'mov $0x01000000, %eax\nmov %r8d, %ecx\nshl %cl, %eax\nmov %eax, 0xd0(%rdi)\n' : ''}xor %ebx, %ebx\n`;
    await bare.code(`${setUp}mov $100, %ecx\nbusy: dec %ecx\njnz busy\n${icr}sti\nwait: jmp wait`);
    await bare.code(`${setUp}sti\nwait: jmp wait`, AT.code + 0x800);
    for (const cpu of bare.machine.cpus) {
      if (cpu.index > 0) bare.enter(cpu, AT.code + 0x800, AT.stack - 0x1000 * cpu.index);
      cpu.state.setReg(8, BigInt(cpu.index));
    }
    bare.machine.run({ budget: 4000 });
    return bare.machine.cpus.filter((cpu) => cpu.state.reg(3) === 1n).map((cpu) => cpu.index);
  }

  test.each<[string, string, number[]]>([
    ['a fixed interrupt to one', ICR(2, 0x4040), [2]],
    ['a fixed interrupt to itself by number', ICR(0, 0x4040), [0]],
    ['a fixed interrupt to an id that no CPU has', ICR(7, 0x4040), []],
    ['a physical broadcast', ICR(0xff, 0x4040), [0, 1, 2, 3]],
    ['the shorthand self', ICR(0, 0x4_4040), [0]],
    ['the shorthand all', ICR(0, 0x8_4040), [0, 1, 2, 3]],
    ['the shorthand others', ICR(0, 0xc_4040), [1, 2, 3]],
    ['an NMI to one', ICR(3, 0x4400), [3]],
    ['an NMI to the others', ICR(0, 0xc_4400), [1, 2, 3]],
  ])('%s', async (_name, icr, reached) => {
    expect(await send(icr)).toEqual(reached);
  });

  test('a logical destination reaches each CPU whose bit it has', async () => {
    expect(await send(ICR(0b1010, 0x4840), true)).toEqual([1, 3]);
  });

  test('an IPI to itself is taken at the next boundary', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    const labels = await bare.code(`${ON}sti\nnop\nmovl $0x44040, 0x300(%rdi)\nat: nop\nnop`);
    expect(bare.stoppedIn()).toBe(0x40);
    expect(bare.frame(false).rip).toBe(labels.get('at'));
  });

  test('a timer that the guest starts fires behind exactly so many instructions', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    const labels = await bare.code(`
      ${ON}movl $0x40, 0x320(%rdi)
      movl $0xb, 0x3e0(%rdi)
      sti
      movl $5, 0x380(%rdi)
      n1: nop\nn2: nop\nn3: nop\nn4: nop\nn5: nop\nn6: nop`);
    expect(bare.stoppedIn()).toBe(0x40);
    // The count starts with the instruction that writes it.
    expect(bare.frame(false).rip).toBe(labels.get('n5'));
  });
});
