import { describe, expect, test } from 'vitest';
import { Maps } from '../../src/trace/maps.js';
import type { PerfRecord } from '../../src/trace/perf-record.js';

const base = { at: 0, time: 0n };
const comm = (tid: number, name: string, exec = false, pid = tid): PerfRecord => ({
  type: 'comm',
  ...base,
  pid,
  tid,
  comm: name,
  exec,
});
const map = (pid: number, from: number, to: number, file: string, pgoff = 0): PerfRecord => ({
  type: 'mmap',
  ...base,
  pid,
  tid: pid,
  mode: 'user',
  address: BigInt(from),
  length: BigInt(to - from),
  pgoff: BigInt(pgoff),
  executable: true,
  file,
});
const fork = (pid: number, tid: number, ppid: number, ptid: number): PerfRecord => ({
  type: 'fork',
  ...base,
  pid,
  tid,
  ppid,
  ptid,
});

/** `image+fileOffset` of some addresses of a process. */
function images(records: readonly PerfRecord[], pid: number, ...ips: number[]): string[] {
  const maps = new Maps();
  for (const record of records) maps.apply(record);
  return ips.map((ip) => {
    const { image, fileOffset } = maps.locateUser(pid, BigInt(ip));
    return image === undefined ? '-' : `${image}+${fileOffset?.toString(16)}`;
  });
}

describe('which image is where', () => {
  test.each([
    [
      'inside, at both ends and outside',
      [map(1, 0x1000, 0x3000, 'a', 0x100)],
      1,
      [0xfff, 0x1000, 0x2fff, 0x3000],
      ['-', 'a+100', 'a+20ff', '-'],
    ],
    ['another process', [map(1, 0x1000, 0x3000, 'a')], 2, [0x1000], ['-']],
    ['a new process inherits', [map(1, 0x1000, 0x3000, 'a'), fork(2, 2, 1, 1)], 2, [0x1000], ['a+0']],
    [
      'and its own mappings are its own',
      [map(1, 0x1000, 0x3000, 'a'), fork(2, 2, 1, 1), map(2, 0x5000, 0x6000, 'b')],
      1,
      [0x5000],
      ['-'],
    ],
    ['a thread changes nothing', [map(1, 0x1000, 0x3000, 'a'), fork(1, 2, 1, 1)], 1, [0x1000], ['a+0']],
    ['execve empties', [map(1, 0x1000, 0x3000, 'a'), comm(1, 'b', true)], 1, [0x1000], ['-']],
    ['a new name alone does not', [map(1, 0x1000, 0x3000, 'a'), comm(1, 'b')], 1, [0x1000], ['a+0']],
    [
      'a later mapping replaces the middle',
      [map(1, 0x1000, 0x4000, 'a'), map(1, 0x2000, 0x3000, 'b')],
      1,
      [0x1fff, 0x2000, 0x3000],
      ['a+fff', 'b+0', 'a+2000'],
    ],
  ] as const)('%s', (_, records, pid, ips, expected) => {
    expect(images([...records], pid, ...ips)).toEqual(expected);
  });

  test('data and the kernel are no images of the process', () => {
    const data = { ...map(1, 0x1000, 0x2000, 'a'), executable: false } as PerfRecord;
    const kernel = { ...map(1, 0x1000, 0x2000, 'k'), mode: 'kernel' } as PerfRecord;
    expect(images([data, kernel], 1, 0x1000)).toEqual(['-']);
  });
});

test('names of threads', () => {
  const maps = new Maps();
  expect(maps.comm(5)).toBe(':5');
  maps.apply(comm(5, 'parent'));
  maps.apply(fork(5, 6, 5, 5));
  maps.apply(comm(5, 'renamed'));
  expect([maps.comm(5), maps.comm(6)]).toEqual(['renamed', 'parent']);
});

test('symbols come from the image that is mapped, and the kernel has its own', () => {
  const symbols = (name: string) => ({ resolve: (address: bigint) => ({ name, offset: address & 0xffn }) });
  const maps = new Maps({
    kernel: symbols('k'),
    symbolsOf: (image) => (image === 'a' ? symbols('u') : undefined),
  });
  maps.apply(map(1, 0x1000, 0x2000, 'a'));
  maps.apply(map(1, 0x2000, 0x3000, 'unknown'));
  expect(maps.locateUser(1, 0x1012n)).toEqual({
    ip: 0x1012n,
    image: 'a',
    fileOffset: 0x12n,
    symbol: 'u',
    symbolOffset: 0x12n,
  });
  expect(maps.locateUser(1, 0x2012n)).toEqual({ ip: 0x2012n, image: 'unknown', fileOffset: 0x12n });
  expect(maps.locateKernel(0xffff_ffff_8100_0001n)).toEqual({
    ip: 0xffff_ffff_8100_0001n,
    image: '[kernel.kallsyms]',
    symbol: 'k',
    symbolOffset: 1n,
  });
});
