import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AsmError, type AssembleOptions, assemble, type Names } from '../../src/asm/keystone.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';

const ADDRESS = 0xffffffff81000000n;

const names = (addresses: Record<string, bigint>, constants: Record<string, bigint> = {}): Names => ({
  lookup: (name) => addresses[name],
  constant: (name) => constants[name],
});

/** Snippets that must give GNU as's bytes. Each is one way in which a kernel's assembly is written. */
const SAME_BYTES: readonly string[] = [
  'nop',
  'push %rbp; mov %rsp,%rbp; pop %rbp; ret',
  'lock cmpxchg %rdx, (%rdi)',
  'lock cmpxchgl %edx, 0x10(%rdi)',
  'lock xaddq %rax, (%rdi)',
  'lock btsq $3, (%rdi)',
  'lock; incl (%rax)',
  'xchg %rax, (%rdi)',
  'xchgq %rbx, 8(%rdi)',
  'swapgs; sysretq',
  'syscall; iretq',
  'cli; sti; hlt; pause; cld; std',
  'pushfq; popfq; ud2; int3; int $0x80',
  'rdmsr; wrmsr; cpuid; rdtsc; lfence; mfence; sfence',
  'mov %cr3, %rax; mov %rax, %cr3; mov %cr2, %rdi',
  'lidt (%rax); lgdt 8(%rsp); ltr %ax; invlpg (%rdi)',
  'mov %gs:8, %rax',
  'mov %gs:8, %rbx',
  'mov %rsp, %gs:0x20',
  'movq $0, %gs:40',
  'incl %gs:100',
  'mov %gs:(%rdi), %rax',
  'mov %gs:16(%rdi,%rcx,8), %rax',
  'mov %fs:0, %rcx',
  'mov 0x1000, %eax',
  'mov %ebx, 4096',
  'add $10, %eax; add $99, %ebx; mov $16, %ecx',
  'mov $010, %edx; mov $0b101, %esi; mov $0x1f, %edi',
  'mov $(1 << 4 | 2), %eax; and $~15, %rsp; sub $-8, %rsp',
  "movb $'a', %al",
  'movabs $0x1122334455667788, %rax',
  'movabs 0x1122334455667788, %al',
  'mov $0x7fffffff, %eax; or $-1, %rax; push $1; pushq $-2',
  'mov 16(%rax), %rbx; mov -8(%rbp), %rcx; lea 10(%rax,%rbx,2), %rdx',
  'imul $3, %rax, %rax; imul $1000, %rcx, %rdx',
  'movzbl (%rsi), %eax; movslq %edi, %rdi; movzwl %ax, %eax; cltq; cqto',
  'test %rax, %rax; testb $1, (%rdi); cmpq $511, %rcx',
  'bt $3, %eax; bts %rcx, (%rdi); btr $1, %rax; bsf %rax, %rcx',
  'cmove %rax, %rbx; setne %al; sar $10, %rax; shl $12, %rcx; shr %cl, %rdx',
  'rep movsb; rep stosq; repne scasb',
  'mul %rcx; div %rcx; neg %rax; not %rbx; bswap %rcx',
  'again: dec %rcx; jnz again; jmp again',
  'jmp over; .skip 200; over: je over; loop over',
  'call next; next: ret; ret $16',
  'jmp *%rax; call *8(%rax); call *%rdx; jmp *16(,%rax,8)',
  'jmp *%gs:64; call *4096',
  'lea here(%rip), %rax; here: mov here(%rip), %rcx; movl $10, here+12(%rip)',
  'mov 8(%rip), %rax',
  'table: .quad table, table + 16; .long table - .; .word 10; .byte 1, 020, 30; .short 11; .int 12',
  '.ascii "a;b#c"; .asciz "x\\ny"; .string "/* no comment */"',
  '.zero 10; .skip 3, 0x90; .space 12; .fill 2, 1, 0x90',
  'nop; .balign 16, 0xcc; nop',
  'nop; .p2align 3, 0x90; nop; .align 32, 0; nop',
  '.macro twice a b; mov $\\a, %eax; mov $\\b, %ebx; .endm; twice 10, 16; twice 17, 18',
  '.macro load off; mov %gs:\\off, %rdx; .endm; load 16',
  '.rept 12; nop; .endr; .irp r, rax, rbx; push %\\r; .endr',
  '.set FLAG, 16; .if FLAG > 10; mov $FLAG, %eax; .else; nop; .endif',
  'SIZE = 24; sub $SIZE, %rsp; mov SIZE(%rsp), %rax; .equ OTHER, SIZE + 10; add $OTHER, %rax',
  '.ifdef NOPE; nop; .endif; .ifndef NOPE; ret; .endif',
  '/* a comment\n over lines; nop */ nop # and one\nret',
  '.globl start; start: nop; .global other; other: jmp start',
  'get_cookie.begin: nop; get_cookie.end: jmp get_cookie.begin',
  '.code32; mov %eax, %ebx; mov 0x1000, %ecx; push %ebx; .code64; push %rbx',
];

describe.skipIf(missingTools.length > 0)(`keystone against GNU as${toolsNote}`, () => {
  let shop: Workshop;
  beforeAll(() => {
    shop = new Workshop();
  });
  afterAll(() => shop.remove());

  const gnu = (source: string, { mode = 64, definitions = '', symbols = [] as string[] } = {}): string => {
    shop.write('row.s', `.code${mode}\n${definitions}\n.globl _start\n_start:\n${source}\n`);
    shop.run('as', '--64', 'row.s', '-o', 'row.o');
    shop.run(
      'ld',
      ...symbols.map((text) => `--defsym=${text}`),
      '--oformat',
      'binary',
      `-Ttext=0x${ADDRESS.toString(16)}`,
      'row.o',
      '-o',
      'row',
    );
    return Buffer.from(shop.read('row')).toString('hex');
  };
  const ours = async (source: string, options: AssembleOptions = {}): Promise<string> =>
    Buffer.from((await assemble(source, { address: ADDRESS, ...options })).bytes).toString('hex');

  it.each(SAME_BYTES)('%s', async (source) => {
    expect(await ours(source)).toBe(gnu(source));
  });

  it.each([
    [16, 'mov %cr0, %eax; or $1, %al; mov %eax, %cr0; lgdtl 0x1000; mov $16, %ax; mov %ax, %ds'],
    [32, 'mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0; mov 4096, %ebx; push $16; lret; a: jmp a'],
  ] as const)('mode %i: %s', async (mode, source) => {
    expect(await ours(source, { mode })).toBe(gnu(source, { mode }));
  });

  it.each([
    'mov rax, [rbx + 16]; lea rcx, [rip + here]; here: jmp here',
    'mov rbx, gs:[16]; mov qword ptr gs:[24], rax; mov rdx, [4096]',
    'lock cmpxchg qword ptr [rdi], rdx; mov eax, 99; .quad 10',
  ])('Intel syntax: %s', async (source) => {
    expect(await ours(source, { syntax: 'intel' })).toBe(gnu(`.intel_syntax noprefix\n${source}`));
  });

  it('takes addresses and constants of an image by name', async () => {
    const source =
      'mov TASK_pid(%rdi), %eax; call unwind; mov %gs:current_task, %rdx; mov counter(%rip), %rcx; lea counter+8(%rip), %rax; .quad unwind; jmp unwind; movl $TASK_pid, %ebx; movabs $counter, %rsi';
    const definitions = '.set TASK_pid, 16';
    const linked = ['unwind=0xffffffff81002000', 'counter=0xffffffff81004000', 'current_task=0x240'];
    const symbols = names(
      { unwind: 0xffffffff81002000n, counter: 0xffffffff81004000n, current_task: 0x240n },
      { TASK_pid: 16n },
    );
    expect(await ours(source, { symbols })).toBe(gnu(source, { definitions, symbols: linked }));
  });
});

describe('labels', () => {
  it('are returned with their addresses', async () => {
    const { labels, bytes } = await assemble('a: nop\nb: ret\n c.begin: c: nop\nend:', { address: ADDRESS });
    expect(bytes).toEqual(Uint8Array.of(0x90, 0xc3, 0x90));
    expect([...labels]).toEqual([
      ['a', ADDRESS],
      ['b', ADDRESS + 1n],
      ['c.begin', ADDRESS + 2n],
      ['c', ADDRESS + 2n],
      ['end', ADDRESS + 3n],
    ]);
  });

  it('are exact behind relaxed jumps', async () => {
    const { labels } = await assemble(`jmp far\n.skip 127\nnear: nop\n.skip 300\nfar: jmp near`);
    expect(labels.get('near')).toBe(132n);
    expect(labels.get('far')).toBe(433n);
  });
});

describe('what keystone would get wrong in silence', () => {
  it.each([
    ['.section', 'nop\n.section .text\nnop', 2, 'leave it out, a snippet is one piece'],
    ['.pushsection', '.pushsection .x\n.popsection', 1, 'one piece'],
    ['.text', '.text\nnop', 1, 'one piece'],
    ['a numeric label', 'nop\n1: jmp 1b', 2, 'expected a named label, found the numeric one 1:'],
    ['a numeric reference', 'nop\njmp 1f', 2, 'found the reference 1f'],
    ['\\@', '.macro m\nx\\@: jmp x\\@\n.endm\nm', 2, 'without \\@'],
    ['\\@ in an operand', '.macro m\njmp x\\@\n.endm\nm', 2, 'expected no \\@'],
    ['.org', 'nop\n.org 16\nnop', 2, 'write .skip'],
    ['.loc', '.loc 1 2\nnop', 1, 'no debug information'],
    ['.cfi', 'nop\n.cfi_startproc', 2, 'no debug information'],
    ['.error', '/* one\n two */ .error "x"\nnop', 2, 'ignored without a word'],
    ['.include', '.include "/etc/passwd"', 1, 'put its text here'],
    ['an unknown directive', 'nop\n.frob 1', 2, 'use one of .macro'],
    ['endbr64', 'endbr64', 1, 'write .byte 0xf3, 0x0f, 0x1e, 0xfa'],
    ['a far jump', 'ljmp $8, $0x1000', 1, 'use lret'],
    ['an odd alignment', 'nop\n.balign 3', 2, 'power of two'],
    ['a constant before (%rip)', '.set X, 5\nmov X(%rip), %rax', 2, 'found the constant X'],
    ['an odd number', 'nop\nmov $0ffh, %eax', 2, 'found 0ffh'],
    ['nothing', '', 1, 'found nothing'],
    ['only comments', '# none\n/* at all */', 1, 'found nothing'],
    ['only definitions', 'a:\n.set b, 1', 2, 'found none'],
    ['an open block', 'nop\n.rept 3\nnop', 3, 'expected .endm, .endr or .endif'],
    ['a block that was never opened', 'nop\n.endif', 2, 'expected an open block'],
    ['an unknown instruction', 'a: nop\njmp b\nfrob %rax\nb: nop', 3, 'found `frob %rax`: invalid mnemonic'],
    ['a bad operand', 'nop\nnop; mov %rax, %ebx; nop', 2, 'found `mov %rax, %ebx`'],
    [
      'an unknown name',
      'nop\n\ncall nowhere\nnop',
      3,
      'expected names that the snippet or the image defines',
    ],
    ['a label defined twice', 'a: nop\na: nop', 2, 'found `a: nop`'],
    ['a bad macro body', '.macro m\nnop\nfrob\n.endm\nnop\nm\nnop', 6, 'found `m`'],
  ])('%s is an AsmError with its line', async (_, source, line, message) => {
    const error = await assemble(source).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AsmError);
    expect((error as AsmError).message).toContain(message);
    expect((error as AsmError).line).toBe(line);
  });

  it('leaves the exit status of the process alone', () => {
    expect(process.exitCode).toBeUndefined();
  });
});

describe('keystone modules', () => {
  it('last for thousands of snippets in all modes', async () => {
    for (let round = 0; round < 1000; round++) {
      const mode = ([16, 32, 64] as const)[round % 3]!;
      const { bytes } = await assemble(`a: nop\n jmp a\n .byte ${round % 256}`, { mode });
      expect(bytes.at(-1)).toBe(round % 256);
    }
  });

  it('are replaced when a source kills one', async () => {
    const huge = 'mov %rax, %rbx\nadd $1, %rcx\n'.repeat(40_000);
    const result = await assemble(huge).catch((error: unknown) => error);
    if (result instanceof Error) expect(result).toBeInstanceOf(AsmError);
    expect((await assemble('ret')).bytes).toEqual(Uint8Array.of(0xc3));
  });

  it('assembles 1,000 labels and 2,000 instructions', async () => {
    const source = Array.from(
      { length: 1000 },
      (_, index) => `l${index}: mov %rax, %rbx\njmp l${999 - index}`,
    ).join('\n');
    const { labels } = await assemble(source);
    expect(labels.size).toBe(1000);
  });
});
