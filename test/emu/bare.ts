/**
 * A machine without a kernel: page tables, GDT, TSS and IDT are laid out by hand, the first CPU stands in 64-bit mode, and
 * the code under test is a snippet. Memory is mapped one to one; user pages lie at USER_CODE and USER_STACK.
 */
import { EFER, RFLAGS } from '../../emu/cpu/architecture.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR, type Gpr } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { Machine, type MachineOptions } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { assemble } from '../../src/asm/keystone.js';

export const AT = {
  gdt: 0x1000, tss: 0x2000, idt: 0x3000, pml4: 0x4000, pdpt: 0x5000, pd: 0x6000, pt: 0x7000,
  code: 0x1_0000, handlers: 0x2_0000, data: 0x3_0000, stack: 0x4_0000, ist: 0x5_0000, userCode: 0x6_0000, userStack: 0x7_0000,
} as const; // biome-ignore format: a memory map
export const SELECTOR = {
  code: 0x08,
  data: 0x10,
  userData: 0x18 | 3,
  userCode: 0x20 | 3,
  tss: 0x28,
} as const;

/** What the engine derives from CR4.OSFXSR when the guest sets it. */
const HF_OSFXSR = 1 << 22;
const PRESENT_WRITE = 3;
const USER = 4;
const DESCRIPTORS = [
  0n,
  0x00af_9b00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0x00cf_f300_0000_ffffn,
  0x00af_fb00_0000_ffffn,
];

export interface Gate {
  readonly at: number;
  readonly ist?: number;
  readonly dpl?: number;
  readonly trap?: boolean;
  readonly present?: boolean;
  readonly selector?: number;
}

export interface Frame {
  readonly errorCode: number | undefined;
  readonly rip: bigint;
  readonly cs: number;
  readonly rflags: number;
  readonly rsp: bigint;
  readonly ss: number;
}

export class Bare {
  readonly machine: Machine;
  readonly cpu: Vcpu;

  constructor(options: MachineOptions = {}) {
    this.machine = new Machine({ ram: 4 << 20, ...options });
    this.cpu = this.machine.cpus[0]!;
    this.#tables();
    for (const cpu of this.machine.cpus) this.enter(cpu, AT.code, AT.stack - 0x1000 * cpu.index);
    for (const cpu of this.machine.cpus.slice(1)) cpu.activity = 'halted';
  }

  put64(address: number, ...values: bigint[]): void {
    const bytes = Buffer.alloc(8 * values.length);
    for (const [index, value] of values.entries())
      bytes.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * index);
    this.machine.memory.writePhysical(phys(address), bytes);
  }

  get64(address: number | bigint): bigint {
    return this.machine.memory.readPhysical(phys(Number(address)), 8)!.readBigUInt64LE();
  }

  #tables(): void {
    this.put64(AT.gdt, ...DESCRIPTORS);
    this.put64(AT.gdt + SELECTOR.tss, 0x0000_8900_0000_0067n | (BigInt(AT.tss) << 16n), 0n);
    this.put64(AT.tss + 4, BigInt(AT.stack + 0x8000));
    this.put64(AT.tss + 36, BigInt(AT.ist));
    this.put64(AT.tss + 96, 0x0068_0000_0000_0000n); // the I/O map begins behind the limit: no port is open to ring 3
    this.put64(AT.pml4, BigInt(AT.pdpt | PRESENT_WRITE | USER));
    this.put64(AT.pdpt, BigInt(AT.pd | PRESENT_WRITE | USER));
    this.put64(AT.pd, BigInt(AT.pt | PRESENT_WRITE | USER), 0x20_0083n);
    for (let page = 0; page < 512; page++) {
      const user = page * 4096 >= AT.userCode ? USER : 0;
      this.put64(AT.pt + 8 * page, BigInt((page * 4096) | PRESENT_WRITE | user));
    }
    // CPUs look for their local APIC at 0xfee00000: one 2 MiB page of device memory.
    this.put64(AT.pdpt + 8 * 3, 0x8003n);
    this.put64(0x8000 + 8 * 503, 0xfee0_0083n);
  }

  /** Ring 0, 64-bit mode, interrupts off. */
  enter(cpu: Vcpu, rip: number, rsp: number): void {
    const { state } = cpu;
    state.setCr(3, BigInt(AT.pml4));
    state.setCr(4, 0x620n);
    state.setCr(0, 0x8001_0033n);
    state.efer = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE;
    state.rflags = RFLAGS.reserved;
    state.setTable('gdt', { base: BigInt(AT.gdt), limit: SELECTOR.tss + 15 });
    state.setTable('idt', { base: BigInt(AT.idt), limit: 0xfff });
    state.setSegment('cs', { selector: SELECTOR.code, base: 0n, limit: 0xffff_ffff, flags: 0x00af_9b00 });
    for (const name of ['ss', 'ds', 'es'] as const) {
      state.setSegment(name, { selector: SELECTOR.data, base: 0n, limit: 0xffff_ffff, flags: 0x00cf_9300 });
    }
    state.setTr({ selector: SELECTOR.tss, base: BigInt(AT.tss), limit: 0x67, flags: 0x8b00 });
    const mode = HFLAG.PE | HFLAG.LMA | HFLAG.CS64 | HFLAG.CS32 | HFLAG.SS32;
    state.hflags = (state.hflags & ~HFLAG.CPL) | mode | HF_OSFXSR;
    state.setReg(GPR.rsp, BigInt(rsp));
    state.rip = BigInt(rip);
    cpu.activity = 'running';
  }

  /** Assembles `source` at `address` and gives its labels. */
  async code(source: string, address: number = AT.code): Promise<ReadonlyMap<string, bigint>> {
    const { bytes, labels } = await assemble(source, { address: BigInt(address) });
    this.machine.memory.writePhysical(phys(address), bytes);
    return labels;
  }

  gate(
    vector: number,
    { at, ist = 0, dpl = 0, trap = false, present = true, selector = SELECTOR.code }: Gate,
  ): void {
    const type = ist | ((trap ? 0x8f00 : 0x8e00) & (present ? 0xffff : 0x7fff)) | (dpl << 13);
    const low =
      BigInt((at & 0xffff) | 0) |
      (BigInt(selector) << 16n) |
      (BigInt(type) << 32n) |
      (BigInt(at >>> 16) << 48n);
    this.put64(AT.idt + 16 * vector, low, 0n);
  }

  /** What event delivery has pushed at RSP (SDM 3A, "64-Bit Mode Stack Frame", 6.14.2). */
  frame(errorCode: boolean): Frame {
    const at = this.reg('rsp');
    const word = (index: number): bigint => this.get64(at + BigInt(8 * index));
    const first = errorCode ? 1 : 0;
    return {
      errorCode: errorCode ? Number(word(0)) : undefined,
      rip: word(first),
      cs: Number(word(first + 1)),
      rflags: Number(word(first + 2)),
      rsp: word(first + 3),
      ss: Number(word(first + 4)),
    };
  }

  /** Every vector of the IDT leads to a HLT of its own: `stoppedIn` tells which one was reached. */
  async haltingHandlers(gate: Partial<Gate> = {}): Promise<void> {
    await this.code('.rept 256\nhlt\n.endr', AT.handlers);
    for (let vector = 0; vector < 256; vector++) this.gate(vector, { at: AT.handlers + vector, ...gate });
  }

  /** Runs until a halting handler is reached, and gives its vector; undefined: the run ended otherwise. */
  stoppedIn(budget = 10_000): number | undefined {
    const { kind } = this.machine.run({ budget });
    const vector = Number(this.cpu.state.rip) - 1 - AT.handlers;
    return kind === 'hang' && vector >= 0 && vector < 256 ? vector : undefined;
  }

  /** Ring 3 at USER_CODE, with RFLAGS as given; the selectors are what SYSRET and IRETQ would load. */
  enterUser(
    rip: number = AT.userCode,
    rflags: number = RFLAGS.reserved,
    rsp: number = AT.userStack + 0x1000,
  ): void {
    const { state } = this.cpu;
    this.enter(this.cpu, rip, rsp);
    state.setSegment('cs', { selector: SELECTOR.userCode, base: 0n, limit: 0xffff_ffff, flags: 0x00af_fb00 });
    for (const name of ['ss', 'ds', 'es'] as const) {
      state.setSegment(name, {
        selector: SELECTOR.userData,
        base: 0n,
        limit: 0xffff_ffff,
        flags: 0x00cf_f300,
      });
    }
    state.hflags |= HFLAG.CPL;
    state.rflags = rflags;
  }

  reg(name: Gpr): bigint {
    return this.cpu.state.reg(GPR[name]);
  }

  close(): void {
    this.machine.close();
  }
}
