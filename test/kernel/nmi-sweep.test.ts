/**
 * An NMI at every instruction boundary of the kernel's entries, exits and unwinding. What it interrupts must go on as if it had
 * not been: the user's registers, the console, the way of the run. Each sweep is held to the number of instructions that a
 * disassembler finds in the windows it claims to cover.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { GPR_NAMES } from '../../emu/engine/cpu-state.js';
import type { KernelAddr } from '../../emu/memory/address.js';
import { disassembler } from '../../src/asm/capstone.js';
import type { PtRegs } from '../../src/guest/pt-regs.js';
import { CONTEXT } from '../../src/trace/perf-abi.js';
import { inUserMode, Kernel, type Sweep } from './harness.js';

/** No tick falls into a sweep: what happens at which instruction does not move when an NMI takes time. */
const NO_TICK = 'tick=100000000';
/** Each NMI is a sample, and the counter never overflows by itself. */
const SAMPLED = `${NO_TICK} trace=perf,ftrace perf.source=nmi perf.period=2000000000`;
/** A run to the end costs as much as fifty to the next system call, so only so many boundaries get one. */
const ENDS_EVERY = 50;
/** Of a page fault's error code: the page was to be executed. */
const FETCH = 0x10n;
const WARNING = /^WARNING: .* \(in_nmi\)\n/gm;

let kernel: Kernel;
afterEach(() => kernel.close());

/** The registers of user code that has not executed anything yet. */
function userRegisters(): string {
  const { state } = kernel.cpu;
  const segments = (['cs', 'ss', 'fs', 'gs'] as const).map((name) => state.segment(name));
  const registers = GPR_NAMES.map((name) => kernel.register(name));
  return [
    state.rip,
    state.rflags,
    ...registers,
    ...segments.flatMap(({ selector, base }) => [selector, base]),
  ]
    .map((value) => value.toString(16))
    .join(' ');
}

/** What a run from here on comes to: user code at `rip`, then its next system call. */
interface Course {
  readonly user: string;
  readonly next: PtRegs;
  /** Without the report of the refusal that an NMI may bring. */
  readonly console: string;
  readonly nmis: number;
}

const atUser = (rip: bigint): boolean => inUserMode(kernel.cpu) && kernel.cpu.state.rip === rip;

function follow(rip: bigint): Course {
  if (!atUser(rip)) kernel.runTo(rip, inUserMode);
  const user = userRegisters();
  kernel.runTo('trace_syscall_enter');
  const console = kernel.console.replace(WARNING, '');
  return { user, next: kernel.regs, console, nmis: kernel.perCpu('nmi_count') };
}

interface SweepOptions {
  /** Only the boundaries in these windows, not those in what they call. */
  readonly windows?: readonly string[];
  /** Ends the sweep before user code is reached. */
  readonly end?: string;
  /** More to look at after each NMI, at the next system call. */
  readonly check?: () => void;
}

const rangeOf = (window: string) =>
  [kernel.address(`${window}.begin`), kernel.address(`${window}.end`)] as const;

/** From here to user code at `rip`: an NMI at each boundary, and the run takes the course that it takes without. */
function nmiEverywhere(rip: bigint, { windows, check, end }: SweepOptions = {}): Sweep {
  const ranges = windows?.map((window) => rangeOf(window));
  const wanted = (at: bigint): boolean => ranges?.some(([begin, end]) => at >= begin && at < end) ?? true;
  const start = kernel.snapshot();
  const undisturbed = follow(rip);
  expect(kernel.runToEnd()).toBe(0);
  const { console } = kernel;
  kernel.restore(start);
  kernel.machine.release(start.machine);

  const expected = { ...undisturbed, nmis: undisturbed.nmis + 1 };
  const last = end && kernel.address(end);
  let boundary = 0;
  return kernel.sweep(
    (cpu) => atUser(rip) || cpu.state.rip === last,
    (at) => {
      const where = kernel.machine.symbols.format(at);
      kernel.samples.perf.length = kernel.samples.ftrace.length = 0;
      kernel.nmi();
      expect(follow(rip), where).toEqual(expected);
      check?.();
      if (boundary++ % ENDS_EVERY > 0) return;
      expect(kernel.runToEnd(), where).toBe(0);
      expect(kernel.console.replace(WARNING, ''), where).toBe(console);
    },
    wanted,
  );
}

/** How many instructions of a window a sweep came to, and how many there are. */
async function coverage({ addresses }: Sweep, window: string): Promise<{ swept: number; all: number }> {
  const [begin, end] = rangeOf(window);
  const code = kernel.machine.read(0, begin, Number(end - begin))!;
  const all = [...(await disassembler()).decode(code, begin)].map(({ address }) => address);
  return { swept: all.filter((address) => addresses.has(address)).length, all: all.length };
}

/** Every instruction of a window, or at least so many: the rest lies on branches that the scenario does not take. */
type Covers = Readonly<Record<string, 'all' | number>>;

interface Scenario {
  readonly name: string;
  readonly program: string;
  readonly commandLine: string;
  readonly start: string;
  /** Goes on to where the sweep begins. @returns where user code goes on */
  readonly goThere: () => bigint;
  readonly end?: string;
  readonly boundaries: number;
  readonly covers: Covers;
}

const ENTRY_AND_EXIT: Covers = { syscall_entry: 'all', syscall_exit: 37, unwind_reset_info: 7 };
const UNWINDING: Covers = {
  ...ENTRY_AND_EXIT,
  unwind_reset_info: 'all',
  get_cookie: 'all',
  unwind_deferred_request: 35,
  task_work_add: 16,
  exit_to_user_loop: 20,
  task_work_run: 37,
  unwind_deferred_task_work: 34,
  unwind_user_faultable: 34,
  unwind_user: 40,
};

/** The user's rip where SYSCALL has just led to its target. */
const afterSyscall = (): bigint => kernel.register('rcx');

/** To a handler that has interrupted user code; `words` lie between rsp and the frame that the CPU pushed. */
function inHandler(handler: string, words: bigint, where = () => true): bigint {
  const frame = (): bigint => kernel.register('rsp') + 8n * words;
  kernel.runTo(handler, () => (kernel.read64(frame() + 8n) & 3n) === 3n && where());
  return kernel.read64(frame());
}

/** To the first instruction of an NMI that hits user code. */
function inNmiFromUser(): bigint {
  kernel.runToUser();
  kernel.nmi();
  return inHandler('nmi.begin', 0n);
}

/** To a switch from one user task to another; user code goes on in the latter. */
function inSwitch(): bigint {
  const next = () => kernel.guest.task(kernel.register('rsi') as KernelAddr);
  kernel.runTo('switch_to.begin', () => !kernel.task.kthread && !next().kthread);
  return kernel.guest.regs(next().regs).ip;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a system call that nobody traces',
    program: 'hello',
    commandLine: NO_TICK,
    start: 'entry_SYSCALL_64',
    goThere: afterSyscall,
    boundaries: 1000,
    covers: ENTRY_AND_EXIT,
  },
  {
    name: 'a system call that both tracers ask in',
    program: 'hello',
    commandLine: `${NO_TICK} trace=perf,ftrace perf.period=100000000`,
    start: 'entry_SYSCALL_64',
    goThere: afterSyscall,
    boundaries: 3000,
    covers: UNWINDING,
  },
  {
    name: 'the start of a program, which leaves by IRET',
    program: 'hello',
    commandLine: NO_TICK,
    start: 'syscall_exit',
    goThere: () => kernel.regs.ip,
    end: 'asm_page_fault', // its first instruction is not in memory yet
    boundaries: 25,
    covers: { syscall_exit: 25 },
  },
  {
    name: 'a timer interrupt of user code, with a sample and its unwinding',
    program: 'roundtrip 20',
    commandLine: 'tick=5000 trace=perf perf.period=5000',
    start: 'syscall_exit',
    goThere: () => inHandler('asm_local_timer', 0n),
    boundaries: 1500,
    covers: { irq_exit_to_user: 'all', get_cookie: 'all', unwind_deferred_request: 33, unwind_user: 24 },
  },
  {
    name: 'a page fault of user code on its data',
    program: 'recursion 508',
    commandLine: NO_TICK,
    start: 'syscall_exit',
    goThere: () =>
      inHandler('asm_page_fault', 1n, () => (kernel.read64(kernel.register('rsp')) & FETCH) === 0n),
    boundaries: 500,
    covers: { irq_exit_to_user: 'all' },
  },
  {
    name: 'a switch from task to task',
    program: 'threads',
    commandLine: NO_TICK,
    start: 'trace_syscall_enter',
    goThere: inSwitch,
    boundaries: 100,
    covers: { switch_to: 39, syscall_exit: 25 },
  },
  {
    name: 'an NMI of user code: the second one waits for its IRET',
    program: 'hello',
    commandLine: NO_TICK,
    start: 'trace_syscall_enter',
    goThere: inNmiFromUser,
    boundaries: 50,
    covers: { nmi: 40 },
  },
  {
    name: 'an NMI of the kernel, and the system call that it hit',
    program: 'hello',
    commandLine: NO_TICK,
    start: 'trace_syscall_enter',
    goThere: () => {
      const { ip } = kernel.regs;
      kernel.nmi();
      kernel.runTo('nmi.begin');
      return ip;
    },
    boundaries: 500,
    covers: { nmi: 40 },
  },
];

describe('an NMI at every instruction of', () => {
  test.each(SCENARIOS)('$name', async ({ program, commandLine, start, goThere, end, boundaries, covers }) => {
    kernel = new Kernel(program, { commandLine, start });
    const sweep = nmiEverywhere(goThere(), { ...(end !== undefined && { end }) });
    expect(sweep.boundaries).toBeGreaterThan(boundaries);
    for (const [window, expected] of Object.entries(covers)) {
      const { swept, all } = await coverage(sweep, window);
      expect(swept, window).toBeGreaterThanOrEqual(expected === 'all' ? all : expected);
    }
  });

  test('a system call, where the NMI is a sample that asks and is refused', () => {
    kernel = new Kernel('hello', { commandLine: SAMPLED, start: 'entry_SYSCALL_64' });
    const { perf, ftrace } = kernel.samples;
    const check = (): void => {
      const samples = perf.splice(0).filter((record) => record.type === 'sample');
      expect(samples).toHaveLength(1);
      expect(samples[0]!.callchain).not.toContain(CONTEXT.USER_DEFERRED);
      for (const { cookie } of ftrace.splice(0)) expect(cookie).toBe(0x3_0000_0001n);
      expect(kernel.console.match(WARNING)).toHaveLength(1);
    };
    const { boundaries } = nmiEverywhere(afterSyscall(), { windows: Object.keys(UNWINDING), check });
    expect(boundaries).toBeGreaterThan(300);
  });
});
