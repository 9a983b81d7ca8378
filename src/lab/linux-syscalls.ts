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

/**
 * A call begins where do_syscall_64(regs, nr) is entered and ends where it returns (arch/x86/entry), which is behind the delivery of a signal: what a
 * call has returned that ends in a handler is what the handler is given in RAX. A task ends in do_exit(status).
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
    linux.calls(
      entry,
      (cpu) => {
        const at = cpu.state.reg(GPR.rdi);
        pass(cpu, (where) => ({ kind: 'enter', ...where, ...syscallOf(regsAt(cpu, at)) }));
        return at;
      },
      (cpu, at) => {
        const regs = regsAt(cpu, at);
        pass(
          cpu,
          (where) => ({ kind: 'leave', ...where, nr: syscallOf(regs).nr, result: resultOf(regs) }),
          stackOf(cpu, regs),
        );
      },
    );
    linux.at(exit, (cpu) => {
      const status = cpu.state.reg32(GPR.rdi) & 0xffff;
      pass(cpu, (where) => ({ kind: 'end', ...where, status }));
    });
  };
}
