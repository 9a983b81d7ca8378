/**
 * Linux's own deferred unwinding, watched from outside while the perf of the same version samples in it, by timer interrupts and by the NMIs of
 * its performance counters: what the machine has seen of requests, cookies and callbacks is what perf has written down, one for one.
 */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { CallbackEvent, RequestEvent } from '../../src/trace/deferred.js';
import { program, Scratch } from '../system/run.js';
import { answer, BRIEF, guest, typeAt, versioned } from './boot.js';

const KERNEL = versioned('vmlinux');
const scratch = new Scratch();
afterAll(() => scratch.remove());

/** As JSON has it: addresses and cookies are text. */
type Read<T> = { readonly [Key in keyof T]: T[Key] extends bigint ? string : T[Key] };
type Event = Read<RequestEvent> | Read<CallbackEvent>;

/** Numbers without 0x and zeros before them, as perf prints them. */
const digits = (word: unknown): string => String(word).replace(/^0x0*/, '');

/** What `perf script --no-merge-callchains` prints, event by event. */
function printedBy(perf: string): { cookies: string[]; records: string[] } {
  const events = perf.trim().split('\n\n');
  const record = events.filter((text) => text.includes('DEFERRED CALLCHAIN'));
  return {
    cookies: events.flatMap(
      (text) => /^ +([0-9a-f]+) \(cookie\)/m.exec(text.replaceAll('\t', ''))?.[1] ?? [],
    ),
    records: record.map((text) => {
      const [head = '', ...frames] = text.split('\n');
      const [, tid, cookie] = /^\S+ +(\d+) .*\[cookie: ([0-9a-f]+)\]/.exec(head)!;
      return [tid, cookie, ...frames.map((line) => line.trim().split(' ')[0])].join(' ');
    }),
  };
}

/** Requests that gave a cookie, and callbacks, in the same words. */
function seenFrom(outside: readonly Event[]): { cookies: string[]; records: string[] } {
  return {
    cookies: outside.flatMap((event) =>
      event.kind === 'request' && event.returned >= 0 ? digits(event.cookie) : [],
    ),
    records: outside.flatMap((event) =>
      event.kind === 'callback'
        ? [event.tid, digits(event.cookie), ...event.user.map(({ ip }) => digits(ip))].join(' ')
        : [],
    ),
  };
}

const MORE: readonly [name: string, event: string, cpus: number, context: string][] = BRIEF
  ? []
  : [
      ['sampled by timer interrupts', '-e cpu-clock -F 5000', 1, 'hardirq'],
      ['sampled by NMIs', '-e cycles -c 100003', 1, 'nmi'],
    ];

describe.skipIf(KERNEL === undefined)('Linux of Debian unstable, watched (skipped without it: make guests)', () => {
  test.each<[name: string, event: string, cpus: number, context: string]>([
    ['sampled by NMIs on two CPUs', '-e cycles -c 100003', 2, 'nmi'],
    ...MORE,
  ])('%s', async (_name, event, cpus, context) => {
    const output = scratch.write('events', '');
    const pc = { kernel: KERNEL!, initrd: guest('perf-initrd'), ram: '1G', cpus, append: 'nokaslr' };
    const lines = [
      'dmesg -n 1', // or a message of the kernel falls into perf's
      'cd /tmp',
      `perf record -N -B ${event} --call-graph fp,defer -- layers 60`,
      'cd /',
      'grep NMI /proc/interrupts',
      'perf script --no-merge-callchains -i /tmp/perf.data',
      'poweroff -f',
    ];
    const options = ['--json', '-o', output, '--program', program('layers')];
    const { stdout, stderr, status } = await typeAt(scratch, pc, lines, ['deferred', ...options]);
    expect(status).toBe(0);

    const printed = printedBy(answer(stdout, 'perf script --no-merge-callchains -i /tmp/perf.data'));
    const outside = readFileSync(output, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Event);
    const seen = seenFrom(outside);
    expect(printed.cookies.length).toBeGreaterThan(50);
    expect(printed.cookies.toSorted()).toEqual(seen.cookies.toSorted());
    expect(printed.records.toSorted()).toEqual(seen.records.toSorted());

    const requests = outside.filter(({ kind }) => kind === 'request') as Read<RequestEvent>[];
    expect(new Set(requests.map((request) => request.context))).toEqual(new Set([context]));
    const nmis = answer(stdout, 'grep NMI /proc/interrupts').match(/\d+/g)!.reduce((sum, count) => sum + Number(count), 0);
    if (context === 'nmi') expect(nmis).toBeGreaterThanOrEqual(requests.length);
    else expect(nmis).toBe(0);
    expect(stderr).toMatch(/^unwindlab: \d+ requests \(0 refused\), .* 0 not delivered, 0 not asked for\n$/);
  });
}); // biome-ignore format: a step to a line
