/** Watches a Linux kernel's deferred unwinding from outside, by breakpoints on its functions and by reading its memory. */

import { SymbolTable } from '../../emu/boot/symbols.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import { disassembler } from '../asm/capstone.js';
import { codeFrom, type NamedImage } from '../asm/code.js';
import { LinuxError } from '../linux/linux-error.js';
import { contextOf, type Mechanism, mechanismOf } from '../linux/mechanism.js';
import type { DeferredEvent } from '../trace/deferred.js';
import { type Location, Maps } from '../trace/maps.js';
import { readImage } from './linux.js';

/** Linux walks no further (kernel/unwind/deferred.c, UNWIND_MAX_ENTRIES). */
const MAX_FRAMES = 512;

export interface DeferredOptions {
  /** The symbols of a program, by the name its task has. */
  program(comm: string): NamedImage | undefined;
  emit(event: DeferredEvent): void;
}

/**
 * @param image the kernel's file; the guest runs where it is linked (`nokaslr`)
 * @returns what watches a machine, from its first instruction on
 * @throws LinuxError for a kernel that does not have the mechanism; ImageError for a file that is no kernel
 */
export async function deferredWatch(
  image: Uint8Array,
  { program, emit }: DeferredOptions,
): Promise<(machine: Machine) => void> {
  const file = readImage(image);
  const symbols = new SymbolTable(file);
  const mechanism = mechanismOf(file, symbols);
  const returns = await returnsOf({ file, symbols }, mechanism.request);
  const maps = new Maps({ kernel: symbols });
  return (machine) => {
    const reader = new TaskReader(machine, mechanism);
    /** Requests under way, by the stack pointer at the call, which is the same at the return and at no other depth. */
    const under = new Map<bigint, { readonly cookieAt: bigint; readonly context: string }>();
    const at = (address: bigint, handler: (cpu: Vcpu) => void): void => {
      machine.breakpoint(address, (cpu) => {
        handler(cpu);
        return false;
      });
    };
    at(mechanism.request, (cpu) => {
      const { state } = cpu;
      under.set(state.reg(GPR.rsp), { cookieAt: state.reg(GPR.rsi), context: reader.context(cpu) });
    });
    for (const address of returns)
      at(address, (cpu) => {
        const { state } = cpu;
        const stack = state.reg(GPR.rsp);
        const call = under.get(stack);
        if (call === undefined) return;
        under.delete(stack);
        emit({
          kind: 'request',
          ...reader.moment(cpu),
          context: call.context,
          caller: maps.locateKernel(reader.word(cpu, stack)),
          cookie: reader.word(cpu, call.cookieAt),
          returned: state.reg32(GPR.rax) | 0,
        });
      });
    for (const { name, address } of mechanism.callbacks)
      at(address, (cpu) => {
        const { state } = cpu;
        const moment = reader.moment(cpu);
        const names = program(moment.comm);
        const user = reader
          .trace(cpu, state.reg(GPR.rsi))
          .map((ip) => locate(ip, moment.comm, names?.symbols));
        emit({ kind: 'callback', ...moment, tracer: name, cookie: state.reg(GPR.rdx), user });
      });
  };
}

function locate(ip: bigint, image: string, symbols: SymbolTable | undefined): Location {
  const found = symbols?.resolve(ip);
  return found === undefined ? { ip } : { ip, image, symbol: found.name, symbolOffset: found.offset };
}

/**
 * Where a function ends: its RETs, and its jumps to the thunk that stands for one (arch/x86/lib/retpoline.S); the kernel may turn
 * these into a RET at the same address.
 */
async function returnsOf(kernel: NamedImage, address: bigint): Promise<bigint[]> {
  const region = codeFrom(kernel, address, 0n);
  const decoder = await disassembler(64, 'att');
  const isThunk = (operands: string): boolean =>
    kernel.symbols.at(BigInt(operands)).some(({ name }) => name.endsWith('__x86_return_thunk'));
  const code = region === undefined ? [] : [...decoder.decode(region.bytes, region.address)];
  const found = code.filter(
    ({ mnemonic, operands }) =>
      mnemonic.startsWith('ret') ||
      (mnemonic === 'jmp' && /^0x[0-9a-f]+$/.test(operands) && isThunk(operands)),
  );
  if (found.length === 0)
    throw new LinuxError('expected unwind_deferred_request to return somewhere, found no return in it');
  return found.map((instruction) => instruction.address);
}

/** A kernel's memory as one of its CPUs sees it in kernel mode. */
class TaskReader {
  readonly #machine: Machine;
  readonly #mechanism: Mechanism;

  constructor(machine: Machine, mechanism: Mechanism) {
    this.#machine = machine;
    this.#mechanism = mechanism;
  }

  #read(cpu: Vcpu, address: bigint, length: number): Buffer {
    return this.#machine.read(cpu.index, BigInt.asUintN(64, address), length) ?? Buffer.alloc(length);
  }
  /** 0 where nothing is mapped. */
  word(cpu: Vcpu, address: bigint): bigint {
    return this.#read(cpu, address, 8).readBigUInt64LE();
  }
  #perCpu(cpu: Vcpu, variable: bigint): bigint {
    return cpu.state.segment('gs').base + variable;
  }

  context(cpu: Vcpu): string {
    const { preemptCount } = this.#mechanism.perCpu;
    return contextOf(this.#read(cpu, this.#perCpu(cpu, preemptCount), 4).readUInt32LE());
  }

  moment(cpu: Vcpu): { comm: string; pid: number; tid: number; cpu: number; time: bigint } {
    const { perCpu, task: at } = this.#mechanism;
    const task = this.word(cpu, this.#perCpu(cpu, perCpu.currentTask));
    const comm = this.#read(cpu, task + BigInt(at.comm), at.commLength);
    const number = (offset: number): number => this.#read(cpu, task + BigInt(offset), 4).readInt32LE();
    return {
      comm: comm.toString().replace(/\0.*$/s, ''),
      pid: number(at.tgid),
      tid: number(at.pid),
      cpu: cpu.index,
      time: BigInt(cpu.now),
    };
  }

  /** The addresses of an unwind_stacktrace. */
  trace(cpu: Vcpu, address: bigint): bigint[] {
    const { nr, entries } = this.#mechanism.trace;
    const count = Math.min(this.#read(cpu, address + BigInt(nr), 4).readUInt32LE(), MAX_FRAMES);
    const bytes = this.#read(cpu, this.word(cpu, address + BigInt(entries)), 8 * count);
    return Array.from({ length: count }, (_, index) => bytes.readBigUInt64LE(8 * index));
  }
}
