/** How runs end, and that none of them hangs. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

const APIC = 0xfee0_0000;
/** Software-enables the APIC and starts its timer with vector 0x40. */
const timer = (lvt: number, count: number): string => `
  mov $${APIC}, %edi
  movl $0x1ff, 0xf0(%rdi)
  movl $${lvt}, 0x320(%rdi)
  movl $0xb, 0x3e0(%rdi)
  movl $${count}, 0x380(%rdi)`;

describe('a guest that gets nowhere', () => {
  test.each([
    ['a loop with interrupts off', 'loop: jmp loop'],
    ['the same with a timer that is pending all the time', `${timer(0x40, 10)}\nloop: jmp loop`],
    ['the same with a periodic timer', `${timer(0x2_0040, 10)}\nloop: jmp loop`],
    ['a fault that its handler does not mend', 'mov 0x40000000, %eax'],
  ])('%s ends by its budget', async (_name, code) => {
    bare.gate(14, { at: AT.data });
    await bare.code('add $8, %rsp\niretq', AT.data);
    await bare.code(code);
    expect(bare.machine.run({ budget: 5000 })).toEqual({ kind: 'budget' });
    expect(bare.machine.retired).toBe(5000);
  });

  test.each([
    ['HLT with interrupts off', 'cli\nhlt'],
    ['HLT with interrupts on and nothing that could come', 'sti\nhlt'],
    ['HLT with interrupts off and a periodic timer', `${timer(0x2_0040, 10)}\ncli\nhlt`],
    ['HLT with a masked periodic timer', `${timer(0x3_0040, 10)}\nsti\nhlt`],
    [
      'HLT with a timer that the task priority holds back',
      `${timer(0x2_0040, 10)}\nmovl $0x40, 0x80(%rdi)\nsti\nhlt`,
    ],
    ['HLT with the APIC switched off', `${timer(0x2_0040, 10)}\nmovl $0xff, 0xf0(%rdi)\nsti\nhlt`],
  ])('%s is a hang', async (_name, code) => {
    await bare.code(code);
    expect(bare.machine.run({ budget: 5000 })).toEqual({ kind: 'hang' });
  });

  test('a hang ends when something is injected', async () => {
    await bare.code('hlt\nmov $5, %ebx\nhlt');
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
    bare.machine.inject(0, { nmi: true });
    expect(bare.stoppedIn()).toBe(2);
  });

  test('one halted CPU does not hang the other', async () => {
    const two = new Bare({ cpus: 2 });
    await two.code('loop: jmp loop');
    expect(two.machine.run({ budget: 10_000 })).toEqual({ kind: 'budget' });
    two.close();
  });
});

describe('a guest that leaves the memory', () => {
  test.each<[string, string]>([
    ['a fetch', 'jmp *%rax'],
    ['a read', 'mov (%rax), %eax'],
    ['a write', 'movl $1, (%rax)'],
  ])('%s from a mapped page that is no RAM is a bus error at its instruction', async (_name, code) => {
    // Physical 0xfec00000 has no device.
    bare.put64(0x8000, 0xfec0_0083n);
    const labels = await bare.code(`mov $0xc0000000, %eax\nat: ${code}`);

    const outcome = bare.machine.run({ budget: 100 });
    const fetch = code.includes('jmp');
    expect(outcome).toEqual({ kind: 'bus-error', cpu: 0, rip: fetch ? 0xc000_0000n : labels.get('at') });
  });

  test('page tables outside of RAM end the run', async () => {
    await bare.code('mov $0x7f000000, %eax\nmov %rax, %cr3\nnop\nhlt');
    expect(['bus-error', 'triple-fault']).toContain(bare.machine.run({ budget: 100 }).kind);
  });

  test('a jump into zeroed memory runs on to the end of what is mapped', async () => {
    bare.gate(14, { at: AT.handlers + 14 });
    bare.cpu.state.setReg(0, BigInt(AT.data));
    await bare.code('mov $0x300000, %ecx\njmp *%rcx');
    expect(bare.stoppedIn(1_000_000)).toBe(14);
    expect(bare.cpu.state.cr(2)).toBe(0x40_0000n);
  });
});

describe('runs that the host ends', () => {
  test('a breakpoint stops before its instruction, and the next run goes on from it', async () => {
    const labels = await bare.code('xor %eax, %eax\nloop: inc %eax\njmp loop');
    const until = { address: labels.get('loop')! };
    for (const turns of [0n, 1n, 2n]) {
      expect(bare.machine.run({ until })).toEqual({ kind: 'reached', cpu: 0, rip: until.address });
      expect(bare.reg('rax')).toBe(turns);
    }
  });

  test('a breakpoint is not missed when a slice of the run ends right before it', async () => {
    const labels = await bare.code('xor %eax, %eax\nnop\nat: inc %eax\nhlt');
    bare.machine.run({ budget: 2 });
    expect(bare.cpu.state.rip).toBe(labels.get('at'));
    expect(bare.machine.run({ until: { address: labels.get('at')! } }).kind).toBe('reached');
    expect(bare.reg('rax')).toBe(0n);
  });

  test('a breakpoint at the handler stops a run that resumes from another breakpoint', async () => {
    const labels = await bare.code('nop\nat: nop\nhlt');
    bare.machine.run({ until: { address: labels.get('at')! } });
    bare.machine.inject(0, { nmi: true });
    const handler = BigInt(AT.handlers + 2);
    expect(bare.machine.run({ until: { address: handler } })).toEqual({
      kind: 'reached',
      cpu: 0,
      rip: handler,
    });
    expect(bare.frame(false).rip).toBe(labels.get('at'));
  });

  test('a breakpoint handler sees the exact RIP and each pass once, whatever the slices', async () => {
    const labels = await bare.code('mov $10, %ecx\nloop: dec %ecx\nat: jnz loop\nhlt');
    const start = bare.machine.snapshot();
    const seen: bigint[] = [];
    bare.machine.breakpoint(labels.get('at')!, (cpu) => {
      seen.push(cpu.state.rip);
      return false;
    });
    for (const budget of [1000, 7, 3, 2, 1]) {
      seen.length = 0;
      bare.machine.restore(start);
      while (bare.machine.run({ budget }).kind === 'budget');
      expect(seen).toEqual(Array.from({ length: 10 }, () => labels.get('at')));
    }
  });

  test.each([1, 2])('an event stops the run at the next boundary, on %i CPUs', async (cpus) => {
    const machine = new Bare({ cpus });
    await machine.code('mov $1, %eax\nout %al, $0x80\nmov $2, %eax\nhlt');
    expect(machine.machine.run({ until: { event: 'port' } })).toMatchObject({ kind: 'reached', cpu: 0 });
    expect(machine.reg('rax')).toBe(1n);
    machine.close();
  });

  test('an event in the last instruction of the budget leaves nothing behind', async () => {
    await bare.code('out %al, $0x80\nmov $2, %eax\nhlt');
    expect(bare.machine.run({ until: { event: 'port' }, budget: 1 }).kind).toBe('reached');
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
    expect(bare.reg('rax')).toBe(2n);
  });

  test('stop in a listener ends the run, and a step takes no notice of it', async () => {
    await bare.code('out %al, $0x80\nmov $2, %eax\nhlt');
    bare.machine.events.on('port', () => bare.machine.stop());
    expect(bare.machine.run()).toEqual({ kind: 'stopped' });
    bare.enter(bare.cpu, AT.code, AT.stack);
    expect(bare.machine.step()).toBeUndefined();
    expect(bare.machine.run()).toEqual({ kind: 'hang' });
  });

  test('an exception in a listener reaches the caller of run', async () => {
    await bare.code('out %al, $0x80\nhlt');
    bare.machine.events.on('port', () => {
      throw new Error('the listener failed');
    });
    expect(() => bare.machine.run()).toThrow('the listener failed');
  });

  test('a machine that has ended says so again and executes nothing', async () => {
    await bare.code('mov $3, %al\nout %al, $0xf4\nloop: inc %rbx\njmp loop');
    const ended = { kind: 'debug-exit', value: 3 };
    expect(bare.machine.run()).toEqual(ended);
    expect(bare.machine.run()).toEqual(ended);
    expect(bare.machine.step()).toEqual(ended);
    expect(bare.reg('rbx')).toBe(0n);
  });
});

describe('options', () => {
  test.each([
    [{ cpus: 0 }, 'expected cpus to be a whole number from 1 to 8, found 0'],
    [{ cpus: 9 }, 'expected cpus to be a whole number from 1 to 8, found 9'],
    [{ cpus: 1.5 }, 'expected cpus to be a whole number from 1 to 8, found 1.5'],
    [{ ram: 4096 }, 'expected ram to be a whole number from 2097152 to 2147483648, found 4096'],
    [{ ram: 2 ** 32 }, 'expected ram to be a whole number from 2097152 to 2147483648, found 4294967296'],
    [{ ram: (4 << 20) + 1 }, 'expected ram to be a multiple of 4096, found 4194305'],
    [{ turn: 0 }, 'expected turn to be a whole number from 1 to 1000000000, found 0'],
    [{ turn: Number.NaN }, 'expected turn to be a whole number from 1 to 1000000000, found NaN'],
  ])('%o is a RangeError', (options, message) => {
    expect(() => new Machine(options)).toThrow(new RangeError(message));
  });

  test.each(['step', 'inject', 'read'] as const)(
    '%s for a CPU that does not exist is a RangeError',
    (method) => {
      const { machine } = bare;
      const call = {
        step: () => machine.step(1),
        inject: () => machine.inject(1, { nmi: true }),
        read: () => machine.read(1, 0n, 1),
      };
      expect(call[method]).toThrow(new RangeError('expected a CPU from 0 to 0, found 1'));
    },
  );
});
