/** The system calls of a Linux kernel, watched from outside; our own kernel's are in `syscalls.ts`. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import type { NamedImage } from '../asm/code.js';
import { PT_REGS, type PtRegs, resultOf, syscallOf } from '../guest/pt-regs.js';
import { type CallEvent, type RawCallEvent, SyscallDecoder } from '../trace/syscalls.js';
import { walkFramePointers } from '../unwind/walk.js';
import { asLinux, routineOf, WatchedLinux } from './watched-linux.js';

const WORD = 8;
/** __USER_CS (arch/x86/include/asm/segment.h); other user code has words of 4 bytes. */
const USER_CS = 0x33n;

/** rt_sigreturn, execve, execveat: they leave other registers than they were called with. */
const REPLACING: readonly number[] = [15, 59, 322];
/** In a `struct rt_sigframe`, which the stack pointer of a handler points at (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h). */
const FRAME = { ax: 152, ip: 176 } as const;
/** The length of SYSCALL: a call that a handler has interrupted may be made again, from its own address. */
const SYSCALL_LENGTH = 2n;
const ERESTARTSYS = -512n;

/**
 * A call begins where do_syscall_64(regs, nr) is entered and ends where it returns (arch/x86/entry). A signal may have been delivered by then:
 * what the call has returned is in the handler's frame. A task ends in do_exit(status).
 * @returns what hands over each event of a machine, with the name of its task, in the order in which the guest runs them
 * and, at the end of a call, the user's stack by its frame pointers, innermost first
 * @throws LinuxError for a kernel that says too little of itself
 */
export async function linuxCalls(
  image: NamedImage,
  put: (event: CallEvent, comm: string, stack: readonly bigint[]) => void,
): Promise<(machine: Machine) => void> {
  const kernel = asLinux(image);
  const entry = await routineOf(kernel, 'do_syscall_64');
  const exit = kernel.symbols.require('do_exit');
  return (machine) => {
    const linux = new WatchedLinux(machine, kernel);
    let current: Vcpu;
    const decoder = new SyscallDecoder((_where, at, length) => linux.readMapped(current, at, length));
    const pass = (
      cpu: Vcpu,
      event: (at: { pid: number; tid: number; time: bigint }) => RawCallEvent,
      stack: readonly bigint[] = [],
    ): void => {
      current = cpu;
      const { comm, pid, tid, time } = linux.moment(cpu);
      for (const call of decoder.decode(event({ pid, tid, time }))) put(call, comm, stack);
    };
    const stackOf = (cpu: Vcpu, { ip, sp, bp, cs }: PtRegs): readonly bigint[] => {
      const start = { ip, sp, fp: bp, userMode: true, wordSize: cs === USER_CS ? 8 : 4 } as const;
      const read = (address: bigint, size: 4 | 8): bigint | undefined => {
        const bytes = linux.readMapped(cpu, address, size);
        return size === 8 ? bytes?.readBigUInt64LE() : bytes && BigInt(bytes.readUInt32LE());
      };
      return walkFramePointers(start, read).entries;
    };
    const regsAt = (cpu: Vcpu, address: bigint): PtRegs => {
      const bytes = linux.read(cpu, address, WORD * PT_REGS.length);
      const words = PT_REGS.map((name, index) => [name, bytes.readBigUInt64LE(WORD * index)]);
      return Object.fromEntries(words) as PtRegs;
    };
    /** What a call has returned on whose way back a handler, or the call itself once more, comes. */
    const interrupted = (cpu: Vcpu, called: PtRegs, regs: PtRegs): bigint => {
      const again = called.ip - SYSCALL_LENGTH;
      if (regs.ip === again || linux.word(cpu, regs.sp + BigInt(FRAME.ip)) === again) return ERESTARTSYS;
      return BigInt.asIntN(64, linux.word(cpu, regs.sp + BigInt(FRAME.ax)));
    };
    linux.calls(
      entry,
      (cpu) => {
        const at = cpu.state.reg(GPR.rdi);
        const regs = regsAt(cpu, at);
        pass(cpu, (where) => ({ kind: 'enter', ...where, ...syscallOf(regs) }));
        return { at, regs };
      },
      (cpu, call) => {
        const regs = regsAt(cpu, call.at);
        const { nr } = syscallOf(call.regs);
        const isHandled = regs.ip !== call.regs.ip && !REPLACING.includes(nr);
        const result = isHandled ? interrupted(cpu, call.regs, regs) : resultOf(regs);
        pass(cpu, (where) => ({ kind: 'leave', ...where, nr, result }), stackOf(cpu, regs));
      },
    );
    linux.at(exit, (cpu) => {
      const status = cpu.state.reg32(GPR.rdi) & 0xffff;
      pass(cpu, (where) => ({ kind: 'end', ...where, status }));
    });
  };
}
