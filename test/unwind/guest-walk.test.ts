/**
 * The host's walk against the guest's: every user stack that the kernel delivers, for every program that states its stacks, on
 * one CPU and on two. The kernel walks in assembly and its tracers write what it found; the host walks the same
 * registers and memory by `walkFramePointers` when the record is committed, and both are held against what the program
 * states about itself.
 */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { UserAddr } from '../../emu/memory/address.js';
import { RunningKernel } from '../../src/lab/kernel.js';
import { openGuest } from '../../src/lab/open.js';
import { runToEnd } from '../../src/lab/run.js';
import type { FtraceEnter } from '../../src/trace/ftrace-record.js';
import { syscallName } from '../../src/trace/syscall-names.js';
import { type ReadWord, UNWIND_MAX_ENTRIES, type Walk, walkFramePointers } from '../../src/unwind/walk.js';
import { type StatedRun, statedRuns, withinLimit } from '../guest-user/stated.js';

const KERNEL = 'build/kernel.elf';
const BUDGET = 400_000_000;
const PAGE = 4096;
const END_OF_INPUT = '\x04';

/** A stack as the kernel delivered it and as the host found it at that moment. */
interface Pair {
  readonly tid: number;
  readonly cookie: bigint;
  readonly guest: readonly bigint[];
  readonly host: Walk;
}

interface Observed {
  readonly pairs: readonly Pair[];
  readonly enters: readonly FtraceEnter[];
  readonly nameOf: (ip: bigint) => string;
}

/** Words of memory that stands still, so that each page is read once. */
function wordsOf(readPage: (page: UserAddr) => Uint8Array | undefined): ReadWord {
  const pages = new Map<bigint, DataView | undefined>();
  return (address) => {
    const offset = address % BigInt(PAGE);
    const page = (address - offset) as UserAddr;
    if (!pages.has(page)) {
      const bytes = readPage(page);
      pages.set(page, bytes && new DataView(bytes.buffer, bytes.byteOffset, PAGE));
    }
    return pages.get(page)?.getBigUint64(Number(offset), true);
  };
}

async function observe(run: StatedRun, cpus: number): Promise<Observed> {
  const modules = [`build/user/${run.image}.elf,${run.arguments.join(' ')}`];
  const commandLine = 'trace=perf,ftrace perf.period=50000';
  const loaded = openGuest({ image: KERNEL, modules, commandLine }, { cpus, console: () => {} });
  const { machine } = loaded;
  const kernel = new RunningKernel(machine);
  const pairs: Pair[] = [];
  const enters: FtraceEnter[] = [];

  /** The record was written by the task that it tells of, which is still inside of the callback. */
  const pair = (tid: number, cookie: bigint, guest: readonly bigint[]): void => {
    const tasks = machine.cpus.map(({ index }) => kernel.guest.currentTask(index));
    const task = tasks.find(({ pid }) => pid === tid)!;
    const read = wordsOf((page) => kernel.readUser(task.cr3, page, PAGE));
    // An exiting task has no memory left when its last work runs: this version delivers an empty stack then.
    if (task.mm === 0n) expect(guest).toEqual([]);
    else pairs.push({ tid, cookie, guest, host: walkFramePointers(kernel.guest.walkRegs(task), read) });
  };
  kernel.tap({
    perf: (record) => {
      if (record.type === 'deferred') pair(record.tid, record.cookie, record.ips);
    },
    ftrace: (record) => {
      if (record.type === 'user_unwind_stack') pair(record.tid, record.cookie, record.ips);
      if (record.type === 'sys_enter') enters.push(record);
    },
  });
  machine.input(Buffer.from(run.input + END_OF_INPUT));
  const outcome = await runToEnd(machine, { budget: BUDGET });
  expect(['poweroff', 'debug-exit']).toContain(outcome.kind);
  machine.close();
  const symbols = loaded.program(run.image)!.symbols;
  return { pairs, enters, nameOf: (ip) => symbols.resolve(ip)?.name ?? `0x${ip.toString(16)}` };
}

const missing = existsSync(KERNEL) ? '' : ' (skipped: build/kernel.elf is not there, make builds it)';

describe.skipIf(missing)(`host and guest find the same user stacks${missing}`, () => {
  const rows = statedRuns().flatMap((run) =>
    [1, 2].map((cpus) => ({ name: `${run.image} ${run.arguments.join(' ')}, ${cpus} CPU`, run, cpus })),
  );

  test.each(rows)('$name', async ({ run, cpus }) => {
    const { pairs, enters, nameOf } = await observe(run, cpus);
    for (const { guest, host } of pairs) expect(host.entries).toEqual(guest);

    for (const stated of run.stacks) {
      const { syscall, argument, entries, ends } = withinLimit(stated, UNWIND_MAX_ENTRIES);
      const calls = enters.filter(({ nr, args }) => syscallName(nr).name === syscall && args[0] === argument);
      expect(calls.length, `${syscall}(${argument}) is called`).toBeGreaterThan(0);
      for (const call of calls) {
        const found = pairs.filter(({ tid, cookie }) => tid === call.tid && cookie === call.cookie);
        expect(found.length, `a stack for cookie 0x${call.cookie.toString(16)}`).toBeGreaterThan(0);
        for (const { guest, host } of found) {
          const names = guest.map((ip, index) =>
            entries[index]?.startsWith('0x') ? `0x${ip.toString(16)}` : nameOf(ip),
          );
          expect(names.slice(0, ends === undefined ? entries.length : undefined)).toEqual(entries);
          if (ends !== undefined) expect(host.end).toBe(ends);
        }
      }
    }
  });
});
