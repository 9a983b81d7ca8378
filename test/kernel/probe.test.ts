/**
 * `trace_probe`, called at every instruction boundary of a system call where a CPU may call: what it interrupts goes on as if it had
 * not been, and what it asks for comes.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { applyChoice, mayCall } from '../../src/schedule/apply.js';
import { inUserMode, Kernel, returned } from './harness.js';
import { before, VERSIONS, type Version } from './versions.js';

/** No tick falls into a sweep. */
const NO_TICK = 'tick=100000000';
const RET = 0xc3;
/** Says that the next instruction runs in spite of a breakpoint at it; any instruction clears it (SDM 3B, "Instruction-Breakpoint Exception Condition", 19.3.1.1). */
const RF = 0x1_0000;

let kernel: Kernel;
afterEach(() => kernel.close());

const registers = (): string => {
  const { state } = kernel.cpu;
  return [state.rip, state.rflags & ~RF, ...GPR_NAMES.map((name) => kernel.register(name))]
    .map((value) => value.toString(16))
    .join(' ');
};

/** The last instruction of a routine, which is its only `ret`. */
function retOf(symbol: string): bigint {
  const [start, bytes] = [kernel.address(symbol), 128];
  const at = kernel.machine.read(0, start, bytes)!.indexOf(RET);
  expect(at).toBeGreaterThan(0);
  return start + BigInt(at);
}

/** The CPU calls trace_probe where it stands, and is back there. */
function probeHere(ret: bigint): void {
  const rsp = kernel.register('rsp');
  expect(applyChoice(kernel.machine, { kind: 'call', cpu: 0, symbol: 'trace_probe' })).toBeUndefined();
  kernel.runTo(ret, () => kernel.register('rsp') === rsp - 8n);
  kernel.step();
}

/** What a run comes to from here: user code at `rip`, then its next system call. */
function follow(rip: bigint) {
  if (!inUserMode(kernel.cpu)) kernel.runTo(rip, inUserMode);
  const user = registers();
  const served = deliveredCookies();
  kernel.runTo('trace_syscall_enter');
  return { served, course: { user, next: kernel.regs, console: kernel.console } };
}

const deliveredCookies = (): bigint[] =>
  kernel.samples.ftrace.filter(({ type }) => type === 'user_unwind_stack').map(({ cookie }) => cookie);

/** The call's own words lie where pt_regs will be: they need not say user mode, and the request is refused. */
const HALF_BUILT = ['entry_SYSCALL_64'];
/** Behind the exit loop's last look at the flags: race I. */
const LATE = ['exit_to_user_loop', 'syscall_exit', 'unwind_reset_info'];

/** Whether the CPU is inside a request: there a call is race B, where the work is not claimed first. */
function inRequest(): () => boolean {
  const request = kernel.address('unwind_deferred_request');
  let over: ((cpu: Vcpu) => boolean) | undefined;
  return () => {
    if (kernel.cpu.state.rip === request) over = returned(kernel);
    if (over?.(kernel.cpu)) over = undefined;
    return over !== undefined;
  };
}

function sweepSystemCall(version: Version) {
  kernel = new Kernel('hello', {
    version,
    commandLine: `${NO_TICK} trace=ftrace`,
    start: 'entry_SYSCALL_64',
  });
  const ret = retOf('trace_probe');
  const rip = kernel.register('rcx');
  const { ftrace } = kernel.samples;
  const start = kernel.snapshot();
  const undisturbed = follow(rip).course;
  kernel.restore(start);
  const avoided = before('v13-07').includes(version) ? inRequest() : () => false;
  const found = { served: 0, refused: 0, late: 0 };
  const already: bigint[] = [];
  const { boundaries } = kernel.sweep(
    inUserMode,
    (at) => {
      const where = kernel.machine.symbols.format(at);
      const routine = kernel.machine.symbols.resolve(at)?.name;
      already.push(...deliveredCookies());
      ftrace.length = 0;
      const here = registers();
      probeHere(ret);
      expect(registers(), where).toBe(here);
      const { course, served } = follow(rip);
      expect(course, where).toEqual(undisturbed);
      const probes = ftrace.filter((record) => record.type === 'probe');
      expect(probes, where).toMatchObject([{ ip: at }]);
      const { cookie } = probes[0]!;
      ftrace.length = 0;
      if (cookie === 0n) {
        expect(HALF_BUILT, where).toContain(routine);
        found.refused++;
      } else if ([...already, ...served].includes(cookie)) found.served++;
      else {
        expect(LATE, where).toContain(routine);
        found.late++;
      }
    },
    () => !avoided() && mayCall(kernel.cpu),
  );
  return { boundaries, ...found };
}

describe('a call of trace_probe at every instruction of a system call', () => {
  test.each(VERSIONS)('%s', (version) => {
    const { boundaries, served, refused, late } = sweepSystemCall(version);
    expect(boundaries).toBeGreaterThan(3000);
    expect(served + refused + late).toBe(boundaries);
    expect(refused).toBeLessThan(5);
    expect(late).toBeLessThan(50);
  });
});

test('without ftrace it does nothing', () => {
  kernel = new Kernel('hello', { commandLine: NO_TICK });
  const here = registers();
  probeHere(retOf('trace_probe'));
  expect(registers()).toBe(here);
  expect(kernel.info.pending).toBe(false);
  expect(kernel.samples.ftrace).toEqual([]);
});

test('called inside an NMI, it preserves what the NMI interrupted', () => {
  kernel = new Kernel('hello', { version: 'v6.19', commandLine: `${NO_TICK} trace=ftrace` });
  const here = registers();
  kernel.nmi();
  kernel.runTo('perf_nmi');
  probeHere(retOf('trace_probe'));
  kernel.runTo('trace_syscall_enter');
  expect(registers()).toBe(here);
  expect(kernel.samples.ftrace).toMatchObject([{ type: 'probe', cookie: 0x3_0000_0001n }]);
});
