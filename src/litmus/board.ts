/**
 * The machine that a litmus test runs on: no kernel, 64-bit mode, ring 0, memory mapped one to one. Only variables and stacks can
 * be written; a stray store is a fault, and what can be written is all that makes two states differ besides the CPUs.
 */
import { EFER, RFLAGS, VECTOR } from '../../emu/cpu/architecture.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';

const PAGE = 0x1000;
const RAM = 2 << 20;

/** The memory map. What is per CPU or per column has a page each, except the TSS. */
export const AT = {
  gdt: 0x1000, pml4: 0x2000, pdpt: 0x3000, pd: 0x4000, pt: 0x5000, tss: 0x6000, idt: 0x8000,
  code: 0x2_0000, fault: 0x3_f000, shared: 0x4_0000, perCpu: 0x4_1000,
} as const; // biome-ignore format: a memory map
/** A CPU's page: its copies of the per-CPU variables, then three stacks that grow down to the next lower one. */
export const PER_CPU = {
  variables: 0,
  variablesEnd: 0x400,
  stack: 0xa00,
  nmiStack: 0xe00,
  faultStack: 0x1000,
} as const;

const SELECTOR = { code: 0x08, data: 0x10, tss: 0x18 } as const;
const TSS_SIZE = 0x68;
const TSS_STRIDE = 0x100;
const TSS_IST1 = 36;
const IST = { none: 0, nmi: 1, fault: 2 } as const;
const GATE_SIZE = 16;
const INTERRUPT_GATE = 0x8e00;

/** Vector of the one interrupt that a litmus test has. */
export const IRQ_VECTOR = 0x40;
const EXCEPTIONS = 32;
const APIC_SVR = 0xf0;
const APIC_ENABLE = 0x1ff;

/** Page-table entry: present, and accessed and dirty already, so that walking changes nothing. */
const PTE = { present: 0x61n, write: 0x02n } as const;
const CR0 = 0x8001_0033n; // PG, WP, NE, ET, MP, PE
const CR4 = 0x620n; // PAE, OSFXSR, OSXMMEXCPT
/** What the engine derives from CR4.OSFXSR when a guest sets it. */
const HF_OSFXSR = 1 << 22;
/** `jmp .`, where a CPU waits that has come to its end. */
export const SPIN: readonly number[] = [0xeb, 0xfe];

/** Where a CPU's events go; an undefined one is a fault. */
export interface Handlers {
  readonly nmi: number | undefined;
  readonly irq: number | undefined;
}

/** First page of what can be written, and its size. */
export const writable = (cpus: number): { from: number; size: number } => ({
  from: AT.shared,
  size: PAGE * (1 + cpus),
});
/** The page of a CPU; its GS base is chosen so that `%gs:` plus the address in CPU 0's page names the same offset in it. */
export const perCpuPage = (cpu: number): number => AT.perCpu + PAGE * cpu;

export function newBoard(cpus: number): Machine {
  const machine = new Machine({ cpus, ram: RAM });
  const put = (address: number, ...words: bigint[]): void => putWords(machine, address, words);
  put(AT.gdt, 0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const base = BigInt(AT.tss + TSS_STRIDE * cpu);
    put(AT.gdt + SELECTOR.tss + 16 * cpu, 0x0000_8900_0000_0067n | (base << 16n), 0n);
    const stacks = [PER_CPU.nmiStack, PER_CPU.faultStack].map((top) => BigInt(perCpuPage(cpu) + top));
    put(Number(base) + TSS_IST1, ...stacks);
  }
  put(AT.pml4, BigInt(AT.pdpt) | PTE.present | PTE.write);
  put(AT.pdpt, BigInt(AT.pd) | PTE.present | PTE.write);
  put(AT.pd, BigInt(AT.pt) | PTE.present | PTE.write);
  const { from, size } = writable(cpus);
  for (let page = PAGE; page < RAM; page += PAGE) {
    const write = page >= from && page < from + size ? PTE.write : 0n;
    put(AT.pt + (page / PAGE) * 8, BigInt(page) | PTE.present | write);
  }
  machine.memory.writePhysical(phys(AT.fault), Uint8Array.from(SPIN));
  return machine;
}

/** Puts a CPU at its code: interrupts on, all registers 0 but RSP, GS at its own per-CPU page. */
export function enter(machine: Machine, cpu: number, rip: number, handlers: Handlers): void {
  layOutIdt(machine, cpu, handlers);
  const vcpu = machine.cpus[cpu]!;
  const { state } = vcpu;
  state.setCr(3, BigInt(AT.pml4));
  state.setCr(4, CR4);
  state.setCr(0, CR0);
  state.efer = EFER.LME | EFER.LMA;
  state.rflags = RFLAGS.reserved | RFLAGS.IF;
  state.setTable('gdt', { base: BigInt(AT.gdt), limit: SELECTOR.tss + 16 * machine.cpus.length - 1 });
  state.setTable('idt', { base: BigInt(AT.idt + PAGE * cpu), limit: PAGE - 1 });
  state.setSegment('cs', { selector: SELECTOR.code, base: 0n, limit: 0xffff_ffff, flags: 0x00af_9b00 });
  for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) {
    const base = name === 'gs' ? BigInt(PAGE * cpu) : 0n;
    state.setSegment(name, { selector: SELECTOR.data, base, limit: 0xffff_ffff, flags: 0x00cf_9300 });
  }
  const tss = BigInt(AT.tss + TSS_STRIDE * cpu);
  state.setTr({ selector: SELECTOR.tss + 16 * cpu, base: tss, limit: TSS_SIZE - 1, flags: 0x8b00 });
  const mode = HFLAG.PE | HFLAG.LMA | HFLAG.CS64 | HFLAG.CS32 | HFLAG.SS32;
  state.hflags = (state.hflags & ~(HFLAG.CPL | HFLAG.ADDSEG)) | mode | HF_OSFXSR;
  for (const register of Object.values(GPR)) state.setReg(register, 0n);
  state.setReg(GPR.rsp, BigInt(perCpuPage(cpu) + PER_CPU.stack));
  state.rip = BigInt(rip);
  vcpu.activity = 'running';
  vcpu.apic.write(APIC_SVR, APIC_ENABLE);
}

/** NMIs get a stack of their own; interrupts stay on the column's; every exception ends the column at `AT.fault`. */
function layOutIdt(machine: Machine, cpu: number, { nmi, irq }: Handlers): void {
  const gates: [number, number, number][] = [];
  for (let vector = 0; vector < EXCEPTIONS; vector++) gates.push([vector, AT.fault, IST.fault]);
  if (nmi !== undefined) gates.push([VECTOR.NMI, nmi, IST.nmi]);
  if (irq !== undefined) gates.push([IRQ_VECTOR, irq, IST.none]);
  for (const [vector, handler, ist] of gates) {
    const at = BigInt(handler);
    const low =
      (at & 0xffffn) |
      (BigInt(SELECTOR.code) << 16n) |
      (BigInt(INTERRUPT_GATE | ist) << 32n) |
      ((at >> 16n) << 48n);
    putWords(machine, AT.idt + PAGE * cpu + GATE_SIZE * vector, [low, 0n]);
  }
}

function putWords(machine: Machine, address: number, words: readonly bigint[]): void {
  const bytes = new Uint8Array(new BigUint64Array(words).buffer);
  machine.memory.writePhysical(phys(address), bytes);
}
