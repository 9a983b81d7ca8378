/**
 * A kernel in a machine, held at will: run to a label, look at tasks, call one of its functions where it stands, put an NMI
 * at an instruction boundary. Needs `build/` as the Makefile leaves it.
 */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR, GPR_NAMES, type Gpr } from '../../emu/engine/cpu-state.js';
import type { Machine, MachineSnapshot, Outcome } from '../../emu/machine.js';
import type { KernelAddr, PhysAddr, UserAddr } from '../../emu/memory/address.js';
import { Guest } from '../../src/guest/guest.js';
import type { PtRegs } from '../../src/guest/pt-regs.js';
import type { Task, UnwindInfo } from '../../src/guest/task.js';
import { guestReader, RunningKernel } from '../../src/lab/kernel.js';
import { openGuest } from '../../src/lab/open.js';
import { collectSamples, type Samples } from '../../src/lab/samples.js';

/** The version of the mechanism that tests run on where they name none. */
const VERSION = 'v13-06';
/** What the kernel itself prints at its start. */
export const bannerOf = (version: string): string => `unwindlab kernel, unwind ${version}\n`;
export const BANNER = bannerOf(VERSION);
/** What it prints when a task dies of a fault. */
export const FAULT_REPORT = /^\w+\[\d+\]: .*: killed by signal \d+\n/gm;
/** Far more instructions than any run here needs; a guest that hangs ends by it. */
const BUDGET = 200_000_000;
/** Kernel code has no red zone; a call from the host still leaves alone what lies just below the stack pointer. */
const CALL_GAP = 256n;
/** Code that runs once, before anything is stopped at: its place holds the `ret` of callbacks and, behind it, where calls return to. */
const SCRATCH = 'start_kernel';
const RET = Uint8Array.of(0xc3);
const END_OF_INPUT = '\x04';
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'rcx'] as const;

export interface BootOptions {
  readonly cpus?: number;
  /** Of the mechanism: which of the images `build/kernel-VERSION.elf`. */
  readonly version?: string;
  readonly commandLine?: string;
  /** Standard input of the program; its end follows. */
  readonly input?: string;
  /** Instructions of a turn, where several CPUs are to interleave finely. */
  readonly turn?: number;
  /** Where the kernel is stopped first; the first system call where nothing is said. */
  readonly start?: Place;
}

/** Called before the instruction executes; true stops the run there. */
export type Watcher = (cpu: Vcpu) => boolean;
/** A symbol or an address. */
export type Place = string | bigint;

export interface Snapshot {
  readonly machine: MachineSnapshot;
  readonly cpu: Vcpu;
  readonly console: string;
}

export interface Sweep {
  /** At how many instruction boundaries something was tried. */
  readonly boundaries: number;
  /** Before which instructions. */
  readonly addresses: ReadonlySet<bigint>;
}

export class Kernel {
  readonly machine: Machine;
  readonly guest: Guest;
  /** The tracers' records since the start; they grow while the guest runs. */
  readonly samples: Samples;
  /** The CPU of the last stop. */
  cpu: Vcpu;
  /** All that the guest has printed. */
  console = '';
  #closed = false;
  readonly #watchers = new Map<bigint, Set<Watcher>>();
  /** Where a host call was made: the instruction there is not met a second time. */
  #passOver: { readonly rip: bigint; readonly now: number } | undefined;

  /**
   * The kernel with one program, stopped at its start. @throws Error if it does not come there
   * @param command the program and its arguments, such as `recursion 40`
   */
  constructor(
    command: string,
    {
      cpus = 1,
      version = VERSION,
      commandLine = '',
      input = '',
      turn,
      start = 'trace_syscall_enter',
    }: BootOptions = {},
  ) {
    const [program, ...args] = command.split(' ');
    this.machine = openGuest(
      {
        image: `build/kernel-${version}.elf`,
        modules: [`build/user/${program}.elf,${args.join(' ')}`],
        commandLine,
      },
      {
        cpus,
        ...(turn !== undefined && { turn }),
        console: (byte) => {
          this.console += String.fromCharCode(byte);
        },
      },
    ).machine;
    this.cpu = this.machine.cpus[0]!;
    this.guest = new Guest(
      guestReader(this.machine, () => this.cpu),
      this.machine.symbols,
    );
    this.samples = collectSamples(new RunningKernel(this.machine));
    this.runTo(start);
    this.machine.input(Buffer.from(input + END_OF_INPUT));
    this.machine.write(0, this.callback, RET);
  }

  address(place: Place): bigint {
    return typeof place === 'bigint' ? place : this.machine.symbols.require(place);
  }
  constant(name: string): number {
    return Number(this.machine.symbols.requireConstant(name));
  }

  /** A function that does nothing: a callback that the host watches. */
  get callback(): KernelAddr {
    return this.address(SCRATCH) as KernelAddr;
  }

  /**
   * Calls `watcher` whenever a CPU comes to `place`. @returns a function that ends it; the breakpoint stays, for
   * each change of breakpoints costs all translated code. Not for `trace_record`: there the samples are taken.
   */
  watch(place: Place, watcher: Watcher): () => unknown {
    const address = this.address(place);
    let watchers = this.#watchers.get(address);
    if (watchers === undefined) {
      watchers = new Set();
      this.#watchers.set(address, watchers);
      this.machine.breakpoint(address, (cpu) => this.#arrive(address, cpu));
    }
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  }

  #arrive(address: bigint, cpu: Vcpu): boolean {
    const passed = this.#passOver;
    this.#passOver = undefined;
    if (passed?.rip === address && passed.now === cpu.now) return false;
    this.cpu = cpu;
    let stop = false;
    for (const watcher of [...(this.#watchers.get(address) ?? [])]) stop = watcher(cpu) || stop;
    return stop;
  }

  /** Runs on; a watcher or the guest's end stops it. */
  run(budget = BUDGET): Outcome {
    const outcome = this.machine.run({ budget });
    if (outcome.kind === 'reached') this.cpu = this.machine.cpus[outcome.cpu]!;
    return outcome;
  }

  /** Runs until a CPU comes to `place` and `where` holds. @throws Error if the run stops elsewhere first */
  runTo(place: Place, where: (cpu: Vcpu) => boolean = () => true): Vcpu {
    const unwatch = this.watch(place, where);
    try {
      const outcome = this.run();
      if (outcome.kind !== 'reached' || outcome.rip !== this.address(place))
        throw new Error(`expected to reach ${place}, found ${show(outcome)} after: ${this.console}`);
      return this.cpu;
    } finally {
      unwatch();
    }
  }

  /** Runs to the power-off. @returns the exit status of pid 1; @throws Error for any other end */
  runToEnd(): number {
    const outcome = this.run();
    if (outcome.kind === 'poweroff') return 0;
    if (outcome.kind === 'debug-exit') return outcome.value;
    throw new Error(`expected the end of the guest, found ${show(outcome)} after: ${this.console}`);
  }

  /** To a system call of any task, at trace_syscall_enter; one that the kernel stands at is taken. @returns its registers */
  runToSyscall(number: number, argument?: bigint): PtRegs {
    const asked = (): boolean => {
      const { orig_ax, di } = this.regs;
      return orig_ax === BigInt(number) && (argument === undefined || di === argument);
    };
    const stands = this.cpu.state.rip === this.address('trace_syscall_enter');
    if (!stands || !asked()) this.runTo('trace_syscall_enter', asked);
    return this.regs;
  }

  /** To the first instruction that the current task executes in user mode. */
  runToUser(): Vcpu {
    const { ip } = this.regs;
    const { pid } = this.task;
    return this.runTo(ip, (cpu) => cpu.state.cpl === 3 && this.guest.currentTask(cpu.index).pid === pid);
  }

  /** To the next system call of the running task, over its way through user mode. */
  nextEntry(): void {
    this.runToUser();
    this.runTo('trace_syscall_enter');
  }

  /**
   * Calls a function of the kernel on the stopped CPU, as if it stood before the next instruction, and lets it return.
   * The stack must be the kernel's. @returns rax
   */
  call(place: Place, ...args: readonly bigint[]): bigint {
    return this.enter(place, ...args)();
  }

  /** The first half of a call: the CPU stands at the function's first instruction. @returns the second half */
  enter(place: Place, ...args: readonly bigint[]): () => bigint {
    const { cpu } = this;
    const { state } = cpu;
    const registers = GPR_NAMES.map((name) => state.reg(GPR[name]));
    const { rip, rflags } = state;
    const back = this.callback + 1n;
    const rsp = ((state.reg(GPR.rsp) - CALL_GAP) & ~0xfn) - 8n;
    this.write64(rsp, back);
    state.setReg(GPR.rsp, rsp);
    for (const [index, value] of args.entries())
      state.setReg(GPR[ARGUMENTS[index]!], BigInt.asUintN(64, value));
    state.rip = this.address(place);
    return () => {
      this.runTo(back, (at) => at === cpu && at.state.reg(GPR.rsp) === rsp + 8n);
      const result = state.reg(GPR.rax);
      for (const [index, name] of GPR_NAMES.entries()) state.setReg(GPR[name], registers[index]!);
      state.rip = rip;
      state.rflags = rflags;
      this.#passOver = { rip, now: cpu.now };
      return result;
    };
  }

  /** One instruction of the CPU that is stopped. */
  step(): Outcome | undefined {
    this.#passOver = undefined;
    return this.machine.step(this.cpu.index);
  }
  nmi(): void {
    this.machine.inject(this.cpu.index, { nmi: true });
  }

  /**
   * Tries something at every instruction boundary from here on until `done`: each `probe` starts from the kernel as it stands at
   * one boundary, and is undone. Boundaries for which `wanted` does not hold are passed over and not counted.
   */
  sweep(
    done: (cpu: Vcpu) => boolean,
    probe: (rip: bigint) => void,
    wanted: (rip: bigint) => boolean = () => true,
  ): Sweep {
    const addresses = new Set<bigint>();
    let boundaries = 0;
    for (; !done(this.cpu); this.step()) {
      const { rip } = this.cpu.state;
      if (!wanted(rip)) continue;
      boundaries++;
      addresses.add(rip);
      const here = this.snapshot();
      probe(rip);
      this.restore(here);
      this.machine.release(here.machine);
    }
    return { boundaries, addresses };
  }

  snapshot(): Snapshot {
    return { machine: this.machine.snapshot(), cpu: this.cpu, console: this.console };
  }
  restore(snapshot: Snapshot): void {
    this.machine.restore(snapshot.machine);
    this.cpu = snapshot.cpu;
    this.console = snapshot.console;
    this.#passOver = undefined;
  }

  get task(): Task {
    return this.guest.currentTask(this.cpu.index);
  }
  /** task_pt_regs(current). */
  get regs(): PtRegs {
    return this.guest.regs(this.task.regs);
  }
  get info(): UnwindInfo {
    return this.guest.unwindInfo(this.task.address);
  }
  /** Address of a field of the current task's unwind_info. */
  infoField(name: string): bigint {
    return (
      this.task.address + BigInt(this.constant('TASK_unwind_info') + this.constant(`UNWIND_INFO_${name}`))
    );
  }
  register(name: Gpr): bigint {
    return this.cpu.state.reg(GPR[name]);
  }
  /** The first argument of the routine whose first instruction is next. */
  get argument(): KernelAddr {
    return this.register('rdi') as KernelAddr;
  }
  perCpu(name: string, size: 4 | 8 = 4): number {
    return Number(this.guest.readPerCpu(name, this.cpu.index, size));
  }

  read64(address: bigint): bigint {
    const bytes = this.machine.read(this.cpu.index, address, 8);
    if (bytes === undefined) throw new Error(`expected memory at 0x${address.toString(16)}, found none`);
    return bytes.readBigUInt64LE();
  }
  /** A word of user memory, by the page tables at `cr3`. */
  readUser(cr3: PhysAddr, address: UserAddr): bigint | undefined {
    return this.machine.memory.read({ ...this.cpu.paging, root: cr3 }, address, 8)?.readBigUInt64LE();
  }
  /** Into data of the kernel: not into code. */
  write64(address: bigint, value: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    if (!this.machine.memory.write(this.cpu.paging, address, bytes))
      throw new Error(`expected memory at 0x${address.toString(16)}, found none`);
  }
  /** Zeroed memory of the kernel, by kzalloc. */
  alloc(size: number): bigint {
    return this.call('kzalloc', BigInt(size));
  }

  close(): void {
    if (!this.#closed) this.machine.close();
    this.#closed = true;
  }
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? `0x${part.toString(16)}` : part));

/** As the kernel's C code sees an int. */
export const int = (value: bigint): number => Number(BigInt.asIntN(32, value));

/** What the callback of a tracer was given. */
export interface Callback {
  readonly pid: number;
  readonly cookie: bigint;
  readonly entries: readonly bigint[];
}

/** A tracer of the host's own: an unwind_work in guest memory whose callback the host watches. */
export class Tracer {
  readonly work: bigint;
  readonly callbacks: Callback[] = [];
  /** Whether the run stops at each callback, before it returns. */
  stops = false;
  readonly #kernel: Kernel;
  readonly #cookie: bigint;

  /** Not yet registered; the kernel must be stopped where it may be called. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.work = kernel.alloc(64);
    this.#cookie = this.work + 48n;
    kernel.watch(kernel.callback, () => this.#called());
  }

  #called(): boolean {
    const kernel = this.#kernel;
    if (kernel.register('rdi') !== this.work) return false;
    const trace = kernel.register('rsi');
    const first = kernel.read64(trace + BigInt(kernel.constant('TRACE_entries')));
    const entries = Array.from({ length: Number(kernel.read64(trace)) }, (_, i) =>
      kernel.read64(first + BigInt(8 * i)),
    );
    this.callbacks.push({ pid: kernel.task.pid, cookie: kernel.register('rdx'), entries });
    return this.stops;
  }

  init(): number {
    return int(this.#kernel.call('unwind_deferred_init', this.work, this.#kernel.callback));
  }
  cancel(): void {
    this.#kernel.call('unwind_deferred_cancel', this.work);
  }
  /** unwind_deferred_request for the current task, in the context of the stop. */
  request(): { readonly result: number; readonly cookie: bigint } {
    this.#kernel.write64(this.#cookie, 0x5555_5555n);
    const result = int(this.#kernel.call('unwind_deferred_request', this.work, this.#cookie));
    return { result, cookie: this.#kernel.read64(this.#cookie) };
  }
}

/** A registered tracer. */
export function newTracer(kernel: Kernel): Tracer {
  const tracer = new Tracer(kernel);
  tracer.init();
  return tracer;
}

/** Whether the routine at whose first instruction the kernel is stopped now has returned. */
export function returned(kernel: Kernel): (cpu: Vcpu) => boolean {
  const rsp = kernel.register('rsp');
  return ({ state }) => state.reg(GPR.rsp) > rsp;
}

/** Whether the CPU is in user mode. */
export const inUserMode = ({ state }: Vcpu): boolean => state.cpl === 3;
