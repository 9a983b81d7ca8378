/** Observes the system calls of a running kernel at its labels, and joins them to their user stacks by cookie. */
import { type ElfFile, type ElfSegment, PT } from '../../emu/boot/elf.js';
import type { UserAddr } from '../../emu/memory/address.js';
import { resultOf, syscallOf } from '../guest/pt-regs.js';
import type { Task } from '../guest/task.js';
import type { FtraceRecord } from '../trace/ftrace-record.js';
import type { Location } from '../trace/maps.js';
import { type CallEvent, type RawCallEvent, SyscallDecoder } from '../trace/syscalls.js';
import type { RunningKernel } from './kernel.js';
import type { LoadedGuest } from './open.js';

/** Hands over each system call event, with the name of the task's program, in the order in which the guest runs them. */
export function observeCalls(
  kernel: RunningKernel,
  loaded: LoadedGuest,
  put: (event: CallEvent, program: string) => void,
): void {
  const { guest } = kernel;
  let current: Task;
  const decoder = new SyscallDecoder((_where, at, length) => {
    const address = at as UserAddr;
    const image = loaded.program(current.comm)?.file;
    return kernel.readUser(current.cr3, address, length) ?? (image && initialBytes(image, address, length));
  });
  const pass = (event: RawCallEvent): void => {
    for (const call of decoder.decode(event)) put(call, current.comm);
  };
  const where = (task: Task, now: number) => ({ pid: task.tgid, tid: task.pid, time: BigInt(now) });
  kernel.at('trace_syscall_enter', (cpu) => {
    current = guest.currentTask(cpu.index);
    pass({
      kind: 'enter',
      ...where(current, cpu.now),
      ...syscallOf(guest.regs(kernel.argument(cpu, 'rdi'))),
    });
  });
  kernel.at('trace_syscall_leave', (cpu) => {
    current = guest.currentTask(cpu.index);
    const regs = guest.regs(kernel.argument(cpu, 'rdi'));
    pass({ kind: 'leave', ...where(current, cpu.now), nr: syscallOf(regs).nr, result: resultOf(regs) });
  });
  kernel.at('trace_task_exit', (cpu) => {
    current = guest.task(kernel.argument(cpu, 'rdi'));
    pass({ kind: 'end', ...where(current, cpu.now), status: Number(kernel.argument(cpu, 'rsi') & 0xffffn) });
  });
}

/**
 * Holds system calls back until their user stacks have come, which is on the way back to user mode and so after the call.
 * The order of events stays.
 */
export class CallStacks {
  readonly #put: (event: CallEvent, stack: readonly Location[]) => void;
  readonly #guest: LoadedGuest;
  readonly #queue: {
    readonly event: CallEvent;
    readonly program: string;
    stack: readonly Location[] | undefined;
  }[] = [];
  /** The cookie of the entry that each task is in. */
  readonly #cookies = new Map<number, bigint>();

  constructor(guest: LoadedGuest, put: (event: CallEvent, stack: readonly Location[]) => void) {
    this.#guest = guest;
    this.#put = put;
  }

  event(event: CallEvent, program: string): void {
    // Whatever a task does next, a stack that it still owes will not come any more.
    for (const waiting of this.#queue) if (waiting.event.tid === event.tid) waiting.stack ??= [];
    const owed = event.kind === 'leave' && (this.#cookies.get(event.tid) ?? 0n) !== 0n;
    this.#queue.push({ event, program, stack: owed ? undefined : [] });
    this.#release();
  }

  record(record: FtraceRecord): void {
    if (record.type === 'probe') return; // asks for the same stack, or is refused where the call is not
    if (record.type !== 'user_unwind_stack') {
      this.#cookies.set(record.tid, record.cookie);
      return;
    }
    if (this.#cookies.get(record.tid) !== record.cookie) return;
    const call = this.#queue.find(({ event, stack }) => event.tid === record.tid && stack === undefined);
    if (call !== undefined) call.stack = record.ips.map((ip) => this.#locate(call.program, ip));
    this.#release();
  }

  /** Lets go of what is still held back. */
  end(): void {
    for (const call of this.#queue) call.stack ??= [];
    this.#release();
  }

  #release(): void {
    while (this.#queue[0]?.stack !== undefined) {
      const { event, stack } = this.#queue.shift()!;
      this.#put(event, stack ?? []);
    }
  }

  #locate(program: string, ip: bigint): Location {
    const image = this.#guest.program(program);
    const found = image?.symbols.resolve(ip);
    const segment = image && segmentOf(image.file, ip, 1);
    return {
      ip,
      image: program,
      ...(segment && { fileOffset: ip - segment.virtualAddress + BigInt(segment.offset) }),
      ...(found && { symbol: found.name, symbolOffset: found.offset }),
    };
  }
}

/** The part of a program's image that holds all of a range of its memory. */
const segmentOf = ({ segments }: ElfFile, address: bigint, length: number): ElfSegment | undefined =>
  segments.find(
    ({ type, virtualAddress: start, memorySize }) =>
      type === PT.LOAD && start <= address && address + BigInt(length) <= start + memorySize,
  );

/** What a program's image puts into memory: pages that the guest has not touched yet still hold it. */
function initialBytes(image: ElfFile, address: UserAddr, length: number): Uint8Array | undefined {
  const segment = segmentOf(image, address, length);
  if (segment === undefined) return undefined;
  const bytes = new Uint8Array(length);
  const offset = Number(address - segment.virtualAddress);
  bytes.set(segment.data.subarray(offset, offset + length));
  return bytes;
}
