/** Events outside of IA-32e mode: vector table in real mode, 8-byte gates in protected mode (SDM 3A, chapters 6 and 20). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RFLAGS } from '../../emu/cpu/architecture.js';
import { enterKernel, enterRealMode, flatProtectedMode } from '../../emu/cpu/reset.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { phys } from '../../emu/memory/address.js';
import { assemble } from '../../src/asm/keystone.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(() => {
  bare = new Bare();
});
afterEach(() => bare.close());

const place = async (
  mode: 16 | 32,
  source: string,
  address: number,
): Promise<ReadonlyMap<string, bigint>> => {
  const { bytes, labels } = await assemble(source, { mode, address: BigInt(address) });
  bare.machine.memory.writePhysical(phys(address), bytes);
  return labels;
};
const words = (address: number, count: number, width: 2 | 4): number[] => {
  const bytes = bare.machine.memory.readPhysical(phys(address), count * width)!;
  return Array.from({ length: count }, (_, index) => bytes.readUIntLE(index * width, width));
};

describe('real mode', () => {
  const PAGE = 0x30;
  const START = PAGE << 12;
  /** All vectors lead to a HLT of their own at 2000:vector. */
  beforeEach(() => {
    bare.machine.memory.writePhysical(phys(0x2_0000), Buffer.alloc(256, 0xf4));
    const table = Buffer.alloc(1024);
    for (let vector = 0; vector < 256; vector++) table.writeUInt32LE(0x2000_0000 | vector, 4 * vector);
    bare.machine.memory.writePhysical(phys(0), table);
    enterRealMode(bare.cpu.state, PAGE);
  });
  const stack = 'mov $0x4000, %ax\nmov %ax, %ss\nmov $0x100, %sp\n';
  const vectorReached = (): number => {
    expect(bare.machine.run({ budget: 100 }).kind).toBe('hang');
    expect(bare.cpu.state.segment('cs')).toMatchObject({ selector: 0x2000, base: 0x2_0000n });
    return Number(bare.cpu.state.rip) - 1;
  };

  test.each([
    ['INT n', 'int $0x21', 0x21, 'behind'],
    ['INT3', 'int3', 3, 'behind'],
    ['a fault, at its instruction', 'xor %cx, %cx\nat: div %cx', 0, 'at'],
    ['#UD', 'at: ud2', 6, 'at'],
  ])('%s pushes FLAGS, CS and IP, and no error code', async (_name, code, vector, saved) => {
    const labels = await place(16, `${stack}sti\n${code}\nbehind: nop`, START);
    expect(vectorReached()).toBe(vector);
    expect(bare.cpu.state.reg(GPR.rsp)).toBe(0x100n - 6n);
    const [ip, cs, flags] = words(0x4_0000 + 0x100 - 6, 3, 2);
    expect(ip).toBe(Number(labels.get(saved)!) - START);
    expect(cs).toBe(PAGE << 8);
    expect(flags! & RFLAGS.IF).toBe(RFLAGS.IF);
    expect(bare.cpu.state.rflags & RFLAGS.IF).toBe(0);
  });

  test('the stack pointer wraps within its 64 KiB', async () => {
    await place(16, `mov $0x4000, %ax\nmov %ax, %ss\nmov $2, %sp\nint $0x30`, START);
    expect(vectorReached()).toBe(0x30);
    expect(bare.cpu.state.reg(GPR.rsp)).toBe(0xfffcn);
  });

  test('an NMI, and IRET opens them again', async () => {
    bare.machine.memory.writePhysical(phys(0x2_0002), Uint8Array.of(0xcf));
    await place(16, `${stack}nop\nhlt\nint3`, START);
    bare.machine.run({ budget: 3 });
    bare.machine.inject(0, { nmi: true });
    bare.machine.step();
    expect(bare.machine.run({ budget: 100 }).kind).toBe('hang');
    expect(bare.cpu.state.nmiBlocked).toBe(false);
    expect(bare.cpu.state.reg(GPR.rsp)).toBe(0x100n);
    expect(bare.cpu.state.segment('cs').selector).toBe(PAGE << 8);
  });

  test('a vector beyond the limit is #GP, and that beyond it too in the end a shutdown', async () => {
    await place(16, `${stack}int $0x21`, START);
    bare.cpu.state.setTable('idt', { base: 0n, limit: 4 * 14 });
    expect(vectorReached()).toBe(13);
    enterRealMode(bare.cpu.state, PAGE);
    bare.cpu.state.setTable('idt', { base: 0n, limit: 3 });
    bare.cpu.activity = 'running';
    expect(bare.machine.run({ budget: 100 }).kind).toBe('triple-fault');
  });
});

describe('32-bit protected mode', () => {
  const GDT = { code: 0x08, data: 0x10, userCode: 0x1b, userData: 0x23, tss: 0x28 } as const;
  const HANDLER = AT.handlers;
  const gate = (vector: number, type = 0x8e, selector: number = GDT.code): void => {
    const at = HANDLER + vector;
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(at & 0xffff, 0);
    bytes.writeUInt16LE(selector, 2);
    bytes.writeUInt8(type, 5);
    bytes.writeUInt16LE(at >>> 16, 6);
    bare.machine.memory.writePhysical(phys(AT.idt + 8 * vector), bytes);
  };

  beforeEach(() => {
    const { state } = bare.cpu;
    enterKernel(state, flatProtectedMode(AT.code, {}));
    bare.put64(
      AT.gdt,
      0n,
      0x00cf_9b00_0000_ffffn,
      0x00cf_9300_0000_ffffn,
      0x00cf_fb00_0000_ffffn,
      0x00cf_f300_0000_ffffn,
      0x0000_8900_0000_0067n | (BigInt(AT.tss) << 16n),
    );
    bare.machine.memory.writePhysical(phys(AT.tss), Buffer.alloc(0x68));
    bare.put64(AT.tss + 4, BigInt(AT.stack + 0x800) | (BigInt(GDT.data) << 32n));
    state.setTable('gdt', { base: BigInt(AT.gdt), limit: 0x2f });
    state.setTable('idt', { base: BigInt(AT.idt), limit: 0x7ff });
    state.setTr({ selector: GDT.tss, base: BigInt(AT.tss), limit: 0x67, flags: 0x8b00 });
    state.setReg(GPR.rsp, BigInt(AT.ist));
    bare.machine.memory.writePhysical(phys(HANDLER), Buffer.alloc(256, 0xf4));
    for (let vector = 0; vector < 256; vector++) gate(vector);
  });
  function enterUser(): void {
    const { state } = bare.cpu;
    state.setSegment('cs', { selector: GDT.userCode, base: 0n, limit: 0xffff_ffff, flags: 0x00cf_fb00 });
    for (const name of ['ss', 'ds', 'es'] as const)
      state.setSegment(name, { selector: GDT.userData, base: 0n, limit: 0xffff_ffff, flags: 0x00cf_f300 });
    state.hflags |= HFLAG.CPL;
  }
  const reached = (): number | undefined => bare.stoppedIn(100);
  const esp = (): number => Number(bare.cpu.state.reg(GPR.rsp));

  test.each([
    ['INT n', 'int $0x21', 0x21, 'behind', undefined],
    ['INTO', 'mov $0x7fffffff, %eax\ninc %eax\ninto', 4, 'behind', undefined],
    ['#UD', 'at: ud2', 6, 'at', undefined],
    ['#GP', 'mov $0x7ad8, %eax\nat: mov %ax, %es', 13, 'at', 0x7ad8],
  ])('%s in ring 0 stays on its stack', async (_name, code, vector, saved, errorCode) => {
    const labels = await place(32, `${code}\nbehind: nop`, AT.code);
    expect(reached()).toBe(vector);
    const count = errorCode === undefined ? 3 : 4;
    expect(esp()).toBe(AT.ist - 4 * count);
    const frame = words(esp(), count, 4);
    if (errorCode !== undefined) expect(frame.shift()).toBe(errorCode);
    expect(frame.slice(0, 2)).toEqual([Number(labels.get(saved)!), GDT.code]);
    expect((frame[2]! & RFLAGS.RF) !== 0).toBe(saved === 'at');
  });

  test('from ring 3 the stack comes from the TSS, and IRET goes back', async () => {
    gate(0x21, 0xee);
    bare.machine.memory.writePhysical(phys(HANDLER + 0x21), Uint8Array.of(0xcf));
    const labels = await place(32, 'mov $5, %ebx\nint $0x21\ninc %ebx\nat: ud2', AT.code);
    enterUser();
    expect(reached()).toBe(6);
    expect(esp()).toBe(AT.stack + 0x800 - 20);
    const [eip, cs, flags, userEsp, userSs] = words(esp(), 5, 4);
    expect([eip, cs, userEsp, userSs]).toEqual([
      Number(labels.get('at')!),
      GDT.userCode,
      AT.ist,
      GDT.userData,
    ]);
    expect(flags! & RFLAGS.reserved).toBe(RFLAGS.reserved);
    expect(bare.reg('rbx')).toBe(6n);
    expect(bare.cpu.state.segment('ss')).toMatchObject({ selector: GDT.data, limit: 0xffff_ffff });
    expect(bare.cpu.state.cpl).toBe(0);
  });

  test.each([
    ['a 32-bit interrupt gate', 0x8e, 12, 0],
    ['a 32-bit trap gate', 0x8f, 12, RFLAGS.IF],
    ['a 16-bit interrupt gate', 0x86, 6, 0],
    ['a 16-bit trap gate', 0x87, 6, RFLAGS.IF],
  ])('%s', async (_name, type, size, interrupts) => {
    const low = type === 0x86 || type === 0x87;
    // A 16-bit gate reaches the first 64 KiB only.
    const handler = low ? 0x9000 : HANDLER + 0x30;
    bare.machine.memory.writePhysical(phys(handler), Uint8Array.of(0xf4));
    gate(0x30, type);
    if (low) bare.machine.memory.writePhysical(phys(AT.idt + 8 * 0x30), Uint8Array.of(0x00, 0x90));
    await place(32, 'sti\nnop\nint $0x30', AT.code);
    expect(bare.machine.run({ budget: 100 }).kind === 'hang').toBe(true);
    expect(bare.cpu.state.rip).toBe(BigInt(handler + 1));
    expect(esp()).toBe(AT.ist - size);
    expect(bare.cpu.state.rflags & RFLAGS.IF).toBe(interrupts);
  });

  test.each<[string, () => void, number, number]>([
    ['a task gate', () => gate(0x30, 0x85), 13, 0x30 * 8 + 2],
    ['a gate that is not present', () => gate(0x30, 0x0e), 11, 0x30 * 8 + 2],
    ['a null selector', () => gate(0x30, 0x8e, 0), 13, 0],
    ['a data segment', () => gate(0x30, 0x8e, GDT.data), 13, GDT.data],
    [
      'a vector beyond the limit',
      () => bare.cpu.state.setTable('idt', { base: BigInt(AT.idt), limit: 0x17f }),
      13,
      0x30 * 8 + 2,
    ],
  ])('INT n through %s', async (_name, damage, vector, errorCode) => {
    damage();
    const labels = await place(32, 'at: int $0x30', AT.code);
    expect(reached()).toBe(vector);
    expect(words(esp(), 2, 4)).toEqual([errorCode, Number(labels.get('at')!)]);
  });

  test.each<[string, bigint]>([
    ['null', 0n],
    ['of ring 3', BigInt(GDT.userData)],
    ['a code segment', BigInt(GDT.code)],
    ['beyond the GDT', 0x100n],
  ])(
    'a stack segment in the TSS that is %s is #TS, and the run ends when that has no stack either',
    async (_name, ss) => {
      bare.put64(AT.tss + 4, BigInt(AT.stack) | (ss << 32n));
      await place(32, 'ud2', AT.code);
      enterUser();
      expect(bare.machine.run({ budget: 100 })).toMatchObject({ kind: 'triple-fault', vector: 6 });
    },
  );

  test('an external interrupt, and a page fault with its error code', async () => {
    bare.put64(0x9000, 0n); // a page directory: 4 MiB pages
    bare.machine.memory.writePhysical(phys(0x9000), Buffer.from([0x83, 0, 0, 0]));
    await place(
      32,
      'mov $0x10, %eax\nmov %eax, %cr4\nmov $0x9000, %eax\nmov %eax, %cr3\nmov %cr0, %eax\nor $0x80000000, %eax\nmov %eax, %cr0\nmovl $1, 0x400010',
      AT.code,
    );
    expect(reached()).toBe(14);
    expect(words(esp(), 1, 4)).toEqual([2]);
    expect(bare.cpu.state.cr(2)).toBe(0x40_0010n);
  });

  test('a stack beyond its limit is #SS, then #DF, then the end', async () => {
    bare.cpu.state.setSegment('ss', { selector: GDT.data, base: 0n, limit: 0xfff, flags: 0x0040_9300 });
    await place(32, 'ud2', AT.code);
    expect(bare.machine.run({ budget: 100 })).toMatchObject({ kind: 'triple-fault', vector: 6 });
  });

  test('16-bit code runs in a 32-bit handler and goes on behind it', async () => {
    bare.machine.memory.writePhysical(phys(HANDLER + 0x30), Uint8Array.of(0x43, 0xcf)); // inc %ebx; iret
    bare.put64(AT.gdt + 0x28, 0x0000_9b00_0000_ffffn);
    const { state } = bare.cpu;
    state.setSegment('cs', { selector: 0x28, base: 0n, limit: 0xffff, flags: 0x9b00 });
    state.hflags &= ~HFLAG.CS32;
    state.rip = 0x9000n;
    await place(16, 'xor %bx, %bx\nint $0x30\nmov %bx, %cx\nhlt', 0x9000);
    expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'hang' });
    expect([bare.reg('rbx'), bare.reg('rcx')]).toEqual([1n, 1n]);
    expect(state.segment('cs').selector).toBe(0x28);
    expect(esp()).toBe(AT.ist);
  });
});
