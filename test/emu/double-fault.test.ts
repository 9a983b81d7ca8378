/** Faults while an event is being delivered: #DF and the triple fault (SDM 3A, "Interrupt 8—Double Fault Exception", 6.15, table 6-5). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AT, Bare, SELECTOR } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
  bare.gate(8, { at: AT.handlers + 8, ist: 1 });
});
afterEach(() => bare.close());

const UNMAPPED_STACK = 0x4000_0100;
const absent = (vector: number) => bare.gate(vector, { at: AT.handlers + vector, present: false });

describe('a second fault while the first is delivered', () => {
  // First event, what breaks its delivery, what the handler that runs in the end is for, and its error code.
  test.each<[string, string, () => void, number, number | undefined]>([
    ['benign, then contributory: the second is delivered', 'ud2', () => absent(6), 11, 6 * 8 + 3],
    ['contributory, then contributory: #DF', 'xor %ebx, %ebx\ndiv %ebx', () => absent(0), 8, 0],
    [
      'contributory, then page fault: the page fault is delivered',
      'xor %ebx, %ebx\ndiv %ebx',
      () => bare.gate(14, { at: AT.handlers + 14, ist: 1 }),
      14,
      2,
    ],
    ['page fault, then contributory: #DF', 'mov 0x40000000, %eax', () => absent(14), 8, 0],
    ['page fault, then page fault: #DF', 'mov 0x40000000, %eax', () => {}, 8, 0],
    [
      '#NP of an absent gate whose own gate is absent: #DF',
      'mov 0x40000000, %eax',
      () => [absent(14), absent(11)],
      8,
      0,
    ],
    ['INT n is benign', 'int $0x21', () => absent(0x21), 11, 0x21 * 8 + 2],
  ])('%s', async (name, code, damage, vector, errorCode) => {
    damage();
    const needsBadStack = name.includes('then page fault');
    await bare.code(`${needsBadStack ? `mov $${UNMAPPED_STACK}, %esp` : ''}\n${code}`);
    expect(bare.stoppedIn()).toBe(vector);
    expect(bare.frame(true).errorCode).toBe(errorCode);
  });

  test('#DF from an unmapped stack saves where the first fault was, and CR2 the failed push', async () => {
    const labels = await bare.code(`mov $${UNMAPPED_STACK}, %esp\nat: mov 0x41000000, %eax`);
    expect(bare.stoppedIn()).toBe(8);
    expect(bare.frame(true)).toMatchObject({
      rip: labels.get('at'),
      rsp: BigInt(UNMAPPED_STACK),
      cs: SELECTOR.code,
    });
    expect(bare.reg('rsp')).toBe(BigInt(AT.ist - 48));
    expect(bare.cpu.state.cr(2)).toBeLessThan(BigInt(UNMAPPED_STACK));
    expect(bare.cpu.state.cr(2)).toBeGreaterThanOrEqual(BigInt(UNMAPPED_STACK - 48));
  });

  test('a stack that is not canonical is #SS, and #DF when it holds back a contributory fault', async () => {
    bare.gate(12, { at: AT.handlers + 12, ist: 1 });
    const push = 'mov $0x800000001000, %rsp';
    await bare.code(`${push}\nud2`);
    expect(bare.stoppedIn()).toBe(12);
    expect(bare.frame(true).errorCode).toBe(1);
    bare.enter(bare.cpu, AT.code + 0x800, AT.stack);
    await bare.code(`xor %ebx, %ebx\n${push}\ndiv %ebx`, AT.code + 0x800);
    expect(bare.stoppedIn()).toBe(8);
  });
});

describe('a triple fault', () => {
  test.each<[string, () => void]>([
    ['no IDT at all', () => bare.cpu.state.setTable('idt', { base: 0n, limit: 0 })],
    [
      'an IDT in an unmapped page',
      () => bare.cpu.state.setTable('idt', { base: 0x4000_0000n, limit: 0xfff }),
    ],
    [
      'an IDT at a non-canonical address',
      () => bare.cpu.state.setTable('idt', { base: 1n << 47n, limit: 0xfff }),
    ],
    ['#DF without a gate', () => [absent(6), absent(11), absent(8)]],
    [
      '#DF on a stack that is unmapped',
      () => [
        bare.put64(AT.tss + 36, BigInt(UNMAPPED_STACK)),
        bare.gate(6, { at: AT.handlers, ist: 1 }),
        bare.gate(14, { at: AT.handlers, ist: 1 }),
      ],
    ],
    ['a GDT that is gone', () => bare.cpu.state.setTable('gdt', { base: 0n, limit: 0 })],
    ['a GDT in an unmapped page', () => bare.cpu.state.setTable('gdt', { base: 0x4000_0000n, limit: 0x37 })],
  ])('ends the run: %s', async (_name, damage) => {
    damage();
    const labels = await bare.code('nop\nat: ud2');
    let shutdowns = 0;
    bare.machine.events.on('shutdown', () => shutdowns++);
    expect(bare.machine.run({ budget: 100 })).toEqual({
      kind: 'triple-fault',
      cpu: 0,
      rip: labels.get('at'),
      vector: 6,
    });
    expect(shutdowns).toBe(1);
    expect(bare.cpu.activity).toBe('shutdown');
  });

  test('ends a step as well, and does not change the stopped CPU any more', async () => {
    bare.cpu.state.setTable('idt', { base: 0n, limit: 0 });
    await bare.code('ud2');
    expect(bare.machine.step()).toMatchObject({ kind: 'triple-fault' });
    const { retired } = bare.cpu;
    bare.machine.step();
    expect(bare.cpu.retired).toBe(retired);
  });
});

describe('exceptions without end', () => {
  test('a handler that can never be fetched spends the budget', async () => {
    bare.gate(14, { at: 0x4000_0000, ist: 1 });
    await bare.code('mov 0x41000000, %eax');
    expect(bare.machine.run({ budget: 1000 })).toEqual({ kind: 'budget' });
    expect(bare.cpu.retired).toBe(1000);
  });

  test('and does so whatever the slices of the run', async () => {
    bare.gate(14, { at: 0x4000_0000, ist: 1 });
    await bare.code('nop\nmov 0x41000000, %eax');
    const start = bare.machine.snapshot();
    bare.machine.run({ budget: 300 });
    const whole = bare.machine.events.hash.digest;
    bare.machine.restore(start);
    for (let left = 300; left > 0; left -= 3) bare.machine.run({ budget: 3 });
    expect(bare.machine.events.hash.digest).toBe(whole);
  });

  test('a handler that faults at its first instruction runs down the stack into a triple fault', async () => {
    bare.put64(AT.pt + 8 * ((AT.stack >> 12) - 4), 0n);
    bare.gate(8, { at: AT.handlers + 8 });
    await bare.code('ud2', AT.handlers + 6);
    await bare.code('ud2');
    expect(bare.machine.run({ budget: 100_000 })).toMatchObject({ kind: 'triple-fault', cpu: 0 });
  });
});
