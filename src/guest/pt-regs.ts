import type { KernelAddr } from '../../emu/memory/address.js';
import type { WalkRegs } from '../unwind/walk.js';
import type { GuestLayout } from './layout.js';

/** The words of struct pt_regs, lowest address first (Linux: arch/x86/include/asm/ptrace.h). */
export const PT_REGS = [
  ...(['r15', 'r14', 'r13', 'r12', 'bp', 'bx', 'r11', 'r10', 'r9', 'r8'] as const),
  ...(['ax', 'cx', 'dx', 'si', 'di', 'orig_ax', 'ip', 'cs', 'flags', 'sp', 'ss'] as const),
] as const;

/** The registers that an entry to the kernel saved, each an unsigned 64-bit word. */
export type PtRegs = Readonly<Record<(typeof PT_REGS)[number], bigint>>;

/** @throws {GuestError} where the kernel has no such memory or the image no such layout */
export function readPtRegs(layout: GuestLayout, address: KernelAddr): PtRegs {
  const view = layout.read(address, layout.constant('PT_SIZE'), 'pt_regs');
  const word = (name: string) => view.getBigUint64(layout.constant(`PT_${name}`), true);
  return Object.fromEntries(PT_REGS.map((name) => [name, word(name)])) as PtRegs;
}

/** A system call as its registers tell it: number and six arguments (System V ABI, AMD64 supplement, A.2.1). */
export function syscallOf(regs: PtRegs): { readonly nr: number; readonly args: readonly bigint[] } {
  return {
    nr: Number(BigInt.asIntN(32, regs.orig_ax)),
    args: [regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9],
  };
}

/** The result of a system call, negative for an error. */
export const resultOf = (regs: PtRegs): bigint => BigInt.asIntN(64, regs.ax);

/** Whether the saved registers are those of user code. */
export const isUserMode = (regs: PtRegs): boolean => (regs.cs & 3n) === 3n;

/** Where a walk of the user stack begins. Code that does not run in the 64-bit segment is taken for 32-bit code. */
export function walkRegsOf(layout: GuestLayout, regs: PtRegs): WalkRegs {
  const is64 = Number(regs.cs) === layout.constant('USER_CS');
  return { ip: regs.ip, sp: regs.sp, fp: regs.bp, userMode: isUserMode(regs), wordSize: is64 ? 8 : 4 };
}
