/** Race G by the clock: a callback that sleeps (`ftrace.sleep`), and what it costs the other tasks on their way out. */
import { afterEach, describe, expect, test } from 'vitest';
import type { FtraceRecord } from '../../src/trace/ftrace-record.js';
import { bannerOf, Kernel } from './harness.js';
import { before, since, type Version } from './versions.js';

const GETPID = 39;
/** Nanoseconds; a hundred times what a way out costs. */
const SLEEP = 1_000_000;

let kernel: Kernel;
afterEach(() => kernel.close());

/** Of each marked call of the two threads: nanoseconds from its end to its stack, on CPUs of their own, as `ftrace` recorded them. */
function waysOut(version: Version, sleep: number): number[] {
  kernel = new Kernel('threads', {
    version,
    cpus: 2,
    turn: 100,
    commandLine: `trace=ftrace ftrace.sleep=${sleep}`,
  });
  expect(kernel.runToEnd()).toBe(0);
  expect(kernel.console).toBe(`${bannerOf(version)}first 5 second 9\n`);
  const left = new Map<number, FtraceRecord>();
  return kernel.samples.ftrace.flatMap((record) => {
    if (record.type === 'sys_exit' && record.nr === GETPID) left.set(record.tid, record);
    const exit = left.get(record.tid);
    if (record.type !== 'user_unwind_stack' || exit?.cookie !== record.cookie) return [];
    left.delete(record.tid);
    return [Number(record.time - exit.time)];
  });
}

describe('race G, one sleeps and all wait', () => {
  test.each(before('v13-10'))(
    '%s has it: a task sleeps as long as the others that are before it',
    (version) => {
      const ways = waysOut(version, SLEEP);
      expect(ways).toHaveLength(9);
      expect(Math.min(...ways)).toBeGreaterThanOrEqual(SLEEP);
      expect(Math.max(...ways)).toBeGreaterThanOrEqual(2 * SLEEP);
    },
  );

  test.each(since('v13-10'))('%s: each task sleeps for itself', (version) => {
    const ways = waysOut(version, SLEEP);
    expect(ways).toHaveLength(9);
    expect(Math.min(...ways)).toBeGreaterThanOrEqual(SLEEP);
    expect(Math.max(...ways)).toBeLessThan(1.05 * SLEEP);
  });
});

test('without the word the callback does not sleep', () => {
  expect(Math.max(...waysOut('v13-06', 0))).toBeLessThan(SLEEP / 100);
});
