/** Task works: the lock-free list and its order. guest-kernel/entry/task_work.S, Linux kernel/task_work.c */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { int, Kernel, returned } from './harness.js';

const TWA_NONE = 0n;
const TWA_RESUME = 1n;
const ESRCH = -3;

let kernel: Kernel;
/** The works whose functions have been called, in this order. */
let calls: bigint[];

beforeEach(() => start('roundtrip 20'));
afterEach(() => kernel.close());

function start(command: string, commandLine = ''): void {
  kernel?.close();
  kernel = new Kernel(command, { commandLine });
  calls = [];
  kernel.watch(kernel.callback, () => {
    calls.push(kernel.argument);
    return false;
  });
}

function newWork(): bigint {
  const work = kernel.alloc(16);
  kernel.write64(work + BigInt(kernel.constant('CALLBACK_func')), kernel.callback);
  return work;
}
const newWorks = (count: number): bigint[] => Array.from({ length: count }, newWork);
const add = (work: bigint, mode = TWA_RESUME): number =>
  int(kernel.call('task_work_add', kernel.task.address, work, mode));
const cancel = (work: bigint): number => int(kernel.call('task_work_cancel', kernel.task.address, work));
const notified = (): boolean => (kernel.task.tiFlags & kernel.constant('_TIF_NOTIFY_RESUME')) !== 0;

/** The works that wait, as the list links them. */
function queued(): bigint[] {
  const works: bigint[] = [];
  for (let work = kernel.task.taskWorks; work !== 0n; work = kernel.read64(work)) {
    if (works.includes(work)) throw new Error('expected a list with an end, found a loop');
    works.push(work);
  }
  return works;
}

describe('task_work_add', () => {
  test('pushes in front, tells the task, and returns 0', () => {
    const [a, b, c] = newWorks(3);
    expect([a!, b!, c!].map((work) => add(work))).toEqual([0, 0, 0]);
    expect(queued()).toEqual([c, b, a]);
    expect(notified()).toBe(true);
  });

  test('with TWA_NONE tells nobody: the work waits for another reason to run', () => {
    const [silent, loud] = newWorks(2);
    add(silent!, TWA_NONE);
    expect(notified()).toBe(false);
    kernel.runToUser();
    expect(calls).toEqual([]);
    kernel.runTo('trace_syscall_enter');
    add(loud!);
    kernel.runToUser();
    expect(calls).toEqual([loud, silent]);
  });

  test('is refused with -ESRCH once an exiting task has run its works for the last time', () => {
    const [work] = newWorks(1);
    kernel.runTo('trace_task_exit');
    expect(kernel.task.taskWorks).toBe(kernel.address('work_exited'));
    expect(add(work!)).toBe(ESRCH);
    expect(notified()).toBe(false);
    expect(kernel.runToEnd()).toBe(0);
    expect(calls).toEqual([]);
  });
});

describe('task_work_run', () => {
  test('calls the newest first, each once, before user code resumes', () => {
    const [a, b, c] = newWorks(3);
    for (const work of [a!, b!, c!]) add(work);
    kernel.runToUser();
    expect(calls).toEqual([c, b, a]);
    expect([queued(), notified()]).toEqual([[], false]);
  });

  test('has read what comes next before the call: a work may be added again in its own function', () => {
    const [a, b] = newWorks(2);
    for (const work of [a!, b!]) add(work);
    const unwatch = kernel.watch(kernel.callback, () => true);
    kernel.run();
    unwatch();
    expect(kernel.argument).toBe(b);
    add(b!);
    kernel.runToUser();
    expect(calls).toEqual([b, a, b]);
  });

  test('calls what was added in the meantime after all that was there, in the same exit', () => {
    const [a, b, late] = newWorks(3);
    for (const work of [a!, b!]) add(work);
    const unwatch = kernel.watch(kernel.callback, () => true);
    kernel.run();
    unwatch();
    add(late!);
    kernel.runToUser();
    expect(calls).toEqual([b, a, late]);
  });

  test('is the last act of an exiting task: works that wait are called', () => {
    const [a, b] = newWorks(2);
    kernel.runTo('do_exit');
    for (const work of [a!, b!]) add(work);
    expect(kernel.runToEnd()).toBe(0);
    expect(calls).toEqual([b, a]);
  });
});

describe('task_work_cancel', () => {
  test.each([
    ['first', 2, [1, 0]],
    ['middle', 1, [2, 0]],
    ['last', 0, [2, 1]],
  ])('takes the %s one out and leaves the others', (_which, index, left) => {
    const works = newWorks(3);
    for (const work of works) add(work);
    expect(cancel(works[index]!)).toBe(1);
    expect(cancel(works[index]!)).toBe(0);
    kernel.runToUser();
    expect(calls).toEqual(left.map((i) => works[i]));
  });

  test('returns 0 for a work that is not queued, on an empty list and on a closed one', () => {
    const [a, b] = newWorks(2);
    expect(cancel(a!)).toBe(0);
    add(b!);
    expect(cancel(a!)).toBe(0);
    kernel.runTo('trace_task_exit');
    expect(cancel(a!)).toBe(0);
  });
});

/** An NMI at each instruction boundary of a routine, and in it another work is added. */
describe('an NMI that adds a work', () => {
  function nmiAdds(work: bigint): void {
    kernel.nmi();
    kernel.runTo('perf_nmi');
    expect(add(work)).toBe(0);
  }

  test('at each instruction of task_work_add leaves both queued', () => {
    const [mine, other] = newWorks(2);
    const { address } = kernel.task;
    const finish = kernel.enter('task_work_add', address, mine!, TWA_RESUME);
    const { boundaries } = kernel.sweep(returned(kernel), () => {
      nmiAdds(other!);
      expect(finish()).toBe(0n);
      expect(queued().sort()).toEqual([mine, other].sort());
      kernel.runToUser();
      expect(calls.splice(0).sort()).toEqual([mine, other].sort());
    });
    expect(boundaries).toBeGreaterThan(10);
  });

  test('at each instruction of task_work_cancel is not undone by it', () => {
    const [a, b, c, other] = newWorks(4);
    for (const work of [a!, b!, c!]) add(work);
    const { address } = kernel.task;
    const finish = kernel.enter('task_work_cancel', address, b!);
    const { boundaries } = kernel.sweep(returned(kernel), () => {
      nmiAdds(other!);
      expect(finish()).toBe(1n);
      expect(queued()).toEqual([other, c, a]);
    });
    expect(boundaries).toBeGreaterThan(20);
  });

  test('at each instruction of task_work_run is run by it or by the next pass of the exit loop', () => {
    const [a, b, other] = newWorks(3);
    for (const work of [a!, b!]) add(work);
    kernel.runTo('task_work_run.begin');
    const { boundaries } = kernel.sweep(returned(kernel), () => {
      const before = calls.length;
      nmiAdds(other!);
      kernel.runToUser();
      expect(calls.filter((work) => work === other)).toHaveLength(1);
      expect(calls.slice(before).filter((work) => work === a).length).toBeLessThanOrEqual(1);
      expect([queued(), notified()]).toEqual([[], false]);
      calls.length = before;
    });
    expect(calls).toEqual([b, a]);
    expect(boundaries).toBeGreaterThan(30);
  });
});
