/** How CPUs start: INIT and SIPI into real mode, on into long mode by the guest's own code, and PVH images in 32-bit protected mode. */
import { afterEach, describe, expect, test } from 'vitest';
import { GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { assemble } from '../../src/asm/keystone.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';
import { AT, Bare } from './bare.js';

const INIT = 'movl $0x1000000, 0x310(%rdi)\nmovl $0x4500, 0x300(%rdi)\n';
const sipi = (page: number): string => `movl $0x1000000, 0x310(%rdi)\nmovl $${0x4600 | page}, 0x300(%rdi)\n`;
const ON = 'mov $0xfee00000, %edi\nmovl $0x1ff, 0xf0(%rdi)\n';
const WAIT = 'mov $2000, %ecx\nwait: dec %ecx\njnz wait\nhlt';
/** The page that the start-up vector names, and what the application processor leaves behind. */
const PAGE = 0x3a;
const START = PAGE << 12;

let bare: Bare;
afterEach(() => bare.close());

async function twoCpus(): Promise<void> {
  bare = new Bare({ cpus: 2, turn: 100 });
  bare.machine.cpus[1]!.activity = 'wait-for-sipi';
  await bare.haltingHandlers();
}
const place = async (source: string, mode: 16 | 32 | 64, address: number): Promise<void> => {
  const { bytes } = await assemble(source, { mode, address: BigInt(address) });
  bare.machine.memory.writePhysical(phys(address), bytes);
};

describe('an application processor', () => {
  test('starts in real mode at its vector, with the registers of a reset', async () => {
    await twoCpus();
    bare.machine.memory.writePhysical(phys(START), Buffer.from([0xf4]));
    await bare.code(`${ON}${INIT}${sipi(PAGE)}${WAIT}`);
    const starts: unknown[] = [];
    bare.machine.events.on('start', (event) => starts.push(event));
    expect(bare.machine.run({ budget: 100_000 })).toEqual({ kind: 'hang' });
    expect(starts).toMatchObject([{ cpu: 1, rip: BigInt(START) }]);
    const { state } = bare.machine.cpus[1]!;
    expect(state.rip).toBe(1n); // IP behind HLT
    expect(state.segment('cs')).toMatchObject({ selector: PAGE << 8, base: BigInt(START), limit: 0xffff });
    for (const name of ['ds', 'es', 'ss', 'fs', 'gs'] as const)
      expect(state.segment(name)).toMatchObject({ selector: 0, base: 0n, limit: 0xffff });
    expect(state.cr(0) & 0x8000_0001n).toBe(0n);
    expect([state.cr(3), state.cr(4), state.efer]).toEqual([0n, 0n, 0n]);
    expect(state.rflags).toBe(2);
    expect(state.idt).toMatchObject({ base: 0n, limit: 0xffff });
    expect(state.hflags & (HFLAG.PE | HFLAG.LMA | HFLAG.CS32 | HFLAG.CPL)).toBe(0);
  });

  test('runs 16-bit code with its segments', async () => {
    await twoCpus();
    await place(
      `mov %cs, %ax
       mov %ax, %ds
       mov $0x3000, %bx
       mov %bx, %es
       movw $0x1234, %es:0x10
       mov 0x100, %cx
       mov $0x2000, %ax
       mov %ax, %ss
       mov $0x800, %sp
       push %cx
       hlt`,
      16,
      START,
    );
    bare.machine.memory.writePhysical(phys(START + 0x100), Buffer.from([0xcd, 0xab]));
    await bare.code(`${ON}${INIT}${sipi(PAGE)}${WAIT}`);
    bare.machine.run({ budget: 100_000 });
    expect(bare.get64(AT.data + 0x10) & 0xffffn).toBe(0x1234n);
    expect(bare.get64(0x2_07fe) & 0xffffn).toBe(0xabcdn);
  });

  test('goes on into protected and long mode by itself', async () => {
    await twoCpus();
    const [gdtr, protectedMode, longMode] = [START + 0x100, START + 0x200, START + 0x300];
    // A GDT with 32-bit code at 8, data at 16, 64-bit code at 24.
    bare.put64(START + 0x120, 0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00af_9b00_0000_ffffn);
    const pointer = Buffer.alloc(6);
    pointer.writeUInt16LE(31, 0);
    pointer.writeUInt32LE(START + 0x120, 2);
    bare.machine.memory.writePhysical(phys(gdtr), pointer);
    const farJump = (selector: number, target: number, width: 2 | 4): string => {
      const bytes = Buffer.alloc(width + 2);
      bytes.writeUIntLE(target, 0, width);
      bytes.writeUInt16LE(selector, width);
      return `.byte 0xea, ${[...bytes].join(', ')}`;
    };
    await place(
      `cli
       .byte 0x66, 0x2e, 0x0f, 0x01, 0x16, ${gdtr & 0xff}, ${(gdtr >> 8) & 0xf}
       mov %cr0, %eax
       or $1, %al
       mov %eax, %cr0
       .byte 0x66
       ${farJump(8, protectedMode, 4)}`,
      16,
      START,
    );
    await place(
      `mov $0x10, %eax
       mov %ax, %ds
       mov %ax, %ss
       mov $0x20, %eax
       mov %eax, %cr4
       mov $${AT.pml4}, %eax
       mov %eax, %cr3
       mov $0xc0000080, %ecx
       rdmsr
       or $0x101, %eax
       wrmsr
       mov %cr0, %eax
       or $0x80000000, %eax
       mov %eax, %cr0
       ${farJump(24, longMode, 4)}`,
      32,
      protectedMode,
    );
    await place(
      `movabs $0x1122334455667788, %rax
       mov %rax, ${AT.data}
       mov $1, %eax
       cpuid
       shr $24, %ebx
       hlt`,
      64,
      longMode,
    );
    await bare.code(`${ON}${INIT}${sipi(PAGE)}${WAIT}`);
    expect(bare.machine.run({ budget: 100_000 })).toEqual({ kind: 'hang' });
    const { state } = bare.machine.cpus[1]!;
    expect(state.efer).toBe(0x501n);
    expect(state.longMode).toBe(true);
    expect(bare.get64(AT.data)).toBe(0x1122_3344_5566_7788n);
    expect(state.reg(3), 'CPUID tells the APIC id').toBe(1n);
  });

  test('ignores a start-up IPI while it runs, and is stopped by INIT', async () => {
    await twoCpus();
    await place('inc %bx\nloop: jmp loop', 16, START);
    await place('hlt', 16, START + 0x1000);
    await bare.code(
      `${ON}${INIT}${sipi(PAGE)}${sipi(PAGE + 1)}mov $1000, %ecx\nwait: dec %ecx\njnz wait\n${INIT}int3`,
    );
    bare.machine.run({ budget: 5000 });
    const second = bare.machine.cpus[1]!;
    expect(second.state.reg(3)).toBe(1n);
    expect(second.activity).toBe('wait-for-sipi');
    const { retired } = second;
    bare.machine.inject(1, { nmi: true });
    bare.enter(bare.cpu, AT.code + 0x800, AT.stack);
    await bare.code('mov $1000, %ecx\nwait: dec %ecx\njnz wait\nhlt', AT.code + 0x800);
    bare.machine.run({ budget: 5000 });
    expect(second.retired, 'an NMI does not wake a CPU that waits for its start').toBe(retired);
  });

  test('waits without a start-up IPI', async () => {
    await twoCpus();
    await bare.code(WAIT);
    expect(bare.machine.run({ budget: 10_000 })).toEqual({ kind: 'hang' });
    expect(bare.machine.cpus[1]!.retired).toBe(0);
  });
});

describe.skipIf(missingTools.length > 0)(`a PVH image${toolsNote}`, () => {
  const SOURCE = `
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start
    .text
    .code32
    .globl start
    start: hlt
    .data
    .long 0x12345678
    .bss
    .skip 64`;

  function build(): Uint8Array {
    const workshop = new Workshop();
    try {
      return workshop.link('pvh.elf', SOURCE, '-Ttext=0x200000', '-Tdata=0x300000', '-e', 'start');
    } finally {
      workshop.remove();
    }
  }

  test('starts in 32-bit protected mode without paging, EBX at the start info', () => {
    bare = new Bare();
    const machine = new Machine({ ram: 16 << 20, cpus: 2 });
    machine.load(build(), {
      commandLine: 'tick=5',
      modules: [{ bytes: Buffer.from('module'), commandLine: 'init a b' }],
    });
    expect(machine.run({ budget: 10 })).toEqual({ kind: 'hang' });
    const { state } = machine.cpus[0]!;
    expect(state.rip).toBe(0x20_0001n);
    expect(state.cr(0) & 0x8000_0001n).toBe(1n);
    expect([state.cr(4), state.efer]).toEqual([0n, 0n]);
    expect(state.rflags & 0x2_0300).toBe(0);
    for (const name of ['cs', 'ds', 'es', 'ss'] as const)
      expect(state.segment(name)).toMatchObject({ base: 0n, limit: 0xffff_ffff });
    expect(state.hflags & (HFLAG.PE | HFLAG.CS32 | HFLAG.SS32 | HFLAG.CPL | HFLAG.LMA)).toBe(
      HFLAG.PE | HFLAG.CS32 | HFLAG.SS32,
    );
    const others = GPR_NAMES.filter((name) => name !== 'rbx');
    expect(others.map((_name, index) => state.reg(index < 3 ? index : index + 1))).toEqual(
      others.map(() => 0n),
    );

    const info = machine.memory.readPhysical(phys(Number(state.reg(3))), 56)!;
    const text = (at: bigint): string => {
      const bytes = machine.memory.readPhysical(phys(Number(at)), 64)!;
      return bytes.toString('latin1', 0, bytes.indexOf(0));
    };
    expect(info.readUInt32LE(0)).toBe(0x336e_c578);
    expect(info.readUInt32LE(4)).toBe(1);
    expect(text(info.readBigUInt64LE(24))).toBe('cpus=2 tick=5');
    expect(info.readUInt32LE(12)).toBe(1);
    const module = machine.memory.readPhysical(phys(Number(info.readBigUInt64LE(16))), 32)!;
    expect(machine.memory.readPhysical(phys(Number(module.readBigUInt64LE(0))), 6)!.toString()).toBe(
      'module',
    );
    expect(module.readBigUInt64LE(8)).toBe(6n);
    expect(text(module.readBigUInt64LE(16))).toBe('init a b');
    const map = machine.memory.readPhysical(
      phys(Number(info.readBigUInt64LE(40))),
      24 * info.readUInt32LE(48),
    )!;
    const ram = Array.from({ length: map.length / 24 }, (_, index) => map.subarray(24 * index))
      .filter((entry) => entry.readUInt32LE(16) === 1)
      .map((entry) => [entry.readBigUInt64LE(0), entry.readBigUInt64LE(0) + entry.readBigUInt64LE(8)]);
    expect(ram).toEqual([
      [0n, 0x9_fc00n],
      [0x10_0000n, 16n << 20n],
    ]);
    expect(machine.memory.readPhysical(phys(0x30_0000), 4)!.readUInt32LE()).toBe(0x1234_5678);
    machine.close();
  });
});
