/**
 * RDTSC, RDMSR, WRMSR and RDPMC are trapped when their block is translated. They must be found wherever they stand, and the same
 * bytes inside other instructions must execute unharmed.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GPR } from '../../emu/engine/cpu-state.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(async () => {
  bare = new Bare();
  await bare.haltingHandlers();
});
afterEach(() => bare.close());

/** Places bytes, runs them, and proves that they are as they were. */
function run(
  bytes: readonly number[],
  address: number = AT.code,
  slices: readonly number[] = [10_000],
): void {
  const code = Buffer.from(bytes);
  bare.machine.write(0, BigInt(address), code);
  bare.enter(bare.cpu, address, AT.stack);
  for (const name of ['rax', 'rbx', 'rcx', 'rdx'] as const) bare.cpu.state.setReg(GPR[name], 0n);
  bare.cpu.timestamp = 0n;
  for (const slice of slices) {
    bare.machine.run({ budget: slice });
    expect(bare.machine.read(0, BigInt(address), code.length)).toEqual(code);
  }
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.machine.read(0, BigInt(address), code.length)).toEqual(code);
}

const INT3 = 0xcc;
const NOP = 0x90;
const JMP_NEXT = [0xeb, 0x00];
const RDTSC = [0x0f, 0x31];
const nops = (count: number): number[] => new Array<number>(count).fill(NOP);

describe('a true opcode', () => {
  test.each<[string, number[], number]>([
    ['alone in its block', [...JMP_NEXT, ...RDTSC, ...JMP_NEXT], 1],
    ['first in its block', [...RDTSC, ...nops(3)], 0],
    ['last in its block', [...nops(3), ...RDTSC, ...JMP_NEXT], 3],
    ['in the middle', [...nops(5), ...RDTSC, ...nops(5)], 5],
    ['before a branch', [...nops(2), ...RDTSC, 0xe9, 0, 0, 0, 0], 2],
    ['twice in a row', [...RDTSC, ...RDTSC], 1],
    ['behind a false one', [0xb9, 0x0f, 0x31, 0x0f, 0x31, ...RDTSC], 1],
    ['before a false one', [...RDTSC, 0xb9, 0x0f, 0x31, 0x0f, 0x31], 0],
    ['with REX.W', [NOP, 0x48, ...RDTSC], 1],
    ['with REX.B', [NOP, 0x41, ...RDTSC], 1],
    ['with an operand-size prefix', [NOP, 0x66, ...RDTSC], 1],
    ['with a segment prefix', [NOP, 0x2e, ...RDTSC], 1],
    ['with REP', [NOP, 0xf3, ...RDTSC], 1],
    ['with two prefixes and REX', [NOP, 0x66, 0x3e, 0x48, ...RDTSC], 1],
    ['behind 600 instructions', [...nops(600), ...RDTSC], 600],
  ])('%s', (_name, code, expected) => {
    run([...code, INT3]);
    expect(bare.reg('rax')).toBe(BigInt(expected));
  });

  test.each([0, 1, 2, 3])('%i bytes before the end of a page', (distance) => {
    run([...nops(20), ...RDTSC, NOP, INT3], AT.data + 0x1000 - distance - 20);
    expect(bare.reg('rax')).toBe(20n);
  });

  test('whose second byte lies on a page elsewhere in physical memory', () => {
    bare.put64(AT.pt + 8 * ((AT.data >> 12) + 1), BigInt(AT.data + 0x5000) | 3n);
    run([...nops(5), ...RDTSC, INT3], AT.data + 0x1000 - 6);
    expect(bare.reg('rax')).toBe(5n);
    expect(bare.machine.memory.readPhysical((AT.data + 0x5000) as never, 2)).toEqual(
      Buffer.from([0x31, INT3]),
    );
  });

  test('with LOCK is #UD', async () => {
    bare.machine.write(0, BigInt(AT.code), Buffer.from([0xf0, ...RDTSC]));
    expect(bare.stoppedIn()).toBe(6);
  });

  test('UD2 stays #UD', async () => {
    await bare.code('rdtsc\nud2');
    expect(bare.stoppedIn()).toBe(6);
  });

  test('in a loop is trapped each time', async () => {
    await bare.code(
      'mov $50, %ecx\nxor %ebx, %ebx\nloop: rdtsc\nsub %esi, %eax\nadd %eax, %esi\ninc %ebx\ndec %ecx\njnz loop\nint3',
    );
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(6n);
    expect(bare.reg('rbx')).toBe(50n);
  });

  test('that an NMI interrupts right before is carried out afterwards', async () => {
    await bare.code('iretq', AT.data);
    bare.gate(2, { at: AT.data });
    await bare.code('nop\nrdtsc\nint3');
    bare.machine.step();
    bare.machine.inject(0, { nmi: true });
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(2n);
  });
});

test('an interrupt that the last instruction of a block raises comes before a new block that holds a trap', async () => {
  // REP STOS ends its block; it sends the IPI.
  const labels = await bare.code(`
    mov $0xfee00000, %edi
    movl $0x1ff, 0xf0(%rdi)
    add $0x300, %edi
    mov $1, %ecx
    mov $0x44040, %eax
    sti
    rep stosl
    next: nop
    rdtsc
    int3`);
  expect(bare.stoppedIn()).toBe(0x40);
  expect(bare.frame(false).rip).toBe(labels.get('next'));
});

describe('the bytes inside another instruction', () => {
  test.each<[string, number[]]>([
    ['the end of a branch displacement', [0xe9, 0x00, 0x00, 0x0f, 0x31]],
    ['a compare that ends the block by its branch', [0x3d, 0x0f, 0x31, 0x0f, 0x32, 0x74, 0x00]],
    ['an immediate whose last byte joins the next opcode', [0xb8, 0, 0, 0, 0x0f, 0x31, 0xc9]],
    [
      'the same with the other three',
      [0xb8, 0, 0, 0, 0x0f, 0x32, 0xc9, 0xb8, 0, 0, 0, 0x0f, 0x33, 0xc9, 0xb8, 0, 0, 0, 0x0f, 0x30, 0xc9],
    ],
    ['a displacement', [0x48, 0x8d, 0x83, 0x0f, 0x31, 0x0f, 0x33]],
    ['a 64-bit immediate', [0x48, 0xb8, 0x0f, 0x30, 0x0f, 0x31, 0x0f, 0x32, 0x0f, 0x33]],
  ])('%s', (_name, code) => {
    if (code[0] === 0xe9) {
      // The target of the displacement lies far off: RET comes back.
      bare.put64(AT.pd + 8 * (((0x310f_0000 + AT.code) >>> 21) & 511), 0x83n);
      bare.put64(AT.pdpt, BigInt(AT.pd | 7));
      bare.machine.write(0, BigInt(AT.code), Buffer.from(code));
      expect(bare.machine.run({ budget: 1 })).toEqual({ kind: 'budget' });
      expect(bare.cpu.state.rip).toBe(BigInt(AT.code + 5 + 0x310f_0000));
      expect(bare.machine.read(0, BigInt(AT.code), code.length)).toEqual(Buffer.from(code));
      return;
    }
    run([...code, INT3]);
  });
});

describe('random code', () => {
  const byte = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(0x0f, 0x30, 0x31, 0x32, 0x33) },
    fc.integer({ min: 0, max: 255 }),
  );
  const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length });
  const value = (list: readonly number[]): bigint =>
    BigInt.asIntN(
      8 * list.length,
      list.reduceRight((sum, b) => (sum << 8n) | BigInt(b), 0n),
    );

  /** Registers of the model; time is the number of instructions executed. */
  interface Model {
    readonly rax: bigint;
    readonly rbx: bigint;
    readonly time: bigint;
  }
  interface Instruction {
    readonly code: readonly number[];
    apply(model: Model): Partial<Model>;
  }
  const u64 = (word: bigint): bigint => BigInt.asUintN(64, word);
  const does = (code: readonly number[], apply: Instruction['apply']): Instruction => ({ code, apply });
  const instruction: fc.Arbitrary<Instruction> = fc.oneof(
    bytes(8).map((imm) => does([0x48, 0xb8, ...imm], () => ({ rax: u64(value(imm)) }))),
    bytes(4).map((imm) => does([0xb8, ...imm], () => ({ rax: BigInt.asUintN(32, value(imm)) }))),
    bytes(4).map((imm) => does([0x48, 0x81, 0xc3, ...imm], ({ rbx }) => ({ rbx: u64(rbx + value(imm)) }))),
    bytes(4).map((disp) => does([0x48, 0x8d, 0x83, ...disp], ({ rbx }) => ({ rax: u64(rbx + value(disp)) }))),
    fc.constantFrom(
      does([0x48, 0x01, 0xc3], ({ rax, rbx }) => ({ rbx: u64(rbx + rax) })),
      does([0x31, 0xc0], () => ({ rax: 0n })),
      does([0x33, 0xc0], () => ({ rax: 0n })),
      does([0x32, 0xc0], ({ rax }) => ({ rax: rax & ~0xffn })),
      does(JMP_NEXT, () => ({})),
      does(RDTSC, ({ time }) => ({ rax: time })),
      does([0x48, ...RDTSC], ({ time }) => ({ rax: time })),
      // RDMSR of the time-stamp counter: ECX holds 0x10 all the time.
      does([0x0f, 0x32], ({ time }) => ({ rax: time })),
    ),
  );

  test('computes what its model computes, in slices of any length', () => {
    fc.assert(
      fc.property(
        fc.array(instruction, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 60 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 }),
        (program, distance, slices) => {
          let model: Model = { rax: 0n, rbx: 0n, time: 1n };
          const total = slices.reduce((sum, slice) => sum + slice, 0);
          for (const { apply } of program) model = { ...model, ...apply(model), time: model.time + 1n };
          const code = [0xb9, 0x10, 0, 0, 0, ...program.flatMap((i) => i.code), INT3];
          run(code, AT.data + 0x1000 - distance, total <= program.length ? slices : []);
          expect([bare.reg('rax'), bare.reg('rbx')]).toEqual([model.rax, model.rbx]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
