/** What a task had in its registers when it left user mode, and what it must find there when it goes on. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { PT_REGS } from '../guest/pt-regs.js';

/** The order of `UserRegisters.words`: the general registers, and what struct pt_regs has besides. */
export const REGISTER_NAMES = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const),
  ...(['rip', 'rflags', 'fs', 'gs'] as const),
] as const;
const GENERAL = 16;
const PT_NAMES = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'ip', 'flags'] as const; // biome-ignore format: the same order
const PT_OFFSETS = PT_NAMES.map((name) => 8 * PT_REGS.indexOf(name));
const PT_CS = 8 * PT_REGS.indexOf('cs');
const PT_ORIG_AX = 8 * PT_REGS.indexOf('orig_ax');

export const SP = GPR.rsp;
export const BP = GPR.rbp;
export const IP = GENERAL;
const FLAGS = GENERAL + 1;
const FS = GENERAL + 2;
/** Not compared with the others: which GS base is where is a matter of its own. */
const GS = GENERAL + 3;

/** RF is set in what a fault saves, and means nothing to the task. */
const RF = 0x1_0000;
const SYSCALL_LENGTH = 2n;
const ARCH_PRCTL = 158;
/** orig_ax of an entry that is no system call. */
const NO_SYSCALL = -1;

export interface UserRegisters {
  readonly words: readonly bigint[];
  /** The system call's number; -1 for any other entry. */
  readonly syscall: number;
}

/** The registers of a CPU that executes, or is about to execute, user code. */
export function wordsOf({ state }: Vcpu): bigint[] {
  const words: bigint[] = [];
  for (let index = 0; index < GENERAL; index++) words.push(state.reg(index));
  words.push(state.rip, BigInt(state.rflags & ~RF), state.segment('fs').base, state.segment('gs').base);
  return words;
}

/** A CPU that is about to leave user mode. @param syscall the number if SYSCALL is the reason: it goes on behind the instruction */
export function leaving(cpu: Vcpu, syscall = NO_SYSCALL): UserRegisters {
  const words = wordsOf(cpu);
  if (syscall !== NO_SYSCALL) words[IP] = words[IP]! + SYSCALL_LENGTH;
  return { words, syscall };
}

/** A CPU at the first instruction behind SYSCALL: rip and rflags are in rcx and r11, all else is still the user's. */
export function behindSyscall(cpu: Vcpu): UserRegisters {
  const words = wordsOf(cpu);
  words[IP] = words[GPR.rcx]!;
  words[FLAGS] = words[GPR.r11]!;
  return { words, syscall: Number(BigInt.asIntN(32, words[GPR.rax]!)) };
}

/** What an entry saved; undefined where it is not user mode's. */
export function fromPtRegs(
  bytes: Buffer,
  { fsBase, gsBase }: { readonly fsBase: bigint; readonly gsBase: bigint },
  userCs: number,
): UserRegisters | undefined {
  if (bytes.readUInt32LE(PT_CS) !== userCs) return undefined;
  const words = PT_OFFSETS.map((offset) => bytes.readBigUInt64LE(offset));
  words[FLAGS] = words[FLAGS]! & ~BigInt(RF);
  words.push(fsBase, gsBase);
  return { words, syscall: bytes.readInt32LE(PT_ORIG_AX) };
}

/**
 * The first register but GS base that is not as the task left it, by its place in `REGISTER_NAMES`; -1: none. A system call changes rax,
 * and the instruction itself rcx and r11 (SDM 2B, SYSCALL); arch_prctl sets the bases.
 */
export function changedRegister({ words, syscall }: UserRegisters, now: readonly bigint[]): number {
  for (let index = 0; index < GS; index++) {
    if (words[index] === now[index]) continue;
    if (syscall !== NO_SYSCALL && (index === GPR.rax || index === GPR.rcx || index === GPR.r11)) continue;
    if (syscall === ARCH_PRCTL && index === FS) continue;
    return index;
  }
  return -1;
}

/** The GS base that the task must find; undefined where it has asked for another one. */
export const userGsBase = ({ words, syscall }: UserRegisters): bigint | undefined =>
  syscall === ARCH_PRCTL ? undefined : words[GS];
