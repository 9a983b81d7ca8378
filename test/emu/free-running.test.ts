/** A free-running machine: time goes by blocks. What a guest computes is the same; when something reaches it is not exact to the instruction. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VECTOR } from '../../emu/cpu/architecture.js';
import { findLibrary, isRecent } from '../../emu/engine/library.js';
import { AT, Bare } from './bare.js';

const LOOP = 'xorl %eax, %eax; movl $1000, %ecx; again: addl %ecx, %eax; decl %ecx; jnz again;';
const TIMER_VECTOR = 0x40;
/** The local APIC on, its timer once after `count` nanoseconds. */
const timer = (count: number): string => `
  movl $0xfee00000, %ebx
  movl $0x1ff, 0xf0(%rbx); movl $0xb, 0x3e0(%rbx); movl $${TIMER_VECTOR}, 0x320(%rbx); movl $${count}, 0x380(%rbx)
`;
/** A label's address in the code under test. */
const in32 = (labels: ReadonlyMap<string, bigint>, name: string): bigint => labels.get(name)!;

const isOld = !isRecent(findLibrary());
const note = isOld ? ' (skipped: libunicorn is older than 2.1.4)' : '';
let bare: Bare;
describe.skipIf(isOld)(`a free-running machine${note}`, () => {
  beforeEach(async () => {
    bare = new Bare({ freeRunning: true });
    await bare.haltingHandlers();
  });
  afterEach(() => bare.close());

  describe('time', () => {
    test('goes by blocks: a loop of three instructions counts for four each time round', async () => {
      await bare.code(`${LOOP} hlt`);
      expect(bare.machine.run()).toEqual({ kind: 'hang' });
      expect(bare.reg('rax')).toBe(500_500n);
      expect(bare.machine.retired).toBe(4 * 1001); // the first time round belongs to the block that leads to it, the last is that of HLT
    });
    test('goes on by a microsecond where the host is asked, so that a wait for it is short', async () => {
      await bare.code(
        'rdtsc; leal 1000000(%rax), %ebx; wait: incl %ecx; rdtsc; cmpl %ebx, %eax; jb wait; hlt',
      );
      expect(bare.machine.run()).toEqual({ kind: 'hang' });
      expect(Number(bare.reg('rcx'))).toBeGreaterThan(500);
      expect(Number(bare.reg('rcx'))).toBeLessThan(1100);
    });
    test('is bounded by the budget', async () => {
      await bare.code('jmp .');
      expect(bare.machine.run({ budget: 10_000 })).toEqual({ kind: 'budget' });
      expect(bare.machine.retired).toBe(10_000);
    });
    test('is the same in two machines that do the same', async () => {
      const source = `${timer(3000)} sti; again: incl %eax; jmp again`;
      const run = async (each: Bare): Promise<object> => {
        await each.code(source);
        each.machine.run();
        const { retired, events } = each.machine;
        return { retired, hash: events.hash.digest, rax: each.reg('rax') };
      };
      const other = new Bare({ freeRunning: true });
      await other.haltingHandlers();
      const second = await run(other);
      other.close();
      expect(await run(bare)).toEqual(second);
    });
    test('passes at once while all CPUs sleep, and whoever asks is told how much', async () => {
      await bare.code(`${timer(5_000_000)} sti; hlt`);
      const slept: number[] = [];
      const outcome = bare.machine.run({ asleep: (time) => slept.push(time) > 0 });
      expect(outcome).toEqual({ kind: 'stopped' });
      expect(slept[0]).toBeGreaterThan(3_900_000);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
    });
  });

  describe('interrupts', () => {
    test('are taken between two blocks', async () => {
      const labels = await bare.code(`${timer(3000)} sti; again: incl %eax; nop; jmp again`);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
      expect(bare.frame(false).rip).toBe(in32(labels, 'again'));
      expect(Math.abs(bare.machine.retired - 3000)).toBeLessThan(20);
    });
    test('wait for STI and the instruction behind it', async () => {
      const labels = await bare.code(`${timer(100)} ${LOOP} incl %edx; sti; nop; after: incl %edx; hlt`);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
      expect(bare.frame(false).rip).toBe(in32(labels, 'after'));
      expect([bare.reg('rax'), bare.reg('rdx')]).toEqual([500_500n, 1n]);
    });
    test('wait for POPF', async () => {
      const labels = await bare.code(`${timer(100)} ${LOOP} pushq $0x202; popfq; after: incl %edx; hlt`);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
      expect(bare.frame(false).rip).toBe(in32(labels, 'after'));
    });
    test('wait where the instruction that lets them in begins a block', async () => {
      const labels = await bare.code(`${timer(100)} ${LOOP} jmp open; nop; open: sti; nop; after: hlt`);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
      expect(bare.frame(false).rip).toBe(in32(labels, 'after'));
    });
    test('wake a CPU from HLT', async () => {
      const labels = await bare.code(`${timer(100_000)} sti; hlt; after: nop`);
      expect(bare.stoppedIn()).toBe(TIMER_VECTOR);
      expect(bare.frame(false).rip).toBe(in32(labels, 'after'));
    });
    test('an NMI waits for IRET while another is served', async () => {
      await bare.code('iretq', AT.handlers + VECTOR.NMI);
      bare.gate(VECTOR.NMI, { at: AT.data });
      await bare.code('incl %edx; movl $9, %ecx; loop .; iretq', AT.data);
      await bare.code(
        'movl $1000, %ecx; pushq %rcx; again: popq %rcx; pushq %rcx; decl (%rsp); jnz again; hlt',
      );
      bare.machine.inject(0, { nmi: true });
      bare.machine.run({ until: { event: 'nmi' } });
      bare.machine.inject(0, { nmi: true });
      expect(bare.machine.run()).toEqual({ kind: 'hang' });
      expect(bare.reg('rdx')).toBe(2n);
    });
  });

  describe('what is refused', () => {
    test('RDMSR of a register that is not there faults where it stands', async () => {
      const labels = await bare.code('movl $0x3a, %ecx; movl $7, %eax; at: rdmsr; movl %eax, 0x30000; hlt');
      expect(bare.stoppedIn()).toBe(VECTOR.GP);
      expect(bare.frame(true).rip).toBe(in32(labels, 'at'));
      expect([bare.reg('rax'), bare.get64(AT.data)]).toEqual([7n, 0n]);
    });
    test('RDTSC that CR4.TSD keeps from user code faults with the registers that it found', async () => {
      const labels = await bare.code('movl $7, %eax; at: rdtsc; movl $9, %eax; jmp .', AT.userCode);
      bare.enterUser();
      bare.cpu.state.setCr(4, bare.cpu.state.cr(4) | 4n);
      expect(bare.stoppedIn()).toBe(VECTOR.GP);
      expect(bare.frame(true).rip).toBe(in32(labels, 'at'));
      expect(bare.reg('rax')).toBe(7n);
    });
    test.each(['inb %dx, %al', 'outl %eax, %dx', 'rep outsb'])('%s without permission, too', async (code) => {
      const labels = await bare.code(
        `movl $7, %eax; movl $5, %ecx; movl $0x80, %edx; movl $${AT.userCode}, %esi; at: ${code}; movl $9, %ecx; popq %rdx; jmp .`,
        AT.userCode,
      );
      bare.enterUser();
      const before = bare.reg('rsp');
      expect(bare.stoppedIn()).toBe(VECTOR.GP);
      expect(bare.frame(true)).toMatchObject({ rip: in32(labels, 'at'), rsp: before });
      expect(['rax', 'rcx', 'rdx', 'rsi'].map((name) => bare.reg(name as 'rax'))).toEqual([
        7n,
        5n,
        0x80n,
        BigInt(AT.userCode),
      ]);
    });
  });

  describe('breakpoints', () => {
    test('stop at the instruction, at the beginning of a block and in its middle, each pass once', async () => {
      const labels = await bare.code('movl $3, %ecx; again: incl %eax; mid: incl %edx; loop again; hlt');
      const seen: string[] = [];
      for (const name of ['again', 'mid'])
        bare.machine.breakpoint(in32(labels, name), () => seen.push(`${name} ${bare.reg('rax')}`) < 0);
      expect(bare.machine.run()).toEqual({ kind: 'hang' });
      expect(seen).toEqual(['again 0', 'mid 1', 'again 1', 'mid 2', 'again 2', 'mid 3']);
    });
    test('end a run before the instruction, and the next run goes on from it', async () => {
      const labels = await bare.code('movl $3, %ecx; again: incl %eax; mid: incl %edx; loop again; hlt');
      const mid = in32(labels, 'mid');
      for (const pass of [1n, 2n, 3n]) {
        expect(bare.machine.run({ until: { address: mid } })).toMatchObject({ kind: 'reached', rip: mid });
        expect([bare.reg('rax'), bare.reg('rdx')]).toEqual([pass, pass - 1n]);
      }
      expect(bare.machine.run({ until: { address: mid } })).toEqual({ kind: 'hang' });
    });
  });
});
