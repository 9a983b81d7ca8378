/**
 * Exceptions and software interrupts as the processor delivers them in 64-bit mode: the frame, the error code and the flags
 * (SDM 3A, "Exception and Interrupt Reference", 6.15; "Exception and Interrupt Handling in 64-bit Mode", 6.14).
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

const CR0 = { pe: 1n, em: 4n, ts: 8n, wp: 0x1_0000n, pg: 0x8000_0000n } as const;
/** A data segment that is not present, and its index in the GDT: behind the TSS. */
const ABSENT = 0x38;
const ABSENT_DESCRIPTOR = 0x00cf_1300_0000_ffffn;
const UNMAPPED = 0x4000_0000n;
const READ_ONLY = 0x9000n;

interface Case {
  readonly name: string;
  readonly code: string;
  readonly vector: number;
  readonly errorCode?: number;
  readonly ring?: 3;
  /** Control register 0 in addition to protection and paging. */
  readonly cr0?: bigint;
  readonly cr2?: bigint;
  /** The saved RIP: at `at` for a fault, behind the instruction for a trap. */
  readonly saved: 'at' | 'behind';
}

const fault = (vector: number, name: string, code: string, more: Partial<Case> = {}): Case => ({
  name,
  vector,
  code: `at: ${code}\nbehind: hlt`,
  saved: 'at',
  ...more,
});
const trap = (vector: number, name: string, code: string, more: Partial<Case> = {}): Case => ({
  ...fault(vector, name, code, more),
  saved: 'behind',
});

const CASES: readonly Case[] = [
  fault(0, '#DE: division by zero', 'divq %rbx'),
  fault(0, '#DE: a quotient that does not fit', 'idivl %esi'),
  trap(1, '#DB: INT1', '.byte 0xf1'),
  trap(3, '#BP: INT3', 'int3'),
  trap(3, '#BP: INT 3 in two bytes', '.byte 0xcd, 3'),
  fault(6, '#UD: INTO does not exist in 64-bit mode', '.byte 0xce'),
  fault(6, '#UD: BOUND does not exist in 64-bit mode', '.byte 0x62, 0x00'),
  fault(6, '#UD: UD2', 'ud2'),
  fault(6, '#UD: LOCK before an instruction that cannot have it', '.byte 0xf0, 0x90'),
  fault(6, '#UD: MOV to CS', '.byte 0x8e, 0xc8'),
  fault(7, '#NM: x87 with CR0.TS', 'fld1', { cr0: CR0.ts }),
  fault(7, '#NM: x87 with CR0.EM', 'fld1', { cr0: CR0.em }),
  fault(7, '#NM: SSE with CR0.TS', 'xorps %xmm0, %xmm0', { cr0: CR0.ts }),
  fault(6, '#UD: SSE with CR0.EM', 'xorps %xmm0, %xmm0', { cr0: CR0.em }),
  fault(11, '#NP: a data segment that is not present', 'mov %bx, %ds', { errorCode: ABSENT }),
  fault(12, '#SS: a stack segment that is not present', 'mov %bx, %ss', { errorCode: ABSENT }),
  fault(13, '#GP: a selector beyond the GDT', 'mov %cx, %es', { errorCode: 0x7ad8 }),
  fault(13, '#GP: a non-canonical address', 'mov (%rdx), %rax', { errorCode: 0 }),
  ...[
    'cli',
    'sti',
    'hlt',
    'wbinvd',
    'mov %cr0, %rax',
    'mov %rax, %cr3',
    'lidt (%rdi)',
    'lgdt (%rdi)',
    'ltr %ax',
    'invlpg (%rdi)',
    'clts',
    'swapgs',
    'sysretq',
    'rdmsr',
    'wrmsr',
  ].map((code) => fault(13, `#GP: ${code} in ring 3`, code, { errorCode: 0, ring: 3 })),
  fault(14, '#PF: a read of an absent page', 'mov 8(%r8), %rax', { errorCode: 0, cr2: UNMAPPED + 8n }),
  fault(14, '#PF: a write to an absent page', 'movb $1, (%r8)', { errorCode: 2, cr2: UNMAPPED }),
  fault(14, '#PF: a fetch from an absent page', 'jmp *%r8', { errorCode: 0x10, cr2: UNMAPPED }),
  fault(14, '#PF: a fetch from a no-execute page', 'jmp *%r9', { errorCode: 0x11, cr2: 0xa000n }),
  fault(14, '#PF: a write to a read-only page with CR0.WP', 'movb $1, (%r10)', {
    errorCode: 3,
    cr2: READ_ONLY,
  }),
  fault(14, '#PF: ring 3 reads an absent page', 'mov (%r8), %rax', { errorCode: 4, cr2: UNMAPPED, ring: 3 }),
  fault(14, '#PF: ring 3 writes an absent page', 'movb $1, (%r8)', { errorCode: 6, cr2: UNMAPPED, ring: 3 }),
  fault(14, '#PF: ring 3 reads a supervisor page', 'mov (%rdi), %rax', {
    errorCode: 5,
    cr2: BigInt(AT.data),
    ring: 3,
  }),
  fault(14, '#PF: ring 3 writes a supervisor page', 'mov %rax, (%rdi)', {
    errorCode: 7,
    cr2: BigInt(AT.data),
    ring: 3,
  }),
  fault(14, '#PF: ring 3 jumps to a supervisor page', 'jmp *%rdi', {
    errorCode: 0x15,
    cr2: BigInt(AT.data),
    ring: 3,
  }),
  fault(16, '#MF: an unmasked x87 exception at the next WAIT', 'fwait', { cr0: 0x20n }),
  trap(0x80, 'INT 0x80', 'int $0x80'),
  trap(0x0e, 'INT 14 pushes no error code', 'int $14'),
  trap(0x06, 'INT 6 pushes no error code', 'int $6'),
  trap(0xff, 'INT 0xff in ring 3', 'int $0xff', { ring: 3 }),
  trap(3, 'INT3 in ring 3', 'int3', { ring: 3 }),
];

/** Registers that the cases use, and the x87 exception that waits for #MF. */
async function prepare({ code, ring, cr0, vector }: Case): Promise<ReadonlyMap<string, bigint>> {
  bare.put64(AT.gdt + ABSENT, ABSENT_DESCRIPTOR);
  bare.put64(AT.pt + 8 * 9, READ_ONLY | 1n);
  bare.put64(AT.pt + 8 * 10, 0xa003n | (1n << 63n));
  for (const open of [3, 0xff]) bare.gate(open, { at: AT.handlers + open, dpl: 3 });
  const start = ring === 3 ? AT.userCode : AT.code;
  const setUp = `
    xor %ebx, %ebx
    mov $1, %edx
    mov $1, %esi
    mov $${AT.data}, %edi
    mov $${UNMAPPED}, %r8
    mov $0xa000, %r9
    mov $${READ_ONLY}, %r10
    mov $0x7ad8, %ecx`;
  const more =
    vector === 16
      ? 'fninit\npushq $0\nfldcw (%rsp)\nfldz\nfld1\nfdivp %st, %st(1)\npop %rax\nfldz\nfdivr %st(0), %st'
      : '';
  const special = code.includes('%bx')
    ? `mov $${ABSENT}, %ebx`
    : code.includes('%rdx')
      ? 'mov $0x800000000000, %rdx'
      : '';
  const control = cr0 === undefined ? '' : `mov %cr0, %rax\nor $${cr0}, %eax\nmov %rax, %cr0`;
  const labels = await bare.code(`${setUp}\n${control}\n${more}\n${special}\n${code}`, start);
  if (ring === 3) bare.enterUser();
  bare.cpu.state.setTable('gdt', { base: BigInt(AT.gdt), limit: ABSENT + 7 });
  return labels;
}

describe('each exception in turn', () => {
  test.each(CASES)('$name', async (row) => {
    const labels = await prepare(row);
    const rspBefore = bare.reg('rsp');
    expect(bare.stoppedIn()).toBe(row.vector);
    const frame = bare.frame(row.errorCode !== undefined);
    expect(frame.errorCode).toBe(row.errorCode);
    const target = /jmp \*%(\w+)/.exec(row.code)?.[1];
    const fetchFault = target !== undefined && row.vector === 14;
    expect(frame.rip).toBe(fetchFault ? row.cr2 : labels.get(row.saved));
    expect(frame.cs).toBe(row.ring === 3 ? SELECTOR.userCode : SELECTOR.code);
    expect(frame.ss).toBe(row.ring === 3 ? SELECTOR.userData : SELECTOR.data);
    expect(frame.rsp).toBe(rspBefore);
    expect((frame.rflags & RFLAGS.RF) !== 0, 'RF is set for a fault and clear for a trap').toBe(
      row.saved === 'at',
    );
    if (row.cr2 !== undefined) expect(bare.cpu.state.cr(2)).toBe(row.cr2);
    expect(bare.cpu.state.cpl).toBe(0);
  });
});

/** Where the engine is not the manual's processor; a guest must not rely on either. */
describe('what the engine does otherwise', () => {
  test('a jump to a non-canonical address faults at the fetch, with the target as RIP', async () => {
    await bare.code('mov $0x800000000000, %rdx\njmp *%rdx');
    expect(bare.stoppedIn()).toBe(13);
    expect(bare.frame(true)).toMatchObject({ errorCode: 0, rip: 0x8000_0000_0000n });
  });

  test('a push through a non-canonical RSP is #GP and not #SS', async () => {
    bare.gate(13, { at: AT.handlers + 13, ist: 1 });
    await bare.code('mov $0x800000001000, %rsp\npush %rax');
    expect(bare.stoppedIn()).toBe(13);
  });
});

describe('the frame', () => {
  test.each([0, 1, 7, 8, 15])('is aligned to 16 bytes from RSP + %i, whatever RSP was', async (offset) => {
    const rsp = BigInt(AT.stack - 0x100 + offset);
    await bare.code(`mov $${rsp}, %esp\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rsp')).toBe((rsp & ~0xfn) - 40n);
    expect(bare.frame(false).rsp).toBe(rsp);
  });

  test('with an error code takes 48 bytes below the aligned stack pointer', async () => {
    await bare.code(`mov $${AT.stack - 8}, %esp\nmov 0x40000000, %eax`);
    expect(bare.stoppedIn()).toBe(14);
    expect(bare.reg('rsp')).toBe(BigInt(AT.stack - 16 - 48));
  });

  test('holds the arithmetic flags of the interrupted code', async () => {
    await bare.code('xor %eax, %eax\nsub $1, %eax\nint3');
    expect(bare.stoppedIn()).toBe(3);
    // CF, PF, AF and SF of 0 - 1 (SDM 1, "Status Flags", 3.4.3.1).
    expect(bare.frame(false).rflags & 0xfd5).toBe(0x95);
  });
});

describe('gates', () => {
  const flags = RFLAGS.reserved | RFLAGS.IF | RFLAGS.NT;
  test.each([
    ['an interrupt gate clears IF', false, 0],
    ['a trap gate leaves IF', true, RFLAGS.IF],
  ])('%s; both clear TF, NT and RF', async (_name, isTrap, left) => {
    await bare.haltingHandlers({ trap: isTrap });
    await bare.code(`pushq $${flags}\npopfq\nint3`);
    expect(bare.machine.run({ budget: 100 }).kind).toBe('hang');
    expect(bare.frame(false).rflags).toBe(flags);
    expect(bare.cpu.state.rflags & (RFLAGS.IF | RFLAGS.TF | RFLAGS.NT | RFLAGS.RF)).toBe(left);
  });

  test.each([
    ['INT n', 'int $0x21', 0x21],
    ['INT3', 'int3', 3],
  ])(
    '%s from ring 3 through a gate of DPL 0 is #GP with the vector in the error code',
    async (_name, code, vector) => {
      const labels = await bare.code(`at: ${code}`, AT.userCode);
      bare.enterUser();
      expect(bare.stoppedIn()).toBe(13);
      expect(bare.frame(true)).toMatchObject({
        errorCode: vector * 8 + 2,
        rip: labels.get('at'),
        cs: SELECTOR.userCode,
      });
    },
  );

  test('a fault from ring 3 ignores the DPL of the gate', async () => {
    await bare.code('ud2', AT.userCode);
    bare.enterUser();
    expect(bare.stoppedIn()).toBe(6);
  });

  test('INT n through a gate that is not present is #NP with EXT clear', async () => {
    bare.gate(0x21, { at: AT.handlers + 0x21, present: false });
    const labels = await bare.code('at: int $0x21');
    expect(bare.stoppedIn()).toBe(11);
    expect(bare.frame(true)).toMatchObject({ errorCode: 0x21 * 8 + 2, rip: labels.get('at') });
  });

  test('a fault through a gate that is not present is #NP with EXT set', async () => {
    bare.gate(6, { at: AT.handlers + 6, present: false });
    await bare.code('ud2');
    expect(bare.stoppedIn()).toBe(11);
    expect(bare.frame(true).errorCode).toBe(6 * 8 + 3);
  });

  test.each([
    [
      'beyond the limit of the IDT',
      () => bare.cpu.state.setTable('idt', { base: BigInt(AT.idt), limit: 16 * 0x21 + 14 }),
    ],
    ['that is no gate', () => bare.put64(AT.idt + 16 * 0x21, 0n, 0n)],
    ['of a 64-bit TSS', () => bare.put64(AT.idt + 16 * 0x21, 0x0000_8900_0008_0000n, 0n)],
  ])('INT n through a gate %s is #GP', async (_name, damage) => {
    damage();
    const labels = await bare.code('at: int $0x21');
    expect(bare.stoppedIn()).toBe(13);
    expect(bare.frame(true)).toMatchObject({ errorCode: 0x21 * 8 + 2, rip: labels.get('at') });
  });

  test.each([
    ['null', 0, 13, 0],
    ['beyond the GDT', 0x100, 13, 0x100],
    ['a data segment', SELECTOR.data, 13, SELECTOR.data],
    ['a code segment of a lower privilege', SELECTOR.userCode, 13, SELECTOR.userCode & ~3],
    ['a 32-bit code segment', 0x38, 13, 0x38],
    ['a code segment that is not present', 0x40, 11, 0x40],
  ])('a gate whose selector is %s', async (_name, selector, vector, errorCode) => {
    bare.put64(AT.gdt + 0x38, 0x00cf_9b00_0000_ffffn, 0x00af_1b00_0000_ffffn);
    bare.cpu.state.setTable('gdt', { base: BigInt(AT.gdt), limit: 0x47 });
    bare.gate(0x21, { at: AT.handlers + 0x21, selector });
    await bare.code('int $0x21');
    expect(bare.stoppedIn()).toBe(vector);
    expect(bare.frame(true).errorCode).toBe(errorCode);
  });
});

describe('stacks', () => {
  test('ring 3 to ring 0 takes RSP0 from the TSS and a null SS', async () => {
    await bare.code('ud2', AT.userCode);
    bare.enterUser();
    expect(bare.stoppedIn()).toBe(6);
    expect(bare.reg('rsp')).toBe(BigInt(AT.stack + 0x8000 - 40));
    expect(bare.cpu.state.segment('ss')).toMatchObject({ selector: 0 });
    expect(bare.frame(false)).toMatchObject({ rsp: BigInt(AT.userStack + 0x1000), ss: SELECTOR.userData });
  });

  test.each([0, 3])('an interrupt-stack-table entry is used from ring %i', async (ring) => {
    bare.gate(6, { at: AT.handlers + 6, ist: 1 });
    await bare.code('ud2', ring === 3 ? AT.userCode : AT.code);
    if (ring === 3) bare.enterUser();
    const rsp = bare.reg('rsp');
    expect(bare.stoppedIn()).toBe(6);
    expect(bare.reg('rsp')).toBe(BigInt(AT.ist - 40));
    expect(bare.frame(false).rsp).toBe(rsp);
    // Without a change of privilege SS stays (SDM 3A, 6.14.4).
    expect(bare.cpu.state.selector('ss')).toBe(ring === 3 ? 0 : SELECTOR.data);
  });

  test.each([1, 2, 3, 4, 5, 6, 7])(
    'entry %i of the interrupt-stack table is the one at its place in the TSS',
    async (ist) => {
      bare.put64(AT.tss + 36 + 8 * (ist - 1), BigInt(AT.stack + 0x100 * ist));
      bare.gate(6, { at: AT.handlers + 6, ist });
      await bare.code('ud2');
      expect(bare.stoppedIn()).toBe(6);
      expect(bare.reg('rsp')).toBe(BigInt(AT.stack + 0x100 * ist - 40));
    },
  );

  test('a TSS too short for the entry is #TS with the selector of the TSS and EXT', async () => {
    bare.cpu.state.setTr({ selector: SELECTOR.tss, base: BigInt(AT.tss), limit: 42, flags: 0x8b00 });
    bare.gate(6, { at: AT.handlers + 6, ist: 1 });
    await bare.code('ud2');
    expect(bare.stoppedIn()).toBe(10);
    expect(bare.frame(true).errorCode).toBe(SELECTOR.tss + 1);
  });
});

describe('single step', () => {
  test('TF raises #DB behind the next instruction, with TF in the frame and clear in the handler', async () => {
    const labels = await bare.code('pushq $0x102\npopfq\nnop\nbehind: nop');
    expect(bare.stoppedIn()).toBe(1);
    expect(bare.frame(false).rip).toBe(labels.get('behind'));
    expect(bare.frame(false).rflags).toBe(0x102);
    expect(bare.cpu.state.rflags & RFLAGS.TF).toBe(0);
  });

  test('a handler that returns sees every instruction of the interrupted code', async () => {
    await bare.code('incl %ebx\niretq', AT.data);
    bare.gate(1, { at: AT.data });
    await bare.code(
      'xor %ebx, %ebx\npushq $0x102\npopfq\nnop\nmov $7, %eax\nnop\npushq $2\npopfq\nmov %ebx, %edx\nint3',
    );
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rdx')).toBe(5n);
  });

  test.each(['rdtsc', 'cpuid', 'rdmsr'])(
    'an instruction that the machine carries out traps as well: %s',
    async (code) => {
      const labels = await bare.code(
        `mov $0x10, %ecx\nxor %eax, %eax\npushq $0x102\npopfq\n${code}\nbehind: nop\nnop`,
      );
      expect(bare.stoppedIn()).toBe(1);
      expect(bare.frame(false).rip).toBe(labels.get('behind'));
    },
  );
});

describe('IRETQ', () => {
  test('goes back to ring 3 with RIP, CS, RFLAGS, RSP and SS of the frame', async () => {
    await bare.code('incl %ebx\niretq', AT.data);
    bare.gate(0x21, { at: AT.data, dpl: 3 });
    const labels = await bare.code('mov $5, %ebx\nstc\nint $0x21\nat: ud2', AT.userCode);
    bare.enterUser();
    expect(bare.stoppedIn()).toBe(6);
    expect(bare.reg('rbx')).toBe(6n);
    expect(bare.frame(false)).toMatchObject({
      rip: labels.get('at'),
      cs: SELECTOR.userCode,
      rsp: BigInt(AT.userStack + 0x1000),
      ss: SELECTOR.userData,
    });
    expect(bare.frame(false).rflags & 1).toBe(1);
  });

  test('a fault is repeated when its cause is gone, and the instruction then completes', async () => {
    await bare.code('movq $0x201083, 0x6010\nadd $8, %rsp\niretq', AT.data);
    bare.gate(14, { at: AT.data });
    bare.put64(0x40_0000 - 8 + 0, 0n);
    await bare.code('mov 0x400000, %eax\nmov $77, %ecx\nint3');
    bare.put64(AT.pd + 16, 0n);
    await bare.code('movq $0x83, 0x6010\nadd $8, %rsp\niretq', AT.data);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rcx')).toBe(77n);
  });

  test('with a non-canonical RIP is #GP', async () => {
    await bare.code(
      `pushq $${SELECTOR.data}\npush %rsp\npushfq\npushq $${SELECTOR.code}\nmov $0x800000000000, %rax\npush %rax\niretq`,
    );
    expect(bare.stoppedIn()).toBe(13);
  });
});
