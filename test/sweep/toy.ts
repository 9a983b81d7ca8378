/**
 * A kernel of a few instructions, to be swept: it enters user mode, whose program makes system calls for ever; each of them calls
 * `work`. NMIs are taken on a stack of their own, interrupt 0x40 on the present one.
 */
import { afterAll } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { disassembler } from '../../src/asm/capstone.js';
import type { Monitor } from '../../src/sweep/monitor.js';
import type { Question } from '../../src/sweep/question.js';
import { Sweep } from '../../src/sweep/sweep.js';
import { addTally, emptyTally, type Tally } from '../../src/sweep/tally.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';

export { missingTools, toolsNote };

export interface Toy {
  /** In the kernel, called by each system call with interrupts off. RCX and R11 belong to the caller. */
  readonly work?: string;
  readonly user?: string;
  /** The handlers: they save what they change, and leave by IRET. */
  readonly nmi?: string;
  readonly irq?: string;
  /** More routines and data. */
  readonly more?: string;
}

export const IRQ = 0x40;

const source = ({
  work = 'ret',
  user = 'again: syscall; jmp again',
  nmi = 'incq nmis; iretq',
  irq = 'incq irqs; pushq %rax; movl $0xfee000b0, %eax; movl $0, (%rax); popq %rax; iretq',
  more = '',
}: Toy): string => `
        .pushsection .note.pvh, "a", @note
        .balign 4
        .long 4, 8, 18
        .asciz "Xen"
        .quad start
        .popsection
        .set HIGH, 0xffffff8000000000           # the same memory again
        .text
        .code32
        .globl start
start:  movl $tss, %eax
        movw %ax, tss_descriptor + 2
        shrl $16, %eax
        movb %al, tss_descriptor + 4
        movb %ah, tss_descriptor + 7
        lgdt gdt_pointer
        movl $0x620, %eax                       # PAE, OSFXSR, OSXMMEXCPT
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx                  # EFER: LME, SCE
        rdmsr
        orl $0x101, %eax
        wrmsr
        movl $0x80010033, %eax
        movl %eax, %cr0
        ljmp $0x08, $long
        .code64
        .macro msr number, low, high
        movl $\\number, %ecx
        movl $\\low, %eax
        movl $\\high, %edx
        wrmsr
        .endm
        .macro gate vector, to, ist=0
        leaq \\to(%rip), %rax
        movw %ax, idt + 16 * \\vector
        movw $0x08, idt + 16 * \\vector + 2
        movw $0x8e00 + \\ist, idt + 16 * \\vector + 4
        shrq $16, %rax
        movw %ax, idt + 16 * \\vector + 6
        .endm
long:   movw $0x10, %ax
        movw %ax, %ss
        movw %ax, %ds
        movw %ax, %es
        movw $0x28, %ax
        ltr %ax
        gate 2, nmi, 1
        gate ${IRQ}, irq
        lidt idt_pointer
        msr 0xc0000081, 0, 0x00100008           # STAR
        msr 0xc0000082, entry, 0                # LSTAR
        msr 0xc0000084, 0x300, 0                # FMASK: IF, TF
        msr 0xc0000101, 0, 0xffffff80           # GS
        movl $0xfee000f0, %eax
        movl $0x1ff, (%rax)                     # the local APIC is on
        movabsq $HIGH + stack, %rsp
        movl $user, %ecx
        movl $0x202, %r11d
        xorl %eax, %eax
        xorl %edx, %edx
        sysretq
        .globl entry, work, user, nmi, irq
entry:  movq %rsp, user_rsp
        movabsq $HIGH + stack, %rsp
        call work
left:   movq user_rsp, %rsp
        sysretq
work:   ${work}
user:   ${user}
nmi:    ${nmi}
irq:    ${irq}
        ${more}
        .data
        .balign 4096
pml4:   .quad pdpt + 7
        .fill 510, 8, 0
        .quad pdpt + 7
pdpt:   .quad pd + 7, 0, 0, pd3 + 7
        .fill 508, 8, 0
pd:     .quad 0x000087, 0x200087
        .fill 510, 8, 0
pd3:    .fill 503, 8, 0
        .quad 0xfee00083
        .fill 8, 8, 0
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
tss_descriptor: .quad 0x0000890000000067, 0
gdt_end:
gdt_pointer: .word gdt_end - gdt - 1
        .quad gdt
idt_pointer: .word 0xfff
        .quad idt
tss:    .long 0
        .quad HIGH + stack, 0, 0, 0, HIGH + ist
        .fill 64, 1, 0
user_rsp: .quad 0
nmis:   .quad 0
irqs:   .quad 0
        .balign 16
idt:    .fill 512, 8, 0
        .fill 1024, 1, 0
ist:    .quad 0
        .fill 1024, 1, 0
stack:  .quad 0
`;

const built = new Map<string, Uint8Array>();

/** The image of a toy, as a file's contents. Labels that begin with \`.L\` are kept out of its symbols. */
export function toyImage(toy: Toy): Uint8Array {
  const text = source(toy);
  const known = built.get(text);
  if (known !== undefined) return known;
  const shop = new Workshop();
  try {
    const image = shop.link('toy', text, '-Ttext-segment=0x100000', '-N', '-e', 'start');
    built.set(text, image);
    return image;
  } finally {
    shop.remove();
  }
}

const QUESTION: Question = {
  from: 'work',
  to: undefined,
  occurrence: 1,
  cpu: 0,
  injection: { kind: 'nmi' },
  depth: 1,
  bound: 10_000,
  prune: false,
};

export interface SweptToy {
  readonly sweep: Sweep;
  readonly machine: Machine;
  readonly tally: Tally;
}

const open: Machine[] = [];
afterAll(() => {
  for (const machine of open) machine.close();
});

export interface ToyOptions {
  readonly watch?: (machine: Machine) => Monitor;
  readonly isChecked?: boolean;
}

/** The toy at its window; the machine lives as long as the test file. */
export async function openToy(
  toy: Toy,
  question: Partial<Question> = {},
  options: ToyOptions = {},
): Promise<Sweep> {
  return (await openBoth(toy, question, options)).sweep;
}

async function openBoth(
  toy: Toy,
  question: Partial<Question>,
  options: ToyOptions,
): Promise<Omit<SweptToy, 'tally'>> {
  const machine = new Machine({ ram: 4 << 20 });
  open.push(machine);
  machine.load(toyImage(toy));
  const decoder = await disassembler();
  const setup = { machine, decoder, budget: 100_000, console: [], ...options };
  return { machine, sweep: new Sweep({ ...setup, question: { ...QUESTION, ...question } }) };
}

/** A whole sweep. */
export async function sweepToy(
  toy: Toy,
  question: Partial<Question> = {},
  options: ToyOptions = {},
): Promise<SweptToy> {
  const { machine, sweep } = await openBoth(toy, question, options);
  const tally = emptyTally(sweep.question.depth);
  for (let unit = 0; unit < sweep.units; unit++) addTally(tally, doUnit(sweep, unit));
  return { machine, sweep, tally };
}

export function doUnit(sweep: Sweep, unit: number): Tally {
  const runs = sweep.unit(unit);
  for (;;) {
    const run = runs.next();
    if (run.done) return run.value;
  }
}

/** Ids of what a sweep found broken, with the number of runs. */
export const broken = ({ breaches }: Tally): Record<string, number> =>
  Object.fromEntries(Object.values(breaches).map(({ ids, runs }) => [ids.join(','), runs]));
