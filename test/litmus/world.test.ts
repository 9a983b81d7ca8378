/** What the world of a litmus test promises, where no file asks for it. */
import { describe, expect, it } from 'vitest';
import { type LitmusQuestion, litmus } from '../../src/litmus/litmus.js';
import { reportLines } from '../../src/litmus/print.js';

/** The report, which must be the same whether states are joined or not. */
async function report(question: LitmusQuestion): Promise<readonly string[]> {
  const joined = reportLines(await litmus({ ...question, join: true }));
  expect(reportLines(await litmus({ ...question, join: false }))).toEqual(joined);
  return joined;
}

describe('states are joined only where nothing tells them apart', () => {
  it('not the number of strikes, where one has merged with another', async () => {
    const question = { init: 'runs=0', columns: { P0: 'nop', 'P0.NMI': 'nop; incq runs', P1: 'nop; nop' } };
    const lines = await report({ ...question, strikes: ['P0.NMI 1..3'], condition: 'exists (runs=2)' });
    expect(lines).toContain('States 3');
  });

  it('not whether the window was passed', async () => {
    const P0 =
      'mov x, %rax; test %rax, %rax; jz other; here: nop; jmp out; other: nop; jmp out; out: mov $5, %eax; cmp $3, %eax; nop';
    const lines = await report({
      init: 'x=0',
      columns: { P0, 'P0.NMI': 'mov $1, %r8', P1: 'movq $1, x; nop; nop' },
      strikes: ['P0.NMI 1 in here'],
      condition: 'exists (0:r8=1)',
    });
    expect(lines).toContain('States 2');
  });

  it('not what a read-modify-write has loaded', async () => {
    const lines = await report({
      init: 'x=0',
      columns: { P0: 'incq x', P1: 'movq $5, x; movq $0, x' },
      condition: 'exists (x=6)',
    });
    expect(lines).toContain('States 3');
  });
});

describe('memory', () => {
  it.each(['0x1000', '0x8000', '0x20000', '0x3f000', '0x48000', '0x200000', '-8'])(
    'a store to %s, where no variable or stack lies, is a fault',
    async (address) => {
      const { states } = await litmus({
        columns: { P0: `movq $1, ${address}` },
        condition: 'forall (fault(P0))',
      });
      expect(states).toMatchObject([{ faults: [0], positive: true }]);
    },
  );

  it('each CPU has its stack', async () => {
    const { observation } = await litmus({
      columns: { P0: 'push $1; pop %rax', P1: 'push $2; pop %rax' },
      condition: 'forall (0:rax=1 /\\ 1:rax=2)',
    });
    expect(observation).toBe('Always');
  });

  it('variables lie on multiples of their size, one behind the other', async () => {
    const { observation } = await litmus({
      init: 'u8 a=1; u32 b=2; u16 c=3; d=&b; percpu u32 e=4; u8 f[3]={5, 6, -1}',
      columns: { P0: 'lea b, %rax; lea d, %rbx; mov %gs:e, %ecx; mov f+1, %dl', P1: 'incl %gs:e' },
      condition:
        'forall (0:rax=&b /\\ 0:rbx=&d /\\ d=0:rax /\\ 0:ecx=4 /\\ 0:e=4 /\\ 1:e=5 /\\ f[2]=255 /\\ f[2]=-1 /\\ 0:rdx=6 /\\ c=3)',
    });
    expect(observation).toBe('Always');
  });

  it('prints an address as the variable that lies there', async () => {
    const lines = await report({
      init: 'x=0; y=0',
      columns: { P0: 'movq $y, x; movabs $0x123456789, %rax' },
      condition: 'forall (x=&y /\\ 0:rax=0x123456789)',
    });
    expect(lines).toContain('1 *> 0:rax=0x123456789; x=&y;');
  });

  it('says when there is no room', async () => {
    await expect(
      litmus({ init: 'u64 a[600]', columns: { P0: 'nop' }, condition: 'forall (a=0)' }),
    ).rejects.toThrow('expected variables that fit into a page, found no room for a');
  });
});

describe('events', () => {
  it('the interrupt controller lets a second interrupt through without an EOI', async () => {
    const lines = await report({
      init: 'x=0',
      columns: { P0: 'nop; nop', 'P0.IRQ': 'incq x' },
      strikes: ['P0.IRQ 2'],
      condition: 'forall (x=2)',
    });
    expect(lines).toContain('States 1');
    expect(lines).toContain('Ok');
  });

  it('an NMI that is latched is taken at the boundary behind IRET, before the next instruction', async () => {
    // struck before the store: again at three boundaries of the handler or right behind it, and then not after the store
    const lines = await report({
      init: 'x=0; 0:r8=7',
      columns: { P0: 'movq $1, x', 'P0.NMI': 'nop; mov x, %r8; nop' },
      strikes: ['P0.NMI 2'],
      condition: 'exists (0:r8=0)',
    });
    expect(lines).toContain('4 *> 0:r8=0;');
    expect(lines).toContain('5 :> 0:r8=1;');
  });

  it('handlers of two CPUs are their own', async () => {
    const { observation } = await litmus({
      columns: { P0: 'nop', P1: 'nop', 'P0.NMI': 'mov $1, %r8', 'P1.NMI': 'mov $2, %r8' },
      condition: 'forall (0:r8=1 /\\ 1:r8=2)',
    });
    expect(observation).toBe('Always');
  });

  it('an exception in a handler is a fault of its CPU, and the others go on', async () => {
    const { states } = await litmus({
      init: 'x=0',
      columns: { P0: 'nop', 'P0.NMI': 'ud2', P1: 'nop; movq $1, x' },
      condition: 'forall (fault(P0) /\\ x=1 /\\ not hang(P0))',
    });
    expect(states).toHaveLength(1);
    expect(states[0]!.positive).toBe(true);
  });

  it('a window that no run comes to leaves the run as it is', async () => {
    const { states } = await litmus({
      columns: { P0: 'here: jmp here', 'P0.NMI': 'stay: jmp stay' },
      strikes: ['P0.NMI 2 in stay'],
      bound: 5,
      condition: 'forall (true)',
    });
    expect(states).toMatchObject([{ hangs: [0], runs: 1n }]);
  });

  it('an endless loop hangs, a long one ends', async () => {
    const loop = { P0: 'mov $50, %ecx; again: dec %ecx; jnz again' };
    const question = { columns: loop, condition: 'exists (hang(P0))' };
    expect((await litmus({ ...question, bound: 101 })).observation).toBe('Never');
    expect((await litmus({ ...question, bound: 100 })).observation).toBe('Always');
  });
});
