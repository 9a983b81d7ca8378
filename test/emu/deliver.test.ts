/** `Machine.deliver`: an event is taken at a boundary without executing the handler's first instruction. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AT, Bare } from './bare.js';

const NMI = 2;
const TIMER = 0x40;
const SVR = 0xf0;

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
  bare.cpu.apic.write(SVR, 0x1ff);
});
afterEach(() => bare.close());

const rip = (): number => Number(bare.cpu.state.rip);

describe('deliver', () => {
  it('takes an NMI and executes nothing', async () => {
    await bare.code('nop; nop');
    bare.machine.step();
    bare.machine.inject(0, { nmi: true });
    expect(bare.machine.deliver()).toBeUndefined();
    expect(rip()).toBe(AT.handlers + NMI);
    expect(bare.frame(false).rip).toBe(BigInt(AT.code + 1));
    expect([bare.cpu.retired, bare.cpu.nmiPending, bare.cpu.state.nmiBlocked]).toEqual([1, false, true]);
    bare.machine.step(); // the handler's HLT, and no second delivery
    expect([bare.cpu.retired, bare.cpu.activity]).toEqual([2, 'halted']);
  });

  it('is what step does first: both ways end in the same state', async () => {
    await bare.code('nop; nop');
    bare.machine.inject(0, { nmi: true });
    const start = bare.machine.snapshot();
    const end = (): unknown => [
      rip(),
      bare.reg('rsp'),
      bare.cpu.state.rflags,
      bare.cpu.retired,
      bare.machine.events.hash.digest,
    ];
    bare.machine.step();
    const atOnce = end();
    bare.machine.restore(start);
    bare.machine.deliver();
    bare.machine.step();
    expect(end()).toEqual(atOnce);
  });

  it('leaves what is masked pending', async () => {
    await bare.code('nop; sti; nop; nop');
    bare.machine.inject(0, { vector: TIMER });
    for (const at of [0, 1, 2]) {
      bare.machine.deliver();
      expect(rip()).toBe(AT.code + at); // IF = 0, IF = 0, shadow of STI
      bare.machine.step();
    }
    bare.machine.deliver();
    expect(rip()).toBe(AT.handlers + TIMER);
  });

  it('wakes a halted CPU', async () => {
    await bare.code('sti; hlt');
    bare.machine.step();
    bare.machine.step();
    expect(bare.cpu.activity).toBe('halted');
    bare.machine.deliver();
    expect(bare.cpu.activity).toBe('halted');
    bare.machine.inject(0, { vector: TIMER });
    bare.machine.deliver();
    expect([bare.cpu.activity, rip()]).toEqual(['running', AT.handlers + TIMER]);
  });

  it('tells of a delivery that ends in a shutdown', async () => {
    await bare.code('nop');
    bare.cpu.state.setTable('idt', { base: 0n, limit: 0 });
    bare.machine.inject(0, { nmi: true });
    expect(bare.machine.deliver()).toEqual({
      kind: 'triple-fault',
      cpu: 0,
      rip: BigInt(AT.code),
      vector: NMI,
    });
  });
});
