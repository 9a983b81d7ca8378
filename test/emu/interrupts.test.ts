/**
 * NMIs and external interrupts: when they are taken, what holds them back, what they interrupt
 * (SDM 3A, "Handling Nonmaskable Interrupts", 6.7; "Enabling and Disabling Interrupts", 6.8; "Prioritization of Concurrent Events", 6.9).
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RFLAGS } from '../../emu/cpu/architecture.js';
import { AT, Bare, SELECTOR } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

const APIC = 0xfee0_0000;
const ENABLE = `mov $${APIC}, %edi\nmovl $0x1ff, 0xf0(%rdi)\n`;
const EOI = `movl $0, 0xb0(%rdi)`;
/** A handler that counts in a register, and returns. */
async function counting(vector: number, at: number, register: string, end = ''): Promise<void> {
  await bare.code(`inc %${register}\n${end}\niretq`, at);
  bare.gate(vector, { at });
}
const nmi = (): void => bare.machine.inject(0, { nmi: true });
const irq = (vector: number): void => bare.machine.inject(0, { vector });
const stepTo = (address: bigint): void => {
  for (let steps = 0; bare.cpu.state.rip !== address; steps++) {
    if (steps > 1000) throw new Error('expected to reach the label in 1000 steps');
    bare.machine.step();
  }
};

describe('an NMI', () => {
  test('is delivered at every boundary of straight code, exactly there', async () => {
    const source =
      'a0: nop\na1: mov $1, %eax\na2: inc %eax\na3: cmp $2, %eax\na4: je a5\nnop\na5: push %rax\na6: hlt';
    for (let boundary = 0; boundary <= 6; boundary++) {
      bare.enter(bare.cpu, AT.code, AT.stack);
      bare.cpu.state.nmiBlocked = false;
      const labels = await bare.code(source);
      const at = labels.get(`a${boundary}`)!;
      stepTo(at);
      nmi();
      expect(bare.stoppedIn()).toBe(2);
      expect(bare.frame(false).rip).toBe(at);
      expect(bare.frame(false).rflags & RFLAGS.RF).toBe(0);
    }
  });

  test('is not kept back by IF = 0, and clears IF through its gate', async () => {
    await bare.code('sti\nnop\nat: nop');
    stepTo(BigInt(AT.code + 2));
    nmi();
    expect(bare.stoppedIn()).toBe(2);
    expect(bare.frame(false).rflags & RFLAGS.IF).toBe(RFLAGS.IF);
    expect(bare.cpu.state.rflags & RFLAGS.IF).toBe(0);
  });

  test('is blocked in its own handler; one is kept and further ones merge with it', async () => {
    await counting(2, AT.data, 'ebx', 'nop\nnop');
    await bare.code('xor %ebx, %ebx\nnop\nnop\nhlt');
    bare.machine.step();
    nmi();
    bare.machine.step(); // INC in the handler
    expect(bare.cpu.state.nmiBlocked).toBe(true);
    for (let more = 0; more < 5; more++) nmi();
    expect(bare.cpu.nmiPending).toBe(true);
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
    expect(bare.reg('rbx')).toBe(2n);
  });

  test('that waits is taken at the boundary behind IRETQ, where the first one was', async () => {
    const labels = await bare.code('xor %ebx, %ebx\nat: nop\nhlt');
    await bare.code('inc %ebx\ncmp $2, %ebx\nje second\niretq\nsecond: int3', AT.data);
    bare.gate(2, { at: AT.data });
    stepTo(labels.get('at')!);
    nmi();
    bare.machine.step();
    nmi();
    expect(bare.stoppedIn()).toBe(3);
    // Below INT3's frame lies that of the second NMI; the first one has been popped.
    const second = bare.frame(false).rsp;
    expect(bare.get64(second)).toBe(labels.get('at'));
    expect(second).toBe(BigInt(AT.stack - 40));
  });

  test('is opened by the IRETQ of any handler within its own, as on the processor', async () => {
    await counting(3, AT.data + 0x100, 'ecx');
    await bare.code('inc %ebx\ncmp $2, %ebx\nje second\nint3\nnop\nsecond: hlt', AT.data);
    bare.gate(2, { at: AT.data });
    await bare.code('xor %ebx, %ebx\nxor %ecx, %ecx\nnop\nhlt');
    stepTo(BigInt(AT.code + 4));
    nmi();
    bare.machine.step();
    nmi();
    bare.machine.run();
    expect(bare.reg('rbx')).toBe(2n); // the second began inside the first
    expect(bare.reg('rcx')).toBe(1n);
    expect(bare.reg('rsp')).toBe(BigInt(AT.stack - 48 - 40));
  });

  test('goes through the interrupt-stack table from ring 3', async () => {
    bare.gate(2, { at: AT.handlers + 2, ist: 1 });
    const labels = await bare.code('nop\nat: nop\njmp at', AT.userCode);
    bare.enterUser(AT.userCode, RFLAGS.reserved | RFLAGS.IF);
    bare.machine.step();
    nmi();
    expect(bare.stoppedIn()).toBe(2);
    expect(bare.reg('rsp')).toBe(BigInt(AT.ist - 40));
    expect(bare.frame(false)).toEqual({
      errorCode: undefined,
      rip: labels.get('at'),
      cs: SELECTOR.userCode,
      rflags: RFLAGS.reserved | RFLAGS.IF,
      rsp: BigInt(AT.userStack + 0x1000),
      ss: SELECTOR.userData,
    });
  });

  test('wakes a halted CPU, with RIP behind HLT', async () => {
    const labels = await bare.code('cli\nhlt\nat: nop');
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
    nmi();
    expect(bare.stoppedIn()).toBe(2);
    expect(bare.frame(false).rip).toBe(labels.get('at'));
  });
});

describe('shadows', () => {
  // An event pending while the instruction executes is taken `after` how many further instructions.
  test.each([
    ['an IRQ waits one instruction behind STI', 'sti', 'irq', 1],
    ['an NMI does not wait behind STI', 'sti', 'nmi', 0],
    ['an IRQ waits one instruction behind MOV SS', 'mov %ax, %ss', 'irq', 1],
    ['an NMI waits one instruction behind MOV SS', 'mov %ax, %ss', 'nmi', 1],
    ['an IRQ waits for nothing behind POPF', 'popfq', 'irq', 0],
    ['an NMI waits for nothing behind MOV DS', 'mov %ax, %ds', 'nmi', 0],
  ] as const)('%s', async (_name, code, event, after) => {
    const interruptsOn = code === 'sti' || code === 'popfq' ? 'cli' : 'sti';
    const labels = await bare.code(
      `${ENABLE}mov $${SELECTOR.data}, %eax\npushq $0x202\n${interruptsOn}\nnop\nat: ${code}\nb0: nop\nb1: nop\nb2: nop`,
    );
    stepTo(labels.get('at')!);
    if (interruptsOn === 'sti' && event === 'irq') {
      bare.machine.step(); // it must not be taken before the instruction
      irq(0x40);
    } else if (event === 'irq') {
      irq(0x40);
    } else {
      bare.machine.step();
      nmi();
    }
    expect(bare.stoppedIn()).toBe(event === 'irq' ? 0x40 : 2);
    expect(bare.frame(false).rip).toBe(labels.get(`b${after}`));
  });

  test('STI; HLT is woken by an interrupt that was pending before', async () => {
    const labels = await bare.code(`${ENABLE}at: sti\nhlt\nbehind: nop`);
    stepTo(labels.get('at')!);
    irq(0x40);
    expect(bare.stoppedIn()).toBe(0x40);
    expect(bare.frame(false).rip).toBe(labels.get('behind'));
  });

  test('STI; CLI opens no window', async () => {
    const labels = await bare.code(`${ENABLE}at: sti\ncli\nnop\nint3`);
    stepTo(labels.get('at')!);
    irq(0x40);
    expect(bare.stoppedIn()).toBe(3);
  });
});

describe('external interrupts', () => {
  test('wait for IF and are then taken at once', async () => {
    const labels = await bare.code(`${ENABLE}at: nop\nnop\npushq $0x202\npopfq\nopen: nop`);
    stepTo(labels.get('at')!);
    irq(0x40);
    expect(bare.stoppedIn()).toBe(0x40);
    expect(bare.frame(false).rip).toBe(labels.get('open'));
  });

  test('are taken by priority class, nested when the handler opens IF', async () => {
    const log: number[] = [];
    bare.machine.events.on('interrupt', ({ vector }) => log.push(vector));
    for (const vector of [0x31, 0x35, 0x42, 0x51]) {
      await bare.code(`sti\nnop\ncli\n${EOI}\niretq`, AT.data + 0x40 * (vector & 0xf));
      bare.gate(vector, { at: AT.data + 0x40 * (vector & 0xf) });
    }
    const labels = await bare.code(`${ENABLE}at: sti\nnop\nnop\ncli\nhlt`);
    stepTo(labels.get('at')!);
    for (const vector of [0x31, 0x42, 0x51, 0x35]) irq(vector);
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
    // 0x31 has the class of 0x35, so it waits for its EOI (SDM 3A, 11.8.3).
    expect(log).toEqual([0x51, 0x42, 0x35, 0x31]);
  });

  test('of the class in service wait for EOI, a higher class nests', async () => {
    const log: string[] = [];
    bare.machine.events.on('interrupt', ({ vector, rip }) =>
      log.push(`${vector.toString(16)}@${rip.toString(16)}`),
    );
    await bare.code(`sti\nnop\nnop\n${EOI}\nnop\ncli\niretq`, AT.data);
    await bare.code(`${EOI}\niretq`, AT.data + 0x100);
    bare.gate(0x40, { at: AT.data });
    for (const vector of [0x41, 0x50]) bare.gate(vector, { at: AT.data + 0x100 });
    const labels = await bare.code(`${ENABLE}sti\nnop\nat: nop\ncli\nhlt`);
    stepTo(labels.get('at')!);
    irq(0x40);
    bare.machine.step();
    for (const vector of [0x41, 0x50]) irq(vector);
    bare.machine.run();
    const behindEoi = (AT.data + 3 + 10).toString(16);
    expect(log).toEqual([
      `40@${labels.get('at')!.toString(16)}`,
      `50@${(AT.data + 2).toString(16)}`,
      `41@${behindEoi}`,
    ]);
  });

  test.each([
    [0x00, 0x40, true],
    [0x3f, 0x40, true],
    [0x40, 0x40, false],
    [0x40, 0x4f, false],
    [0x41, 0x50, true],
    [0xf0, 0xff, false],
  ])('with the task priority at 0x%s vector 0x%s is taken: %s', async (tpr, vector, taken) => {
    await bare.code(`${ENABLE}movl $${tpr}, 0x80(%rdi)\nsti\nnop\nnop\nint3`);
    bare.machine.run({ until: { address: BigInt(AT.code) } });
    stepTo(BigInt(AT.code + 5 + 10 + 10));
    irq(vector);
    expect(bare.stoppedIn()).toBe(taken ? vector : 3);
  });

  test('that are requested twice before they are taken come once', async () => {
    await counting(0x40, AT.data, 'ebx', EOI);
    const labels = await bare.code(`xor %ebx, %ebx\n${ENABLE}at: sti\nnop\nnop\ncli\nhlt`);
    stepTo(labels.get('at')!);
    irq(0x40);
    irq(0x40);
    bare.machine.run();
    expect(bare.reg('rbx')).toBe(1n);
  });

  test('requested again while in service come a second time', async () => {
    await counting(0x40, AT.data, 'ebx', EOI);
    const labels = await bare.code(`xor %ebx, %ebx\n${ENABLE}at: sti\nnop\nnop\ncli\nhlt`);
    stepTo(labels.get('at')!);
    irq(0x40);
    stepTo(BigInt(AT.data + 2));
    irq(0x40);
    bare.machine.run();
    expect(bare.reg('rbx')).toBe(2n);
  });

  test('wake a halted CPU even while a blocked NMI waits', async () => {
    await counting(0x40, AT.data, 'ebx', EOI);
    await bare.code(`sti\nhlt\nint3`, AT.data + 0x100);
    bare.gate(2, { at: AT.data + 0x100 });
    await bare.code(`xor %ebx, %ebx\n${ENABLE}at: nop\nhlt`);
    bare.machine.run({ budget: 3 });
    nmi();
    bare.machine.step();
    nmi(); // blocked until the IRETQ of the interrupt
    irq(0x40);
    bare.machine.run({ budget: 20 });
    expect(bare.reg('rbx')).toBe(1n);
  });

  test('come after an NMI that is pending at the same boundary, and find its handler', async () => {
    bare.gate(2, { at: AT.handlers + 2, trap: true }); // IF stays
    const labels = await bare.code(`${ENABLE}sti\nnop\nat: nop`);
    stepTo(labels.get('at')!);
    irq(0x40);
    nmi();
    expect(bare.stoppedIn()).toBe(0x40);
    expect(bare.frame(false).rip).toBe(BigInt(AT.handlers + 2));
  });

  test.each([0, 1, 15])(
    'vector %i is illegal: nothing comes, and the error status says so',
    async (vector) => {
      await bare.code(`${ENABLE}sti\nnop\nnop\nmovl $0, 0x280(%rdi)\nmov 0x280(%rdi), %eax\nint3`);
      bare.machine.run({ budget: 3 });
      irq(vector);
      expect(bare.stoppedIn()).toBe(3);
      expect(bare.reg('rax')).toBe(0x40n);
    },
  );
});

describe('REP MOVSB', () => {
  const COPY = `${ENABLE}mov $${AT.data}, %esi\nmov $${AT.userStack}, %edi\nmov $100, %ecx\nsti\nnop\nat: rep movsb\nbehind: int3`;

  test('each iteration is one instruction of the count', async () => {
    const labels = await bare.code(COPY);
    stepTo(labels.get('at')!);
    bare.machine.run({ budget: 40 });
    expect(bare.cpu.state.rip).toBe(labels.get('at'));
    expect(bare.reg('rcx')).toBe(60n);
  });

  test('is interrupted between iterations and resumed after IRETQ', async () => {
    const bytes = Buffer.from(Array.from({ length: 100 }, (_, index) => index * 7));
    bare.machine.write(0, BigInt(AT.data), bytes);
    await bare.code('inc %ebx\niretq', AT.ist);
    bare.gate(2, { at: AT.ist });
    const labels = await bare.code(COPY);
    stepTo(labels.get('at')!);
    const before = bare.cpu.retired;
    for (const iterations of [1, 30, 50]) {
      bare.machine.run({ budget: iterations });
      nmi();
      bare.machine.run({ budget: 2 }); // the handler
      expect(bare.cpu.state.rip).toBe(labels.get('at'));
    }
    expect(bare.reg('rcx')).toBe(19n);
    bare.machine.run({ until: { address: labels.get('behind')! } });
    expect(bare.reg('rcx')).toBe(0n);
    expect(bare.reg('rbx') & 0xffn).toBe(3n);
    expect(bare.machine.read(0, BigInt(AT.userStack), 100)).toEqual(bytes);
    // 100 iterations, one look that finds the count at zero, three handlers of two instructions.
    expect(bare.cpu.retired - before).toBeGreaterThanOrEqual(106);
    expect(bare.cpu.retired - before).toBeLessThanOrEqual(107);
  });

  test('a page fault in the middle leaves the registers where it stopped', async () => {
    bare.put64(AT.pt + 8 * ((AT.userStack >> 12) + 1), 0n);
    await bare.code(
      `mov $${AT.data}, %esi\nmov $${AT.userStack + 0x1000 - 10}, %edi\nmov $100, %ecx\nat: rep movsb`,
    );
    expect(bare.stoppedIn()).toBe(14);
    expect(bare.reg('rcx')).toBe(90n);
    expect(bare.reg('rdi')).toBe(BigInt(AT.userStack + 0x1000));
    expect(bare.cpu.state.cr(2)).toBe(BigInt(AT.userStack + 0x1000));
  });
});
