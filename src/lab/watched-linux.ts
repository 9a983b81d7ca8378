/** A Linux kernel inside a machine, watched from outside: breakpoints on its functions, and its memory, by its own names and types. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import { disassembler } from '../asm/capstone.js';
import { codeFrom, type NamedImage } from '../asm/code.js';
import { type Btf, btfOf } from '../linux/btf.js';
import { LinuxError } from '../linux/linux-error.js';
import { contextOf, type TaskLayout, taskLayoutOf } from '../linux/tasks.js';

/** What a kernel's file says. It runs where that says only with `nokaslr`. */
export interface LinuxKernel extends NamedImage {
  readonly btf: Btf;
  readonly tasks: TaskLayout;
}

/** What an image that is a Linux kernel says of itself. @throws LinuxError for one without names or types */
export function asLinux({ file, symbols }: NamedImage): LinuxKernel {
  const btf = btfOf(file);
  return { file, symbols, btf, tasks: taskLayoutOf(btf, symbols) };
}

/** A function and where it returns. */
export interface Routine {
  readonly entry: bigint;
  readonly returns: readonly bigint[];
}

/**
 * A function ends with its RETs, and its jumps to the thunk that stands for one (arch/x86/lib/retpoline.S); the kernel may turn
 * these into a RET at the same address.
 * @throws LinuxError where there is no such function
 */
export async function routineOf(kernel: NamedImage, name: string): Promise<Routine> {
  const entry = kernel.symbols.lookup(name);
  const region = entry === undefined ? undefined : codeFrom(kernel, entry, 0n);
  if (entry === undefined || region === undefined)
    throw new LinuxError(`expected a kernel with the function ${name}, found none`);
  const decoder = await disassembler(64, 'att');
  const isThunk = (operands: string): boolean =>
    /^0x[0-9a-f]+$/.test(operands) &&
    kernel.symbols.at(BigInt(operands)).some((symbol) => symbol.name.endsWith('__x86_return_thunk'));
  const returns = [...decoder.decode(region.bytes, region.address)].filter(
    ({ mnemonic, operands }) => mnemonic.startsWith('ret') || (mnemonic === 'jmp' && isThunk(operands)),
  );
  return { entry, returns: returns.map(({ address }) => address) };
}

/** The task that a CPU runs, and the moment. */
export interface TaskMoment {
  readonly comm: string;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  /** Guest time in nanoseconds. */
  readonly time: bigint;
}

/** Memory is what a CPU in kernel mode sees of it, user memory of its task included; what is not mapped reads as zero. */
export class WatchedLinux {
  readonly #machine: Machine;
  readonly #layout: TaskLayout;

  constructor(machine: Machine, { tasks }: LinuxKernel) {
    this.#machine = machine;
    this.#layout = tasks;
  }

  /** Calls `handler` whenever a CPU comes to an address. */
  at(address: bigint, handler: (cpu: Vcpu) => void): void {
    this.#machine.breakpoint(address, (cpu) => {
      handler(cpu);
      return false;
    });
  }

  /**
   * Calls `enter` at each call of a routine, and `leave` with what that gave when the call returns. A call is known by its stack pointer, which
   * no other call under way has.
   */
  calls<T>({ entry, returns }: Routine, enter: (cpu: Vcpu) => T, leave: (cpu: Vcpu, call: T) => void): void {
    const under = new Map<bigint, T>();
    this.at(entry, (cpu) => under.set(cpu.state.reg(GPR.rsp), enter(cpu)));
    for (const address of returns)
      this.at(address, (cpu) => {
        const stack = cpu.state.reg(GPR.rsp);
        const call = under.get(stack);
        if (call === undefined) return;
        under.delete(stack);
        leave(cpu, call);
      });
  }

  read(cpu: Vcpu, address: bigint, length: number): Buffer {
    return this.readMapped(cpu, address, length) ?? Buffer.alloc(length);
  }
  readMapped(cpu: Vcpu, address: bigint, length: number): Buffer | undefined {
    return this.#machine.read(cpu.index, BigInt.asUintN(64, address), length);
  }
  word(cpu: Vcpu, address: bigint): bigint {
    return this.read(cpu, address, 8).readBigUInt64LE();
  }

  #perCpu(cpu: Vcpu, variable: bigint): bigint {
    return cpu.state.segment('gs').base + variable;
  }

  /** Whether a CPU serves an interrupt, and which kind. */
  context(cpu: Vcpu): string {
    return contextOf(this.read(cpu, this.#perCpu(cpu, this.#layout.perCpu.preemptCount), 4).readUInt32LE());
  }

  moment(cpu: Vcpu): TaskMoment {
    const { perCpu, task: at } = this.#layout;
    const task = this.word(cpu, this.#perCpu(cpu, perCpu.currentTask));
    const number = (offset: number): number => this.read(cpu, task + BigInt(offset), 4).readInt32LE();
    const comm = this.read(cpu, task + BigInt(at.comm), at.commLength).toString();
    return {
      comm: comm.replace(/\0.*$/s, ''),
      pid: number(at.tgid),
      tid: number(at.pid),
      cpu: cpu.index,
      time: BigInt(cpu.now),
    };
  }
}
