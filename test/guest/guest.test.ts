import { expect, test } from 'vitest';
import type { KernelAddr } from '../../emu/memory/address.js';
import { Guest } from '../../src/guest/guest.js';
import { isUserMode, PT_REGS, resultOf, syscallOf } from '../../src/guest/pt-regs.js';
import { GuestError } from '../../src/guest/reader.js';
import { SyntheticGuest } from './synthetic.js';

const TASK = 0xffff_ffff_8110_0000n;
const STACK = 0xffff_8880_0020_0000n;
const CACHE = 0xffff_8880_0030_0000n;
const TEMPLATE = 0xffff_ffff_8120_0000n;
const TABLE = 0xffff_ffff_8130_0000n;

/** CPU 1 runs a thread of process 7. */
function guestWithTask(version = 'v13-06'): { memory: SyntheticGuest; guest: Guest } {
  const memory = new SyntheticGuest(version);
  memory.symbols
    .set('__per_cpu_offset', TABLE)
    .set('current_task', TEMPLATE + 8n)
    .set('kernel_version', TABLE + 64n);
  memory.word(TABLE, 0x1000n);
  memory.word(TABLE + 8n, 0x2000n);
  memory.write(TABLE + 64n, Buffer.from(`${version}\0`));
  memory.word(TEMPLATE + 8n + 0x2000n, TASK);
  memory.zero(TASK, memory.constants.get('TASK_SIZE')!);
  memory.field(TASK, 'TASK_stack', STACK);
  memory.field(TASK, 'TASK_pid', 9n, 4);
  memory.field(TASK, 'TASK_tgid', 7n, 4);
  memory.field(TASK, 'TASK_flags', 0x4n, 4);
  memory.field(TASK, 'TASK_exit_code', -5n, 4);
  memory.field(TASK, 'TASK_cr3', 0x30_0000n);
  memory.write(TASK + memory.constants.get('TASK_comm')!, Buffer.from('worker'));
  return { memory, guest: new Guest(memory, memory) };
}

test('the current task of a CPU', () => {
  const { guest } = guestWithTask();
  expect(guest.version).toBe('v13-06');
  expect(guest.currentTask(1)).toMatchObject({
    address: TASK,
    pid: 9,
    tgid: 7,
    comm: 'worker',
    exiting: true,
    kthread: false,
    exitCode: -5,
    cr3: 0x30_0000,
    regs: STACK + 16384n - 168n,
  });
});

test('pt_regs: 21 words in their order, the system call and its result', () => {
  const { memory, guest } = guestWithTask();
  const { regs: address } = guest.task(TASK as KernelAddr);
  for (const index of PT_REGS.keys()) memory.word(address + BigInt(8 * index), BigInt(index));
  memory.field(address, 'PT_orig_ax', 202n);
  memory.field(address, 'PT_ax', -14n);
  memory.field(address, 'PT_cs', 0x33n);
  const regs = guest.regs(address);
  expect(PT_REGS.length).toBe(21);
  expect(regs).toMatchObject({ r15: 0n, bp: 4n, bx: 5n, ip: 16n, flags: 18n, sp: 19n, ss: 20n });
  expect(syscallOf(regs)).toEqual({ nr: 202, args: [14n, 13n, 12n, 7n, 9n, 8n] });
  expect(resultOf(regs)).toBe(-14n);
  expect(isUserMode(regs)).toBe(true);
  expect(guest.walkRegs(guest.task(TASK as KernelAddr))).toEqual({
    ip: 16n,
    sp: 19n,
    fp: 4n,
    userMode: true,
    kthread: false,
    wordSize: 8,
  });
});

test('unwind_info without and with a cache', () => {
  const { memory, guest } = guestWithTask();
  const info = TASK + memory.constants.get('TASK_unwind_info')!;
  memory.field(info, 'UNWIND_INFO_id', 0x5_0000_0002n);
  expect(guest.unwindInfo(TASK as KernelAddr)).toEqual({
    pending: false,
    cookie: 0x5_0000_0002n,
    id: { cpu: 2, cnt: 5 },
  });
  memory.field(info, 'UNWIND_INFO_pending', 1n, 4);
  memory.field(info, 'UNWIND_INFO_cache', CACHE);
  memory.zero(CACHE, 4096n);
  memory.word(CACHE, 2n);
  memory.word(CACHE + 8n, 0x401000n);
  memory.word(CACHE + 16n, 0x402000n);
  expect(guest.unwindInfo(TASK as KernelAddr)).toMatchObject({
    pending: true,
    cache: { address: CACHE, nr: 2, entries: [0x401000n, 0x402000n] },
  });
});

test.each([
  ['v13-06', {}],
  ['v13-07', {}],
  ['v13-08', { mask: 0x8000_0000_0000_0005n }],
])('unwind_info of %s: pending is a word of its own', (version, mask) => {
  const { memory, guest } = guestWithTask(version);
  const info = TASK + memory.constants.get('TASK_unwind_info')!;
  if (memory.constants.has('UNWIND_INFO_mask'))
    memory.field(info, 'UNWIND_INFO_mask', 0x8000_0000_0000_0005n);
  const rest = { cookie: 0n, id: { cpu: 0, cnt: 0 }, ...mask };
  expect(guest.unwindInfo(TASK as KernelAddr)).toEqual({ pending: false, ...rest });
  memory.field(info, 'UNWIND_INFO_pending', 1n);
  expect(guest.unwindInfo(TASK as KernelAddr)).toEqual({ pending: true, ...rest });
});

test.each([
  ['v13-10', 0x8000_0000_0000_0000n],
  ['v6.17', 1n],
  ['v6.19', 1n],
])('unwind_info of %s: pending is a bit of the mask', (version, bit) => {
  const { memory, guest } = guestWithTask(version);
  const info = TASK + memory.constants.get('TASK_unwind_info')!;
  for (const [mask, pending] of [
    [~bit, false],
    [bit, true],
  ] as const) {
    memory.field(info, 'UNWIND_INFO_mask', mask);
    expect(guest.unwindInfo(TASK as KernelAddr)).toMatchObject({
      pending,
      mask: BigInt.asUintN(64, mask),
    });
  }
});

test('the cache from v6.17 on: who has been called, and one entry less', () => {
  const { memory, guest } = guestWithTask('v6.17');
  memory.field(TASK + memory.constants.get('TASK_unwind_info')!, 'UNWIND_INFO_cache', CACHE);
  memory.zero(CACHE, 4096n);
  memory.field(CACHE, 'UNWIND_CACHE_completed', 0x4n);
  memory.field(CACHE, 'UNWIND_CACHE_nr_entries', 600n);
  memory.word(CACHE + 16n, 0x401000n);
  const { cache } = guest.unwindInfo(TASK as KernelAddr);
  expect(cache).toMatchObject({ address: CACHE, nr: 600, completed: 4n });
  expect(cache!.entries).toHaveLength(510);
  expect(cache!.entries[0]).toBe(0x401000n);
});

test('a foreign kernel is told in one sentence that names the symbol', () => {
  const memory = new SyntheticGuest();
  const guest = new Guest(memory, memory);
  expect(() => guest.currentTask(0)).toThrow(
    new GuestError(
      'expected the kernel image to define the symbol __per_cpu_offset, found no such symbol: this is not an unwindlab kernel',
    ),
  );
  memory.constants.delete('TASK_SIZE');
  expect(() => guest.task(TASK as KernelAddr)).toThrow(/the constant TASK_SIZE, .* not an unwindlab kernel$/);
});

test('memory that is not there is told with its address', () => {
  const { guest } = guestWithTask();
  expect(() => guest.task(0xffff_ffff_9000_0000n as KernelAddr)).toThrow(
    'expected a task at 0xffffffff90000000, found no such memory in the guest',
  );
});
