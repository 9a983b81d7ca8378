/** Joins a running machine to the typed views of its kernel: memory, tasks, and the tracers' records as they are committed. */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import type { KernelAddr, PhysAddr, UserAddr } from '../../emu/memory/address.js';
import { Guest } from '../guest/guest.js';
import type { GuestReader } from '../guest/reader.js';
import type { RingReader } from '../guest/ring.js';
import { decodeFtrace, type FtraceRecord } from '../trace/ftrace-record.js';
import { GUEST_LAYOUT, type PerfRecord, perfDecoder } from '../trace/perf-record.js';
import { type RawRecord, rawRecords } from '../trace/raw-record.js';

/** Guest memory through the page tables of the CPU that runs; `cr3` chooses another user half. */
export function guestReader(machine: Machine, cpu: () => Vcpu): GuestReader {
  return {
    readKernel: (address, length) => machine.memory.read(cpu().paging, address, length),
    readUser: (cr3, address, length) => machine.memory.read({ ...cpu().paging, root: cr3 }, address, length),
  };
}

/** Who receives the tracers' records; each in the order of its CPU's commits. */
export interface RecordSink {
  perf?(record: PerfRecord, raw: RawRecord): void;
  ftrace?(record: FtraceRecord): void;
}

/** A kernel of this project inside a machine. */
export class RunningKernel {
  readonly machine: Machine;
  readonly guest: Guest;
  readonly #reader: GuestReader;
  #cpu: Vcpu;

  /** Whether these are the names of a kernel of this project: Linux has many of them too, but no constants. */
  static fits(symbols: SymbolTable): boolean {
    return symbols.constant('BUFFER_SIZE') !== undefined;
  }

  constructor(machine: Machine) {
    this.machine = machine;
    this.#cpu = machine.cpus[0]!;
    this.#reader = guestReader(machine, () => this.#cpu);
    this.guest = new Guest(this.#reader, machine.symbols);
  }

  /** User memory by the page tables of a task. */
  readUser(cr3: PhysAddr, address: UserAddr, length: number): Uint8Array | undefined {
    return this.#reader.readUser(cr3, address, length);
  }

  /** Calls `handler` whenever a CPU comes to the label; memory is then seen as that CPU sees it. */
  at(label: string, handler: (cpu: Vcpu) => void): void {
    this.machine.breakpoint(this.machine.symbols.require(label), (cpu) => {
      this.#cpu = cpu;
      handler(cpu);
      return false;
    });
  }

  /** The argument registers of a C call, as a kernel address. */
  argument(cpu: Vcpu, register: 'rdi' | 'rsi'): KernelAddr {
    return cpu.state.reg(GPR[register]) as KernelAddr;
  }

  /** Hands over each record when it is committed, and gives its room back to the kernel. */
  tap(sink: RecordSink): void {
    const { symbols, cpus } = this.machine;
    const decodePerf = perfDecoder(GUEST_LAYOUT);
    const rings = new Map<bigint, () => void>();
    const size = symbols.requireConstant('BUFFER_SIZE');
    for (const { index } of cpus) {
      const perf = this.guest.ring('perf_buffers', index, rawRecords);
      const ftrace = this.guest.ring('ftrace_buffers', index, rawRecords);
      const offset = BigInt(index) * size;
      rings.set(symbols.require('perf_buffers') + offset, () =>
        this.#drain(perf, (raw) => sink.perf?.(decodePerf(raw), raw)),
      );
      rings.set(symbols.require('ftrace_buffers') + offset, () =>
        this.#drain(ftrace, (raw) => sink.ftrace?.(decodeFtrace(raw))),
      );
    }
    this.at('trace_record', (cpu) => rings.get(this.argument(cpu, 'rdi'))?.());
  }

  #drain<T>(ring: RingReader<T>, put: (record: T) => void): void {
    const { records, tail, tailAddress } = ring.drain();
    for (const record of records) put(record);
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(tail);
    this.machine.memory.write(this.#cpu.paging, tailAddress, word);
  }
}
