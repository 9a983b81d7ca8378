/** The registers of a CPU as a debugger lists them. */
import { type CpuState, GPR, type Gpr, type SEGMENT, type SegmentName } from '../../emu/engine/cpu-state.js';

/** gdb's order (`info registers` for amd64). */
const GENERAL: readonly Gpr[] = [
  'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]; // biome-ignore format: eight to a line
const SELECTORS: readonly SegmentName[] = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];

export type RegisterName = Gpr | 'rip' | 'eflags' | keyof typeof SEGMENT | 'fs_base' | 'gs_base';
export type CpuRegisters = readonly (readonly [name: RegisterName, value: bigint])[];

/** A copy of what a CPU has in its registers now. */
export function registersOf(state: CpuState): CpuRegisters {
  return [
    ...GENERAL.map((name) => [name, state.reg(GPR[name])] as const),
    ['rip', state.rip],
    ['eflags', BigInt(state.rflags)],
    ...SELECTORS.map((name) => [name, BigInt(state.selector(name))] as const),
    ['fs_base', state.segment('fs').base],
    ['gs_base', state.segment('gs').base],
  ];
}
