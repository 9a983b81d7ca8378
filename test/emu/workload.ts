/**
 * A guest that uses all there is: each CPU has a periodic timer, a counter that overflows into NMIs, and sends fixed and NMI IPIs
 * to the others; all add to one shared word, and mix the time-stamp counter into a checksum. It never ends.
 */
import { MSR } from '../../emu/cpu/architecture.js';
import type { MachineOptions } from '../../emu/machine.js';
import { AT, Bare } from './bare.js';

const wrmsr = (msr: number, value: number): string =>
  `mov $${msr}, %ecx\nmov $${value}, %eax\nxor %edx, %edx\nwrmsr\n`;
const HANDLER = { timer: AT.handlers, ipi: AT.handlers + 0x100, nmi: AT.handlers + 0x200 };
const SHARED = AT.data;
const ARM_COUNTER = `${wrmsr(MSR.PMC0, 0xffff_ffff - 400)}movl $0x400, 0x340(%rdi)\n`;

const interrupt = (counter: number): string => `
  push %rax
  mov $${SHARED}, %eax
  lock incl ${counter}(%rax)
  pop %rax
  movl $0, 0xb0(%rdi)
  iretq`;

const MAIN = `
  mov $0xfee00000, %edi
  mov $${SHARED}, %ebx
  movl $0x1ff, 0xf0(%rdi)
  movl $0x20040, 0x320(%rdi)
  movl $0xb, 0x3e0(%rdi)
  mov 0x20(%rdi), %eax
  shr $18, %eax
  add $700, %eax
  mov %eax, 0x380(%rdi)
  ${ARM_COUNTER}${wrmsr(MSR.PERFEVTSEL0, 0x53_00c0)}
  sti
  xor %esi, %esi
loop:
  mov $1, %eax
  lock xadd %rax, (%rbx)
  add %rax, %r8
  rdtsc
  rol $5, %r8
  xor %rax, %r8
  inc %esi
  mov %esi, %eax
  and $0xfff, %eax
  mov %r8, 0x1000(%rbx, %rax, 8)
  test $0x3f, %esi
  jnz skip
  movl $0xc4041, 0x300(%rdi)
  out %al, $0x80
skip:
  test $0x1ff, %esi
  jnz loop
  movl $0xc4400, 0x300(%rdi)
  hlt
  jmp loop`;

export async function workload(options: MachineOptions = {}): Promise<Bare> {
  const bare = new Bare({ cpus: 2, turn: 100, ...options });
  await bare.code(interrupt(8), HANDLER.timer);
  await bare.code(interrupt(16), HANDLER.ipi);
  await bare.code(
    `push %rax\npush %rcx\npush %rdx\nmov $${SHARED}, %eax\nlock incl 24(%rax)\n${ARM_COUNTER}pop %rdx\npop %rcx\npop %rax\niretq`,
    HANDLER.nmi,
  );
  bare.gate(0x40, { at: HANDLER.timer });
  bare.gate(0x41, { at: HANDLER.ipi });
  bare.gate(2, { at: HANDLER.nmi });
  await bare.code(MAIN);
  for (const cpu of bare.machine.cpus) bare.enter(cpu, AT.code, AT.stack - 0x1000 * cpu.index);
  return bare;
}

/** How often each handler has run. */
export const served = (bare: Bare): { timer: number; ipi: number; nmi: number } => ({
  timer: Number(bare.get64(SHARED + 8)),
  ipi: Number(bare.get64(SHARED + 16)),
  nmi: Number(bare.get64(SHARED + 24)),
});
