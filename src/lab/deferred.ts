/** A Linux kernel's deferred unwinding, watched from outside. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import type { NamedImage } from '../asm/code.js';
import { mechanismOf } from '../linux/mechanism.js';
import type { DeferredEvent } from '../trace/deferred.js';
import { located, Maps } from '../trace/maps.js';
import { asLinux, routineOf, WatchedLinux } from './watched-linux.js';

/** Linux walks no further (kernel/unwind/deferred.c, UNWIND_MAX_ENTRIES). */
const MAX_FRAMES = 512;

export interface DeferredOptions {
  /** The symbols of a program, by the name its task has. */
  program(comm: string): NamedImage | undefined;
  emit(event: DeferredEvent): void;
}

/**
 * @param image the kernel; the guest runs where it is linked (`nokaslr`)
 * @returns what watches a machine, from its first instruction on
 * @throws LinuxError for a kernel that does not have the mechanism
 */
export async function deferredWatch(
  image: NamedImage,
  { program, emit }: DeferredOptions,
): Promise<(machine: Machine) => void> {
  const kernel = asLinux(image);
  const mechanism = mechanismOf(kernel.btf, kernel.symbols);
  const request = await routineOf(kernel, 'unwind_deferred_request');
  const maps = new Maps({ kernel: kernel.symbols });
  return (machine) => {
    const linux = new WatchedLinux(machine, kernel);
    /** The addresses of an unwind_stacktrace. */
    const trace = (cpu: Vcpu, address: bigint): bigint[] => {
      const { nr, entries } = mechanism.trace;
      const count = Math.min(linux.read(cpu, address + BigInt(nr), 4).readUInt32LE(), MAX_FRAMES);
      const bytes = linux.read(cpu, linux.word(cpu, address + BigInt(entries)), 8 * count);
      return Array.from({ length: count }, (_, index) => bytes.readBigUInt64LE(8 * index));
    };
    linux.calls(
      request,
      (cpu) => ({ cookieAt: cpu.state.reg(GPR.rsi), context: linux.context(cpu) }),
      (cpu, { cookieAt, context }) =>
        emit({
          kind: 'request',
          ...linux.moment(cpu),
          context,
          caller: maps.locateKernel(linux.word(cpu, cpu.state.reg(GPR.rsp))),
          cookie: linux.word(cpu, cookieAt),
          returned: cpu.state.reg32(GPR.rax) | 0,
        }),
    );
    for (const { name, address } of mechanism.callbacks)
      linux.at(address, (cpu) => {
        const { state } = cpu;
        const moment = linux.moment(cpu);
        const names = program(moment.comm);
        const user = trace(cpu, state.reg(GPR.rsi)).map((ip) => located(ip, moment.comm, names));
        emit({ kind: 'callback', ...moment, tracer: name, cookie: state.reg(GPR.rdx), user });
      });
  };
}
