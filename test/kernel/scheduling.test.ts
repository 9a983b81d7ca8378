/** Tasks on their CPUs: preemption, sleeping and waking, birth and death. */
import { afterEach, expect, test } from 'vitest';
import type { KernelAddr } from '../../emu/memory/address.js';
import { BANNER, type BootOptions, Kernel, type Place } from './harness.js';

const [GETPID, WAIT4] = [39, 61];

let kernel: Kernel;
function boot(command: string, options?: BootOptions): void {
  kernel = new Kernel(command, options);
}
afterEach(() => kernel.close());

/** Calls `see` at a place, from here on. */
function at(place: Place, see: () => void): void {
  kernel.watch(place, () => {
    see();
    return false;
  });
}
const taskAt = (register: 'rdi' | 'rsi') => kernel.guest.task(kernel.register(register) as KernelAddr);

test('the timer takes the CPU from user code that never asks for anything', () => {
  boot('sse', { commandLine: 'tick=20000' });
  let interrupted: number | undefined;
  let preempted = 0;
  at('trace_syscall_enter', () => {
    interrupted = undefined;
  });
  at('timer_interrupt', () => {
    interrupted = (kernel.guest.regs(kernel.argument).cs & 3n) === 3n ? kernel.task.pid : undefined;
  });
  at('switch_to.begin', () => {
    if (taskAt('rdi').pid === interrupted && !taskAt('rsi').kthread) preempted++;
    interrupted = undefined;
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(preempted).toBeGreaterThan(10);
});

test('no switch happens inside an interrupt or an NMI, and none with interrupts on', () => {
  boot('contention', { cpus: 2, commandLine: 'tick=5000' });
  let switches = 0;
  at('switch_to.begin', () => {
    switches++;
    expect(kernel.perCpu('preempt_count')).toBe(0);
    expect(kernel.cpu.state.rflags & kernel.constant('X86_EFLAGS_IF')).toBe(0);
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(switches).toBeGreaterThan(100);
});

test('a task is never current on two CPUs, and its kernel stack is its own', () => {
  boot('contention', { cpus: 4, turn: 200, commandLine: 'tick=5000' });
  let looks = 0;
  at('trace_syscall_enter', () => {
    looks++;
    const running = kernel.machine.cpus.map(({ index }) => kernel.guest.currentTask(index).address);
    expect(new Set(running).size).toBe(4);
    expect(kernel.argument).toBe(kernel.task.regs);
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(looks).toBeGreaterThan(400);
});

test('an idle CPU halts, and a sleeper wakes it at its time', () => {
  boot('contention');
  const halts: number[] = [];
  kernel.machine.events.on('halt', ({ time }) => halts.push(time));
  expect(kernel.runToEnd()).toBe(0);
  expect(halts.length).toBeGreaterThan(5);
});

test('a sleeping mutex is handed to the first who waits, and nobody holds it twice', () => {
  boot('threads');
  const mutex = kernel.alloc(64);
  const waiters = mutex + BigInt(kernel.constant('MUTEX_waiters'));
  for (const offset of [0n, 8n]) kernel.write64(waiters + offset, waiters);
  const owner = () => kernel.read64(mutex + BigInt(kernel.constant('MUTEX_owner')));
  const marks = (n: bigint) => kernel.runToSyscall(GETPID, n);

  marks(1n);
  const first = kernel.task;
  kernel.call('mutex_lock', mutex);
  expect(owner()).toBe(first.address);
  marks(2n);
  const second = kernel.task;
  const locked = kernel.enter('mutex_lock', mutex);
  kernel.runTo('trace_syscall_enter', () => kernel.task.pid === first.pid);
  expect(owner()).toBe(first.address);
  kernel.call('mutex_unlock', mutex);
  expect(owner()).toBe(second.address);
  locked();
  expect(kernel.task.pid).toBe(second.pid);
  kernel.call('mutex_unlock', mutex);
  expect(owner()).toBe(0n);
  expect(kernel.runToEnd()).toBe(0);
});

test('who waits on a futex sleeps until somebody wakes it: no increment and no wake is lost, on 1 to 4 CPUs', () => {
  for (const cpus of [1, 2, 4]) {
    boot('contention', { cpus, turn: 100, commandLine: 'tick=7000' });
    expect(kernel.runToEnd()).toBe(0);
    expect(kernel.console).toBe(`${BANNER}counter 400\nturns 100 100 100 100\n`);
    kernel.close();
  }
});

test.each([1, 2])('wait4 returns after the child has exited, with its status, on %i CPUs', (cpus) => {
  boot('processes', { cpus });
  const events: string[] = [];
  at('trace_syscall_enter', () => {
    if (kernel.guest.regs(kernel.argument).orig_ax === BigInt(WAIT4)) events.push(`${kernel.task.pid} waits`);
  });
  at('trace_task_exit', () => events.push(`${taskAt('rdi').pid} exits with ${kernel.register('rsi')}`));
  at('trace_syscall_leave', () => {
    const { orig_ax, ax } = kernel.guest.regs(kernel.argument);
    if (orig_ax === BigInt(WAIT4)) events.push(`${kernel.task.pid} has ${ax}`);
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(events.filter((event) => event !== '1 waits')).toEqual([
    '2 exits with 768',
    '1 has 2',
    '1 exits with 0',
  ]);
  expect(events).toContain('1 waits');
});

test("every task that has died is freed but the last, whose end is the machine's", () => {
  boot('fault');
  const [died, freed] = [new Set<number>(), new Set<number>()];
  at('trace_task_exit', () => died.add(taskAt('rdi').pid));
  at('unwind_task_free', () => freed.add(taskAt('rdi').pid));
  expect(kernel.runToEnd()).toBe(0);
  expect(died.size).toBeGreaterThan(10);
  died.delete(1);
  expect(freed).toEqual(died);
});
