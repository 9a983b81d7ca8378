import type { KernelAddr } from '../../emu/memory/address.js';
import type { WalkRegs } from '../unwind/walk.js';
import { after, GuestLayout } from './layout.js';
import { type PtRegs, readPtRegs, walkRegsOf } from './pt-regs.js';
import type { GuestReader, GuestSymbols } from './reader.js';
import { type DecodeRecords, RingReader } from './ring.js';
import { readTask, readUnwindInfo, type Task, type UnwindInfo } from './task.js';

const VERSION_LENGTH = 32;

/**
 * A guest kernel of this project, seen by its symbols and layout constants (docs/guest-abi.md, "Symbols"). It holds no
 * state of the guest; what a method returns is the guest at that moment. All methods throw {@link GuestError} where the image
 * has no such symbol or the guest no such memory.
 */
export class Guest {
  readonly #layout: GuestLayout;

  constructor(reader: GuestReader, symbols: GuestSymbols) {
    this.#layout = new GuestLayout(reader, symbols);
  }

  /** The version of the mechanism that the kernel implements, such as `v13-06`. */
  get version(): string {
    return this.#layout.text(this.#layout.address('kernel_version'), VERSION_LENGTH, 'kernel_version');
  }

  /** Where a CPU's copy of a per-CPU variable lies. */
  perCpu(name: string, cpu: number): KernelAddr {
    const table = this.#layout.address('__per_cpu_offset');
    const offset = this.#layout.read(after(table, 8 * cpu), 8, '__per_cpu_offset').getBigUint64(0, true);
    return after(this.#layout.address(name), offset);
  }

  /** A per-CPU variable of 4 or 8 bytes. */
  readPerCpu(name: string, cpu: number, size: 4 | 8): bigint {
    const view = this.#layout.read(this.perCpu(name, cpu), size, name);
    return size === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  }

  currentTask(cpu: number): Task {
    return this.task(this.readPerCpu('current_task', cpu, 8) as KernelAddr);
  }
  task(address: KernelAddr): Task {
    return readTask(this.#layout, address);
  }
  /** @param address a pt_regs, such as `task.regs` */
  regs(address: KernelAddr): PtRegs {
    return readPtRegs(this.#layout, address);
  }
  /** Where a walk of a task's user stack begins. */
  walkRegs(task: Task): WalkRegs {
    return { ...walkRegsOf(this.#layout, this.regs(task.regs)), kthread: task.kthread };
  }
  /** @param task address of the task */
  unwindInfo(task: KernelAddr): UnwindInfo {
    return readUnwindInfo(this.#layout, task);
  }

  /** The ring buffer of a CPU in one of the kernel's arrays of buffers. */
  ring<T>(array: 'perf_buffers' | 'ftrace_buffers', cpu: number, decode: DecodeRecords<T>): RingReader<T> {
    const address = after(this.#layout.address(array), cpu * this.#layout.constant('BUFFER_SIZE'));
    return new RingReader(this.#layout, address, decode);
  }
}
