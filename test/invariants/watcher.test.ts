/** What the watcher makes of single sights: a watch that begins late, cancelled tracers, tasks that sleep, going back, end states. */
import { afterEach, describe, expect, it, test } from 'vitest';
import { Machine } from '../../emu/machine.js';
import { History } from '../../src/invariants/history.js';
import { UNWIND } from '../../src/invariants/unwind.js';
import type { Monitor } from '../../src/sweep/monitor.js';
import { inUserMode, Kernel, newTracer, Tracer } from '../kernel/harness.js';
import { before, since, VERSIONS, type Version } from '../kernel/versions.js';
import { sweep } from './sweeps.js';

let kernel: Kernel;
afterEach(() => kernel?.close());

const TRACED = 'trace=perf,ftrace perf.source=nmi perf.period=2000000000';

function boot(version: Version = 'v6.19', command = 'roundtrip 20', commandLine = ''): Kernel {
  kernel = new Kernel(command, { version, commandLine });
  return kernel;
}
const broken = ({ violations }: Monitor): string[] => violations.map(({ id }) => id);

/** To the first instruction in user mode, which is looked at before it executes, and over it. */
function throughUser(): void {
  kernel.runToUser();
  kernel.step();
}

test('it fits every kernel of this project, and says so by a name', () => {
  boot();
  expect(UNWIND.name).toBe('unwind');
  expect(UNWIND.fits(kernel.machine)).toBe(true);
});

describe('a watch that begins in the middle of an entry', () => {
  const PLACES = [
    'entry_SYSCALL_64', 'syscall_entry.end', 'unwind_deferred_request', 'get_cookie', 'task_work_add', 'syscall_exit.begin',
    'exit_to_user_loop', 'task_work_run', 'process_unwind_deferred', 'unwind_user_faultable', 'unwind_reset_info',
  ]; // biome-ignore format: a list
  it.each(PLACES)('from %s on, at each of its instructions: nothing is broken', (place) => {
    boot('v6.19', 'roundtrip 20', TRACED);
    kernel.runTo(place);
    for (let step = 0; step < 40; step++) kernel.step();
    const monitor = UNWIND.attach(kernel.machine);
    for (let entry = 0; entry < 3; entry++) kernel.nextEntry();
    expect(monitor.violations).toEqual([]);
    expect(monitor.settled()).toBe(true);
  });

  it.each(VERSIONS)('%s: a tracer that asked before it may be called', (version) => {
    const tracer = newTracer(boot(version));
    tracer.request();
    const monitor = UNWIND.attach(kernel.machine);
    throughUser();
    expect(broken(monitor)).toEqual([]);
    expect(tracer.callbacks).toHaveLength(1);
  });

  it('what was asked before is told from what is asked now', () => {
    boot();
    const [early, late] = [newTracer(kernel), newTracer(kernel)];
    early.request();
    kernel.runTo('unwind_reset_info');
    const monitor = UNWIND.attach(kernel.machine);
    expect(early.request().result).toBe(1);
    expect(monitor.settled()).toBe(true);
    expect(late.request().result).toBe(0);
    expect(monitor.settled()).toBe(false);
    throughUser();
    expect(broken(monitor)).toEqual(['answered', 'no-work-in-user']); // race I, which v6.19 has
  });
});

describe('race L is found, and its form with two NMIs', () => {
  const window = { from: 'unwind_reset_info', to: undefined, occurrence: 3 } as const;
  const guest = { version: 'v6.19', program: 'roundtrip,20', commandLine: TRACED };

  it('one NMI: a callback with the cookie 0', async () => {
    const { breaches, struckIn } = await sweep(guest, window);
    expect(breaches.map(({ ids }) => ids)).toEqual([['cookie-not-zero']]);
    expect(struckIn(breaches[0]!)).toBe('unwind_reset_info');
  });

  it('two NMIs: a callback with the cookie that the second one was told', async () => {
    const { breaches } = await sweep(guest, { ...window, depth: 2 });
    expect(breaches.map(({ ids }) => ids).sort()).toEqual([['cookie-names-entry'], ['cookie-not-zero']]);
  });
});

describe('what the other races of the history break, by an NMI at every boundary', () => {
  const NMI_ALONE = 'trace=perf perf.source=nmi perf.period=2000000000';
  const exit = { from: 'syscall_exit.begin', to: 'user', occurrence: 3 } as const;
  const ids = async (version: Version, commandLine: string, question: Parameters<typeof sweep>[1]) =>
    (await sweep({ version, program: 'roundtrip,20', commandLine }, question)).breaches.map((breach) =>
      breach.ids.join(' '),
    );

  it('A, in v13-06: the refusal warns', async () => {
    expect(await ids('v13-06', NMI_ALONE, exit)).toEqual(['no-splat']);
  });
  it('B, in v13-06-nmi: the list of works becomes a loop', async () => {
    const request = { from: 'unwind_deferred_request', to: undefined, occurrence: 3 } as const;
    expect(await ids('v13-06-nmi', TRACED, request)).toContain('exit-reached lists no-splat');
    expect(await ids('v13-07', TRACED, request)).toEqual(['asked']); // race D; the list stays whole
  });
  it.each(since('v13-06-nmi').filter((version) => !since('v6.19').includes(version)))(
    'J, in %s: user code runs with work pending',
    async (version) => {
      expect(await ids(version, NMI_ALONE, exit)).toEqual(['answered no-work-in-user']);
    },
  );
  it('v6.19 has mended J', async () => {
    expect(await ids('v6.19', NMI_ALONE, exit)).toEqual([]);
  });
});

test.each(before('v13-08'))('%s: a cancelled tracer that is called is found', (version) => {
  const [gone, asking] = [newTracer(boot(version)), newTracer(kernel)];
  const monitor = UNWIND.attach(kernel.machine);
  const head = kernel.address('callbacks');
  const list = [0n, 8n].map((offset) =>
    [head, gone.work, asking.work].map((node) => kernel.read64(node + offset)),
  );
  gone.cancel();
  for (const [at, words] of list.entries())
    for (const [index, node] of [head, gone.work, asking.work].entries())
      kernel.write64(node + BigInt(8 * at), words[index]!); // as if the cancel had not unlinked it
  asking.request();
  throughUser();
  expect(monitor.violations.map(({ sentence }) => sentence)).toEqual([
    'expected no call of a cancelled tracer after it was cancelled, found one',
    'expected no cancelled tracer on the list of callbacks, found one',
  ]);
});

describe('tracers that come and go', () => {
  it.each(since('v6.17'))('%s: the program that turns ftrace off and on breaks nothing', (version) => {
    boot(version, 'tracers', 'trace=perf,ftrace perf.period=20000');
    const monitor = UNWIND.attach(kernel.machine);
    expect(kernel.runToEnd()).toBe(0);
    expect(broken(monitor)).toEqual([]);
  });

  it('v13-10: a cancel clears the last bit of a mask, so the reset leaves the cookie to the next entry', () => {
    boot('v13-10', 'tracers', 'trace=ftrace');
    const monitor = UNWIND.attach(kernel.machine);
    expect(kernel.runToEnd()).toBe(0);
    expect(broken(monitor)).toContain('cookie-names-entry');
  });

  it.each(since('v13-10'))(
    '%s: who is given a bit after the work has read the mask is called unasked',
    (version) => {
      const gone = newTracer(boot(version));
      const next = new Tracer(kernel);
      const monitor = UNWIND.attach(kernel.machine);
      gone.request();
      kernel.runTo('srcu_read_lock');
      gone.cancel(); // as another CPU would do it
      expect(next.init()).toBe(0);
      throughUser();
      expect(next.callbacks).toHaveLength(1);
      expect(broken(monitor)).toEqual(['asked']);
    },
  );
});

describe('a request of a task that does not run', () => {
  it('is settled once its way out cannot miss it, and not before', () => {
    boot('v6.19', 'contention', TRACED);
    const monitor = UNWIND.attach(kernel.machine);
    kernel.runTo('switch_to.begin', () => !kernel.task.kthread && kernel.task.mm !== 0n);
    const { address } = kernel.task;
    kernel.nmi();
    while (kernel.task.address === address) kernel.step();
    expect(monitor.settled()).toBe(true);
    const flags = address + BigInt(kernel.constant('TASK_ti_flags'));
    kernel.write64(flags, kernel.read64(flags) & ~BigInt(kernel.constant('_TIF_NOTIFY_RESUME')));
    expect(monitor.settled()).toBe(false); // race K
  });
});

describe('going back', () => {
  it('what was remembered is as it was, any number of times', () => {
    const [first, second] = [newTracer(boot()), newTracer(kernel)];
    const monitor = UNWIND.attach(kernel.machine);
    first.request();
    const here = kernel.snapshot();
    const state = monitor.capture();
    const ends = [0, 1, 0].map((asks) => {
      kernel.restore(here);
      monitor.reinstate(state);
      if (asks === 1) second.request();
      throughUser();
      expect(broken(monitor)).toEqual([]);
      return monitor.endState();
    });
    expect(ends[0]).toBe(ends[2]);
    expect(ends[1]).not.toBe(ends[0]);
  });

  it('a history and its copy share nothing that changes', () => {
    const history = new History();
    const start = { task: 1n, pid: 1, stackTop: 0n, registers: undefined, before: 0n, cookie: 0n };
    const entry = history.enter(start);
    entry.asks.push({ work: 1n, cookie: 1n, answered: false });
    const copy = history.clone();
    entry.asks[0]!.answered = true;
    entry.calls.push({ work: 1n, cookie: 1n });
    history.note(1n, entry);
    history.enter({ ...start, task: 2n });
    expect(copy.entries).toHaveLength(1);
    expect(copy.entries[0]!.asks[0]!.answered).toBe(false);
    expect(copy.entries[0]!.calls).toEqual([]);
    expect(copy.entryOfCookie(1n)).toBeUndefined();
  });
});

describe('end states', () => {
  it('name cookies as they appear, and neither times nor addresses', () => {
    boot('v6.19', 'roundtrip 20', TRACED);
    kernel.runTo('unwind_deferred_request');
    const monitor = UNWIND.attach(kernel.machine);
    kernel.nmi();
    throughUser();
    expect(monitor.endState()).toBe(
      'ftrace_unwound asked 1: 0 C1, asked 1: 1 C1, called 1: C1 2; perf_unwound asked 1: 0 C1, called 1: C1 2',
    );
  });
});

test('an image of another kind does not fit', () => {
  const machine = new Machine();
  try {
    expect(() => UNWIND.fits(machine)).toThrow('expected a loaded image');
  } finally {
    machine.close();
  }
});

test('what a line of the console says is read when the line ends', () => {
  boot('v13-06', 'roundtrip 20', 'trace=perf perf.source=nmi perf.period=2000000000');
  const monitor = UNWIND.attach(kernel.machine);
  kernel.nmi();
  kernel.runTo(kernel.regs.ip, inUserMode);
  expect(monitor.violations).toMatchObject([
    {
      id: 'no-splat',
      sentence:
        'expected no complaint of the kernel, found "WARNING: CPU: 0 PID: 1 at unwind_deferred_request (in_nmi)"',
      cpu: 0,
    },
  ]);
});
