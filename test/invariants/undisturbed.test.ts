/**
 * Programs that nobody disturbs, with both tracers, watched from their first system call to the power-off. Versions with a race that a run
 * as such meets (docs/races.md: D, E and H need no NMI) break what that race breaks; since v6.17 nothing is broken.
 */
import { expect, test } from 'vitest';
import { UNWIND } from '../../src/invariants/unwind.js';
import { Kernel } from '../kernel/harness.js';
import { before, from, since, type Version } from '../kernel/versions.js';

const PROGRAMS = ['recursion 40', 'broken', 'threads', 'contention', 'processes', 'syscalls', 'registers'];
const SOME = ['recursion 40', 'threads', 'syscalls'];

/** Ids of what a run breaks. */
function broken(version: Version, program: string, cpus: number, tracers: string): string[] {
  const commandLine = `trace=${tracers} perf.period=20000`;
  const kernel = new Kernel(program, { version, cpus, commandLine });
  try {
    const monitor = UNWIND.attach(kernel.machine);
    expect(kernel.runToEnd()).toBe(0);
    return monitor.violations.map(({ id }) => id).sort();
  } finally {
    kernel.close();
  }
}

type Case = [version: Version, program: string, cpus: number];
const cases = (versions: readonly Version[], programs: readonly string[], cpus: readonly number[]): Case[] =>
  versions.flatMap((version) =>
    programs.flatMap((program) => cpus.map((count): Case => [version, program, count])),
  );

test.each(cases(since('v6.17'), PROGRAMS, [1, 2]))(
  '%s breaks nothing: %s, %i CPUs',
  (version, program, cpus) => {
    expect(broken(version, program, cpus, 'perf,ftrace')).toEqual([]);
  },
);

test.each(cases(from('v13-08', 'v13-10'), SOME, [2]))(
  '%s has race H: %s, %i CPUs',
  (version, program, cpus) => {
    expect(broken(version, program, cpus, 'perf,ftrace')).toEqual(['trace-of-entry']);
  },
);

test.each(cases(before('v13-08'), SOME, [2]))(
  '%s has races D, E and H: %s, %i CPUs',
  (version, program, cpus) => {
    const ids = broken(version, program, cpus, 'perf,ftrace');
    expect(ids).toEqual(expect.arrayContaining(['asked', 'trace-of-entry']));
    expect(['asked', 'once', 'trace-of-entry']).toEqual(expect.arrayContaining(ids));
  },
);

test.each(before('v13-08'))('%s has race H only, where one tracer asks at system calls', (version) => {
  expect(broken(version, 'syscalls', 1, 'ftrace')).toEqual(['trace-of-entry']);
});
