/** `unwindlab trace` of Debian unstable's Linux: the system calls of a program in it, as strace prints them, with its user stacks. */
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { program, Scratch } from '../system/run.js';
import { guest, typeAt, versioned } from './boot.js';

const KERNEL = versioned('vmlinux');
const scratch = new Scratch();
afterAll(() => scratch.remove());

test.skipIf(KERNEL === undefined)('calls, arguments, results, errors and stacks (skipped without it: make guests)', async () => {
  const output = scratch.write('calls', '');
  const pc = { kernel: KERNEL!, initrd: guest('perf-initrd'), ram: '1G', append: 'quiet' };
  const options = ['-k', '--free-running', '-o', output, '--program', program('layers')];
  const { status } = await typeAt(scratch, pc, ['layers 1', 'cat /nonexistent', 'poweroff -f'], ['trace', ...options]);
  expect(status).toBe(0);

  const lines = readFileSync(output, 'utf8').split('\n');
  const start = lines.findIndex((line) => line.includes('execve("/bin/layers"'));
  const end = lines.findIndex((line, at) => at > start && line.includes('+++ exited with 0 +++'));
  const [pid] = /^\d+/.exec(lines[start]!)!;
  const traced = lines.slice(start, end).filter((line) => line.startsWith(' >') || line.startsWith(pid));
  const calls = traced.filter((line) => line.startsWith(pid)).map((line) => line.replace(/^\d+ +(\w+).*$/, '$1'));
  // What guest-user/layers.c says of one round: 20 calls, of which the last is getpid, and 16 pages.
  expect(calls).toEqual(['execve', ...Array(19).fill('gettid'), 'getpid', 'mmap', 'munmap', 'write', 'exit_group']);
  expect(traced).toContain(`${pid}   write(1, "rounds 1: 20 calls, 16 pages\\n", 29) = 29`);
  const asked = traced.findIndex((line) => line.includes('getpid()'));
  expect(traced.slice(asked + 1, asked + 8).map((line) => /\((\w+)\+/.exec(line)?.[1])).toEqual(
    ['ask', 'inner', 'middle', 'outer', 'rounds', 'main', '_start'],
  );
  // The shell's wait is interrupted by the handler of SIGCHLD: the result is the one of the call, not what the handler begins with.
  expect(lines.some((line) => new RegExp(`^1 +(wait4\\(|<\\.\\.\\. wait4 resumed>).* = ${pid}$`).test(line))).toBe(true);
  expect(lines.some((line) => /open(at)?\(.*"\/nonexistent", O_RDONLY.*\) += -1 ENOENT \(No such file or directory\)$/.test(line))).toBe(true);
}); // biome-ignore format: a fact to a line
