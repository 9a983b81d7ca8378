/**
 * The races that the history of the mechanism is about, one directed test each: the versions that have it and those that mended
 * it. The schedules are those of the step tables: NMIs and host calls at chosen instruction boundaries. Race C, an NMI inside
 * get_cookie, is the cookie's part of race B's sweep.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { walkFramePointers } from '../../src/unwind/walk.js';
import { type BootOptions, int, inUserMode, Kernel, newTracer, returned, type Tracer } from './harness.js';
import { before, from, since, type Version } from './versions.js';

const EXIT_GROUP = 231;
const GETPID = 39;
const TWA_NMI_CURRENT = 4n;
/** Instructions; an exit loop that takes as many never ends. */
const ENDLESS = 300_000;

let kernel: Kernel;
function boot(version: Version, command = 'roundtrip 20', options?: BootOptions): Kernel {
  kernel = new Kernel(command, { ...options, version });
  return kernel;
}
afterEach(() => kernel.close());

/** Asks in an NMI at the next instruction; the CPU is left inside the NMI. */
function askInNmi(tracer: Tracer): { readonly result: number; readonly cookie: bigint } {
  kernel.nmi();
  kernel.runTo('perf_nmi');
  return tracer.request();
}

/** Steps until a CPU stands where `there` says. */
function stepTo(there: (cpu: Vcpu) => boolean): void {
  while (!there(kernel.cpu)) kernel.step();
}

const interruptsOn = ({ state }: Vcpu): boolean => (state.rflags & kernel.constant('X86_EFLAGS_IF')) !== 0;
const within = (name: string, { state }: Vcpu): boolean =>
  state.rip >= kernel.address(`${name}.begin`) && state.rip < kernel.address(`${name}.end`);
/** In the exit loop, work done, interrupts off, before the last look at the flags. */
const beforeLastLook = (cpu: Vcpu): boolean => within('exit_to_user_loop', cpu) && !interruptsOn(cpu);

type Stack = readonly bigint[];
/** The user stack of the current entry, as the host walks it. */
function hostStack(): Stack {
  const { task } = kernel;
  return walkFramePointers(kernel.guest.walkRegs(task), (address) => kernel.readUser(task.cr3, address))
    .entries;
}

/** The works of the current task. @throws Error where the list has no end */
function works(): bigint[] {
  const found: bigint[] = [];
  for (let work = kernel.task.taskWorks; work !== 0n; work = kernel.read64(work)) {
    if (found.includes(work)) throw new Error('expected a list with an end, found a loop');
    found.push(work);
  }
  return found;
}

describe('race A, samples are NMIs and NMIs are refused', () => {
  test.each(before('v13-06-nmi'))('%s has it', (version) => {
    const tracer = newTracer(boot(version));
    expect(askInNmi(tracer)).toEqual({ result: -22, cookie: 0n });
    kernel.runToUser();
    expect(tracer.callbacks).toEqual([]);
  });

  test.each(since('v13-06-nmi'))('%s grants the request, and serves it at the exit', (version) => {
    const tracer = newTracer(boot(version));
    const { ip } = kernel.regs;
    const { result, cookie } = askInNmi(tracer);
    expect(result).toBe(0);
    kernel.runToUser();
    expect(tracer.callbacks).toMatchObject([{ cookie }]);
    expect(tracer.callbacks[0]!.entries[0]).toBe(ip);
  });
});

/** An NMI asks at each instruction of a request. @returns the addresses at which the list of works became a loop */
function nmiInRequest(version: Version): { readonly loops: number; readonly boundaries: number } {
  const [mine, other] = [newTracer(boot(version)), newTracer(kernel)];
  const cookieAt = kernel.alloc(8);
  let loops = 0;
  const finish = kernel.enter('unwind_deferred_request', mine.work, cookieAt);
  const { boundaries } = kernel.sweep(returned(kernel), () => {
    const { result, cookie } = askInNmi(other);
    expect(result).toBeGreaterThanOrEqual(0);
    expect(int(finish())).toBeGreaterThanOrEqual(0);
    expect(kernel.read64(cookieAt), 'race C: one cookie').toBe(cookie);
    try {
      expect(works()).toEqual([kernel.infoField('work')]);
    } catch {
      loops++;
      expect(kernel.run(ENDLESS)).toEqual({ kind: 'budget' });
      mine.callbacks.length = other.callbacks.length = 0;
      return;
    }
    kernel.runToUser();
    for (const tracer of [mine, other]) expect(tracer.callbacks.splice(0)).toMatchObject([{ cookie }]);
  });
  return { loops, boundaries };
}

describe('race B, an NMI between the test of pending and its store queues the work twice', () => {
  test.each(from('v13-06-nmi', 'v13-06-nmi'))('%s has it: the task never leaves the kernel', (version) => {
    const { loops, boundaries } = nmiInRequest(version);
    expect(loops).toBeGreaterThan(10);
    expect(loops).toBeLessThan(boundaries);
  });

  test.each(since('v13-07'))('%s claims first: at each instruction both are called, once', (version) => {
    const { loops, boundaries } = nmiInRequest(version);
    expect(loops).toBe(0);
    expect(boundaries).toBeGreaterThan(50);
  });
});

describe('race D, everybody is called', () => {
  test.each([
    ...before('v13-08').map((version) => [version, 1] as const),
    ...since('v13-08').map((version) => [version, 0] as const),
  ])('%s calls a tracer that did not ask %i times', (version, times) => {
    const [asking, silent] = [newTracer(boot(version)), newTracer(kernel)];
    asking.request();
    kernel.runToUser();
    expect([asking.callbacks.length, silent.callbacks.length]).toEqual([1, times]);
  });
});

describe('race E, a tracer that asks on the way out, after its callback', () => {
  test.each(before('v13-10'))('%s keeps the task in the exit loop', (version) => {
    const tracer = newTracer(boot(version));
    tracer.request();
    for (let passes = 1; passes <= 20; passes++) {
      kernel.runTo('task_work_run.begin');
      stepTo(beforeLastLook);
      expect(tracer.callbacks).toHaveLength(passes);
      expect(tracer.request().result).toBe(0);
    }
  });

  test.each(since('v13-10'))('%s tells it that it was called: the task leaves', (version) => {
    const tracer = newTracer(boot(version));
    const { cookie } = tracer.request();
    kernel.runTo('task_work_run.begin');
    stepTo(beforeLastLook);
    expect(tracer.request()).toEqual({ result: version === 'v13-10' ? 2 : 1, cookie });
    kernel.runToUser();
    expect(tracer.callbacks).toHaveLength(1);
  });
});

/** In one entry: the first tracer is called, then the second asks and is called, then the first may ask once more. */
function takeTurns(asksAgain: boolean): {
  readonly first: Tracer;
  readonly second: Tracer;
  readonly result: number;
} {
  const [first, second] = [newTracer(kernel), newTracer(kernel)];
  first.request();
  kernel.runTo('task_work_run.begin');
  stepTo(beforeLastLook);
  expect(second.request().result).toBe(0);
  const result = asksAgain ? first.request().result : 0;
  kernel.runToUser();
  return { first, second, result };
}

describe('race F, a tracer is called twice because another one asked late', () => {
  test.each(from('v13-08', 'v13-10'))(
    '%s drops the bit: the first may ask, and is called, again',
    (version) => {
      boot(version);
      const { first, second, result } = takeTurns(true);
      expect(result).toBe(0);
      expect([first.callbacks.length, second.callbacks.length]).toEqual([2, 1]);
      expect(first.callbacks[1]).toEqual(first.callbacks[0]);
    },
  );

  test.each(from('v13-08', 'v13-10'))('%s does not call the first where it does not ask again', (version) => {
    boot(version);
    const { first, second } = takeTurns(false);
    expect([first.callbacks.length, second.callbacks.length]).toEqual([1, 1]);
  });

  test.each(since('v6.17'))('%s knows whom it has called', (version) => {
    boot(version);
    const { first, second, result } = takeTurns(true);
    expect(result).toBe(1);
    expect([first.callbacks.length, second.callbacks.length]).toEqual([1, 1]);
  });

  test.each(since('v6.17'))('%s has it where there is no memory for the cache', (version) => {
    boot(version);
    const refuse = kernel.watch('kzalloc', ({ state }) => {
      if (state.reg(GPR.rdi) === BigInt(kernel.constant('UNWIND_CACHE_SIZE'))) state.setReg(GPR.rdi, 8192n);
      return false;
    });
    const { first, second } = takeTurns(false);
    refuse();
    expect([first.callbacks.length, second.callbacks.length]).toEqual([2, 1]);
  });
});

describe('race H, a task exits with work pending', () => {
  function exitPending(version: Version): { readonly tracer: Tracer; readonly cookie: bigint } {
    boot(version);
    kernel.runToSyscall(EXIT_GROUP);
    const tracer = newTracer(kernel);
    const { cookie } = tracer.request();
    return { tracer, cookie };
  }

  test.each(before('v6.17'))('%s delivers an empty trace', (version) => {
    const { tracer, cookie } = exitPending(version);
    expect(kernel.runToEnd()).toBe(0);
    expect(tracer.callbacks).toEqual([{ pid: 1, cookie, entries: [] }]);
  });

  test.each(since('v6.17'))(
    '%s delivers the trace while there is memory, and cancels the work',
    (version) => {
      const { tracer, cookie } = exitPending(version);
      tracer.stops = true;
      kernel.run();
      expect(kernel.task.exiting).toBe(true);
      expect(tracer.callbacks).toEqual([{ pid: 1, cookie, entries: hostStack() }]);
      kernel.runTo('task_work_cancel.begin');
      expect(works()).toEqual([kernel.infoField('work')]);
      stepTo(returned(kernel));
      expect(works()).toEqual([]);
      expect(kernel.runToEnd()).toBe(0);
      expect(tracer.callbacks).toHaveLength(1);
    },
  );
});

describe('race I, a request after the last look at the flags, not in an NMI', () => {
  /** Two system calls in a row whose stacks differ. @returns the stack of the first and the request made in it */
  function askTooLate(version: Version): {
    readonly tracer: Tracer;
    readonly cookie: bigint;
    readonly own: Stack;
  } {
    boot(version, 'syscalls');
    const tracer = newTracer(kernel);
    const own = hostStack();
    kernel.runTo('unwind_reset_info.begin');
    const { result, cookie } = tracer.request();
    expect([result, cookie]).toEqual([0, 0x3_0000_0001n]);
    kernel.runToUser();
    expect([kernel.info.pending, tracer.callbacks.length]).toEqual([true, 0]);
    kernel.runTo('trace_syscall_enter');
    return { tracer, cookie, own };
  }

  test.each(before('v13-10'))(
    '%s loses the cookie: the next entry delivers its own stack, with none',
    (version) => {
      const { tracer, own } = askTooLate(version);
      const next = hostStack();
      expect(next).not.toEqual(own);
      kernel.runToUser();
      expect(tracer.callbacks).toEqual([{ pid: 1, cookie: 0n, entries: next }]);
    },
  );

  test.each(since('v13-10'))(
    '%s keeps the cookie: the next entry delivers its own stack with it',
    (version) => {
      const { tracer, cookie, own } = askTooLate(version);
      const next = hostStack();
      expect(next).not.toEqual(own);
      kernel.runToUser();
      expect(tracer.callbacks).toEqual([{ pid: 1, cookie, entries: next }]);
    },
  );
});

/** An NMI asks at each boundary from the last look at the flags to the first instruction of user code. */
function nmiAfterLastLook(
  version: Version,
  setUp: (tracer: Tracer) => void,
): { good: number; late: number; zero: number } {
  const tracer = newTracer(boot(version));
  const { ip } = kernel.regs;
  setUp(tracer);
  kernel.runTo('unwind_reset_info.begin');
  const asker = newTracer(kernel);
  const count = { good: 0, late: 0, zero: 0 };
  kernel.sweep(inUserMode, () => {
    const { result, cookie } = askInNmi(asker);
    expect(result).toBe(0);
    kernel.runTo(ip, inUserMode);
    kernel.step();
    const [call] = asker.callbacks.splice(0);
    if (call === undefined) {
      expect(kernel.info.pending).toBe(true);
      count.late++;
    } else if (call.cookie === cookie) {
      expect(call.entries[0]).toBe(ip);
      expect(kernel.info).toMatchObject({ pending: false, cookie: 0n });
      count.good++;
    } else {
      expect(call.cookie).toBe(0n);
      count.zero++;
    }
  });
  return count;
}

describe('race J, an NMI asks after the last look at the flags', () => {
  test.each(from('v13-06-nmi', 'v6.17'))('%s leaves the work to the next entry', (version) => {
    const { good, late } = nmiAfterLastLook(version, () => {});
    expect(good).toBe(0);
    expect(late).toBeGreaterThan(20);
  });

  test.each(since('v6.19'))('%s serves it before user code goes on', (version) => {
    const { good, late, zero } = nmiAfterLastLook(version, () => {});
    expect([late, zero]).toEqual([0, 0]);
    expect(good).toBeGreaterThan(20);
  });

  test.each(since('v6.19'))(
    '%s has race L: inside unwind_reset_info of an entry that was served, the cookie is lost',
    (version) => {
      const { good, zero } = nmiAfterLastLook(version, (tracer) => tracer.request());
      expect(zero).toBeGreaterThan(0); // between the store to the mask and that to the id
      expect(zero).toBeLessThan(5);
      expect(good).toBeGreaterThan(20);
    },
  );
});

describe('race J in user mode, where the NMI does no exit work', () => {
  function nmiInUserMode(version: Version): {
    readonly tracer: Tracer;
    readonly cookie: bigint;
    readonly rip: bigint;
  } {
    const tracer = newTracer(boot(version));
    kernel.runToUser();
    kernel.step();
    const { rip } = kernel.cpu.state;
    const { result, cookie } = askInNmi(tracer);
    expect(result).toBe(0);
    return { tracer, cookie, rip };
  }

  test.each(from('v13-06-nmi', 'v6.17'))('%s: user code goes on with the work pending', (version) => {
    const { tracer, rip } = nmiInUserMode(version);
    kernel.runTo(rip, inUserMode);
    expect([kernel.info.pending, tracer.callbacks.length]).toEqual([true, 0]);
    kernel.runTo('trace_syscall_enter');
    kernel.runToUser();
    expect(tracer.callbacks[0]!.entries[0]).not.toBe(rip);
  });

  test.each(since('v6.19'))('%s: its interrupt is taken at the first boundary', (version) => {
    const { tracer, cookie, rip } = nmiInUserMode(version);
    kernel.runTo('asm_task_work');
    expect(kernel.read64(kernel.register('rsp'))).toBe(rip); // what the CPU pushed last: no instruction was executed
    kernel.runTo(rip, inUserMode);
    expect(tracer.callbacks).toMatchObject([{ cookie }]);
    expect(tracer.callbacks[0]!.entries[0]).toBe(rip);
    expect(kernel.info).toMatchObject({ pending: false, cookie: 0n });
  });
});

describe('race K, TWA_NMI_CURRENT as the task loses its CPU', () => {
  /** In an NMI before switch_to, as every user of the mode does it. @returns how often the work had run by the task's next user instruction */
  function nmiInSchedule(version: Version): number {
    boot(version, 'processes');
    kernel.runToSyscall(GETPID);
    const work = kernel.alloc(16);
    kernel.write64(work + BigInt(kernel.constant('CALLBACK_func')), kernel.callback);
    let calls = 0;
    kernel.watch(kernel.callback, () => {
      calls += Number(kernel.argument === work);
      return false;
    });
    kernel.runTo('switch_to.begin', () => !kernel.task.kthread && kernel.task.mm !== 0n);
    const { pid, address } = kernel.task;
    const { ip } = kernel.regs;
    kernel.nmi();
    kernel.runTo('perf_nmi');
    expect(kernel.call('task_work_add', address, work, TWA_NMI_CURRENT)).toBe(0n);
    kernel.runTo(ip, (cpu) => inUserMode(cpu) && kernel.task.pid === pid);
    return calls;
  }

  test.each(before('v6.19'))('%s flags the wrong task: the work is skipped', (version) => {
    expect(nmiInSchedule(version)).toBe(0);
  });

  test.each(since('v6.19'))('%s flags the task in the NMI: the work runs', (version) => {
    expect(nmiInSchedule(version)).toBe(1);
  });
});
