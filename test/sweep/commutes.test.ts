/** Whether what is called commuting commutes: executed with an NMI before or behind it, it leaves the same. */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { RFLAGS, VECTOR } from '../../emu/cpu/architecture.js';
import { GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { disassembler } from '../../src/asm/capstone.js';
import { assemble } from '../../src/asm/keystone.js';
import { commutes } from '../../src/sweep/commutes.js';
import { AT, Bare } from '../emu/bare.js';

const decoder = await disassembler();
const bytesOf = async (source: string): Promise<Uint8Array> =>
  (await assemble(source, { address: BigInt(AT.code) })).bytes;
const isCommuting = async (source: string): Promise<boolean> =>
  commutes(decoder, await bytesOf(source), BigInt(AT.code));

describe('instructions that commute with an event', () => {
  it.each([
    'nop', 'nopw 8(%rax,%rax)', '.byte 0xf3, 0x0f, 0x1e, 0xfa', 'mov %rax, %rbx', 'movl $5, %ecx', 'movabs $0x123456789abcdef0, %r8', 'movzbl %al, %edx',
    'movslq %ecx, %rcx', 'lea 8(%rsp,%rax,4), %rdi', 'lea 0x100(%rip), %rsi', 'add %r8, %r9', 'adc $1, %eax', 'sub %ecx, %edx',
    'cmp %rsp, %rax', 'test %rbp, %rbp', 'xor %eax, %eax', 'not %rdx', 'neg %r15', 'inc %eax', 'dec %r14b', 'imul %rbx, %rcx',
    'mul %rcx', 'shl $3, %rax', 'sar %cl, %edx', 'rol $1, %r10', 'bswap %rax', 'bt $3, %eax', 'bts %rcx, %rdx', 'bsf %eax, %ecx',
    'sete %al', 'cmovne %rax, %rcx', 'xchg %rax, %rcx', 'cltq', 'cqto', 'clc', 'stc', 'cmc', 'jmp .', 'je .', 'jmp *%rax', 'shld $4, %rax, %rbx',
    'mov %rsp, %rdi', 'mov %rbp, %rax',
  ])('%s', async (source) => expect(await isCommuting(source)).toBe(true)); // biome-ignore format: a table

  it.each([
    // memory
    'mov (%rax), %rbx', 'mov %rax, 8(%rsp)', 'movl $1, (%rdi)', 'incl (%rax)', 'lock incl (%rax)', 'xchg %rax, (%rcx)', 'cmpxchg %rcx, (%rdx)',
    'lock cmpxchg %rcx, (%rdx)', 'xadd %rax, (%rcx)', 'btsl $3, (%rax)', 'add (%rax), %rcx', 'cmpl $0, (%rax)', 'testl $1, (%rax)', 'sete (%rax)',
    'cmove (%rax), %rcx', 'movzbl (%rax), %eax', 'mov %gs:0, %rax', 'mov %rax, %gs:8', 'incl %gs:4', 'jmp *(%rax)', 'push %rax', 'pop %rax',
    'pushf', 'popf', 'call .', 'call *%rax', 'ret', 'leave', 'rep movsb', 'rep stosq', 'movsb', 'lodsb',
    // what a handler sees, or is moved by: stack, frame pointer, mode, segments, system registers, flags that are no arithmetic ones
    'mov %rax, %rsp', 'add $8, %rsp', 'sub $16, %rsp', 'lea 8(%rsp), %rsp', 'and $-16, %rsp', 'xchg %rsp, %rax', 'xchg %rax, %rsp', 'inc %rsp',
    'mov %rsp, %rbp', 'xor %ebp, %ebp', 'movl $1, %esp', 'mov %al, %spl', 'mov %ax, %bp', 'cmove %rax, %rsp', 'neg %rbp', 'shl $1, %rbp',
    'cli', 'sti', 'cld', 'std', 'iretq', 'sysretq', 'syscall', 'int3', 'int $0x40', 'hlt', 'pause', 'swapgs', 'mov %eax, %ss', 'mov %eax, %ds', 'mov %ss, %eax',
    'mov %cr3, %rax', 'mov %rax, %cr0', 'mov %dr7, %rax', 'wrmsr', 'rdmsr', 'rdtsc', 'rdpmc', 'cpuid', 'lgdt (%rax)', 'invlpg (%rax)', 'ltr %ax',
    'in $0x60, %al', 'out %al, $0x60', 'lfence', 'mfence', 'lahf', 'sahf',
    // what can fault, and what is no general register
    'div %rcx', 'idivl %ecx', 'ud2', 'movaps %xmm0, %xmm1', 'movq %rax, %xmm0', 'movd %xmm0, %eax', 'fninit',
  ])('not %s', async (source) => expect(await isCommuting(source)).toBe(false)); // biome-ignore format: a table

  it.each([[[]], [[0x0f]], [[0x06]], [[0x48]]])('not the bytes %j', (bytes) =>
    expect(commutes(decoder, Uint8Array.from(bytes), 0x1000n)).toBe(false),
  );
});

const HANDLER = 'incq 0x30000\niretq';
const HANDLER_LENGTH = 2;
/** The lower half of the machine's memory: code that a jump finds there may be anything. */
const MAPPED = 0x20_0000n;
const GENERAL = GPR_NAMES.filter((name) => name !== 'rsp');
/** CF, PF, AF, ZF, SF, OF (SDM 1, "Status Flags", 3.4.3.1). */
const FLAGS = 0x8d5;

describe('executed', async () => {
  const bare = new Bare();
  afterAll(() => bare.close());
  await bare.code(HANDLER, AT.handlers);
  bare.gate(VECTOR.NMI, { at: AT.handlers });
  const start = bare.machine.snapshot();

  interface Start {
    readonly code: Uint8Array;
    readonly values: readonly bigint[];
    readonly flags: number;
  }

  /** Puts the CPU before the code. */
  function prepare({ code, values, flags }: Start): void {
    const { machine, cpu } = bare;
    machine.restore(start);
    machine.write(0, BigInt(AT.code), code);
    for (const [index, name] of GENERAL.entries()) cpu.state.setReg(GPR_NAMES.indexOf(name), values[index]!);
    cpu.state.rflags = RFLAGS.reserved | flags;
  }

  /** Whether the CPU can go on behind the code: a fault there is no part of it. */
  function leadsOn(each: Start): boolean {
    prepare(each);
    return bare.machine.run({ budget: 1 }).kind === 'budget' && bare.cpu.state.rip < MAPPED;
  }

  /** @returns all that is left: registers, flags, place, and whether the handler has run. */
  function outcome(each: Start, isBefore: boolean): unknown {
    const { machine, cpu } = bare;
    prepare(each);
    if (!isBefore) machine.run({ budget: 1 });
    machine.inject(0, { nmi: true });
    machine.run({ budget: HANDLER_LENGTH + (isBefore ? 1 : 0) });
    const { state } = cpu;
    const registers = GPR_NAMES.map((_, index) => state.reg(index));
    return { registers, rip: state.rip, flags: state.rflags & ~RFLAGS.RF, nmis: bare.get64(AT.data) };
  }

  it('any bytes that are called commuting leave the same with an NMI before and behind', {
    timeout: 120_000,
  }, () => {
    const opcode = fc.oneof(
      fc.integer({ min: 0, max: 255 }).map((byte) => [byte]),
      fc.integer({ min: 0, max: 255 }).map((byte) => [0x0f, byte]),
    );
    const prefix = fc.constantFrom(
      [],
      [0x48],
      [0x41],
      [0x4d],
      [0x66],
      [0xf3],
      [0xf0],
      [0x66, 0x48],
      [0xf3, 0x48],
    );
    const rest = fc.oneof(
      fc.tuple(fc.integer({ min: 0xc0, max: 0xff }), fc.uint8Array({ minLength: 8, maxLength: 8 })),
      fc.tuple(fc.integer({ min: 0, max: 0xff }), fc.uint8Array({ minLength: 8, maxLength: 8 })),
    );
    const cases = fc.record({
      code: fc.tuple(prefix, opcode, rest).map(([a, b, [c, d]]) => Uint8Array.from([...a, ...b, c, ...d])),
      values: fc.array(fc.oneof(fc.bigInt(0n, 0xffff_ffff_ffff_ffffn), fc.bigInt(0n, 0xffffn)), {
        minLength: GENERAL.length,
        maxLength: GENERAL.length,
      }),
      flags: fc.integer({ min: 0, max: 0xfff }).map((flags) => flags & FLAGS),
    });
    const seen = new Set<string>();
    fc.assert(
      fc.property(cases, (each) => {
        if (!commutes(decoder, each.code, BigInt(AT.code))) return;
        if (!leadsOn(each)) return;
        seen.add(decoder.decode(each.code, BigInt(AT.code)).next().value!.mnemonic);
        expect(outcome(each, true)).toEqual(outcome(each, false));
      }),
      { numRuns: 12_000, seed: 6 },
    );
    expect(seen.size).toBeGreaterThan(60);
  });
});
