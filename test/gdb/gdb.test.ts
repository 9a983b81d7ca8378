/** Debian's gdb as a user runs it, on the guest kernels. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT_STATUS } from '../../src/cli/errors.js';
import { KERNEL, program, Scratch, unwindlab } from '../system/run.js';
import { debug, hasGdb, startGdb, underGdb } from './run-gdb.js';

const NEWEST = resolve('build/kernel-v6.19.elf');
const scratch = new Scratch();
afterAll(() => scratch.remove());

/** gdb's words for the task's unwind_info and the user's registers. */
const TASK = 'set $task = *(unsigned long *)($gs_base + (unsigned long)&current_task)';
const INFO = '($task + (long)&TASK_unwind_info';
const PT_REGS = [
  'set $regs = *(unsigned long *)$task + (long)&THREAD_SIZE - (long)&PT_SIZE',
  ...['ip', 'sp', 'bp'].map((name) => `set $user_${name} = *(unsigned long *)($regs + (long)&PT_${name})`),
];
const guestOf = (kernel: string, name: string, append = 'trace=ftrace', ...more: string[]): string[] => [
  'boot',
  kernel,
  '--module',
  program(name),
  '--append',
  append,
  ...more,
];

describe.skipIf(!hasGdb)('gdb (skipped where there is no gdb)', () => {
  it.each([
    ['v13-06', KERNEL],
    ['v6.19', NEWEST],
  ])(
    'stops in unwind_deferred_request of %s and walks the kernel stack, then the user stack',
    async (_version, kernel) => {
      const { gdb, guest } = await debug(guestOf(kernel, 'deep'), kernel, [
        'break unwind_deferred_request',
        'continue',
        'backtrace',
        TASK,
        ...PT_REGS,
        `add-symbol-file ${program('deep')}`,
        'monitor snapshot',
        'set $sp = $user_sp',
        'set $rbp = $user_bp',
        'set $pc = $user_ip',
        'set backtrace past-main on',
        'backtrace',
        'monitor schedule',
        'monitor restore',
        'maintenance flush register-cache',
        'info symbol $pc',
        'delete',
        'continue',
      ]);
      expect(gdb).toMatch(/Breakpoint 1, unwind_deferred_request \(\) at guest-kernel\/unwind\/v/);
      expect(gdb).toMatch(
        /#0 {2}unwind_deferred_request [\s\S]*#1 .* in ftrace_sys_enter [\s\S]*#2 .* in entry_SYSCALL_64 /,
      );
      expect(gdb).toMatch(/#\d+ .* in main [\s\S]*#\d+ .* in _start /);
      expect(gdb).toContain('this run has no schedule: gdb has written memory or registers');
      expect(gdb).toMatch(/back at 1: [\s\S]*\nunwind_deferred_request in section \.text/);
      expect(gdb).toContain('[Inferior 1 (Remote target) exited normally]');
      expect(guest.status).toBe(0);
    },
  );

  it('watches unwind_info, and goes back to the cmpxchg in get_cookie', async () => {
    const { gdb } = await debug(guestOf(NEWEST, 'roundtrip'), NEWEST, [
      'break unwind_deferred_request',
      'continue',
      TASK,
      'delete',
      `watch *(unsigned long *)${INFO} + (long)&UNWIND_INFO_id)`,
      'continue',
      'continue',
      'continue',
      'delete',
      'break unwind_deferred_task_work',
      'reverse-continue',
      'break *(get_cookie + 22)',
      'reverse-continue',
      'x/i $pc',
      'reverse-stepi',
      'x/i $pc',
      'stepi',
      'stepi',
      'x/i $pc',
      'kill',
    ]);
    // The count first, by cmpxchg, then the CPU; both go when the task returns to user mode.
    expect(gdb).toMatch(
      /Old value = 0\nNew value = 12884901888\nget_cookie [\s\S]*Old value = 12884901888\nNew value = 12884901889\nget_cookie [\s\S]*Old value = 12884901889\nNew value = 0\nunwind_reset_info /,
    );
    expect(gdb).toMatch(/Breakpoint \d, unwind_deferred_task_work [\s\S]*Breakpoint \d, .*get_cookie/);
    expect(gdb).toMatch(
      /<get_cookie\+22>:\tlock cmpxchg [\s\S]*<get_cookie\+20>:\txor [\s\S]*<get_cookie\+27>:\tjne/,
    );
  });

  it('goes back over a watched write, and to the beginning', async () => {
    const { gdb } = await debug(guestOf(NEWEST, 'roundtrip'), NEWEST, [
      'break unwind_deferred_task_work',
      'continue',
      TASK,
      'delete',
      `watch *(unsigned long *)${INFO} + (long)&UNWIND_INFO_id)`,
      'reverse-continue',
      'x/i $pc',
      'reverse-continue',
      'x/i $pc',
      'delete',
      'reverse-continue',
      'print $cr0 == 0x11',
      'kill',
    ]);
    expect(gdb).toMatch(/Old value = 12884901889\nNew value = 12884901888\n[\s\S]*<get_cookie\+47>:\tmov/);
    expect(gdb).toMatch(/Old value = 12884901888\nNew value = 0\n[\s\S]*<get_cookie\+22>:\tlock cmpxchg/);
    expect(gdb).toMatch(/No more reverse-execution history[\s\S]*= 1\n/);
  });

  it('steps into an NMI, back out of it, and over it where that is asked for', async () => {
    const { gdb } = await debug(guestOf(NEWEST, 'roundtrip'), NEWEST, [
      'break unwind_deferred_request',
      'continue',
      'delete',
      'monitor nmi',
      'stepi',
      'info symbol $pc',
      'reverse-stepi',
      'info symbol $pc',
      'stepi',
      'stepi',
      'monitor schedule',
      'reverse-stepi',
      'reverse-stepi',
      'monitor hide-nmi on',
      'stepi',
      'info symbol $pc',
      'reverse-stepi',
      'monitor hide-nmi off',
      'reverse-stepi',
      'info symbol $pc',
      'monitor nmi 7',
      'monitor nmi 0 0',
      'monitor',
      'kill',
    ]);
    const symbols = [...gdb.matchAll(/^(\S+(?: \+ \d+)?) in section \.text/gm)].map(([, symbol]) => symbol);
    expect(symbols).toEqual([
      'asm_exc_nmi',
      'unwind_deferred_request',
      'unwind_deferred_request + 1',
      expect.stringMatching(/^asm_exc_nmi \+ /),
    ]);
    expect(gdb).toMatch(/do=in:04,\d+,nmi:0,1 end=stopped:/);
    expect(gdb).toContain('expected a CPU from 0 to 0, found "7"');
    expect(gdb).toContain('expected monitor nmi [CPU], found "nmi 0 0"');
    expect(gdb).toContain('monitor commands of unwindlab:');
  });

  it('has CPUs as threads, and the schedule it gives is the run', async () => {
    const { gdb } = await debug(guestOf(NEWEST, 'threads', 'trace=ftrace', '--cpus', '2'), NEWEST, [
      'break unwind_deferred_request',
      'continue 5',
      'info threads',
      'thread apply all print $gs_base == 0 || $cr3 != 0',
      'thread apply all stepi',
      'monitor nmi 1',
      'thread 2',
      'stepi',
      'thread 1',
      'set scheduler-locking on',
      'stepi',
      'delete',
      'stepi',
      'print $rip',
      'monitor schedule',
      'kill',
    ]);
    expect(gdb).toMatch(/Thread 1 \(CPU 0 \[\w+\]\)[\s\S]*Thread 2 \(CPU 1 \[\w+\]\)/);
    const schedule = /^unwindlab\/1 .*$/m.exec(gdb)?.[0] ?? '';
    expect(schedule).toMatch(/,nmi:1,/);
    const { status, stderr } = await unwindlab(['replay', schedule]);
    expect(stderr).toContain('as recorded');
    expect(status).toBe(0);
  });

  it('goes on with a schedule under replay, and stops where it ends', async () => {
    const record = `${scratch.folder}/run`;
    await unwindlab([...guestOf(NEWEST, 'roundtrip'), '--record', record]);
    const { gdb, guest } = await debug(['replay', record], NEWEST, [
      'break get_cookie',
      'continue',
      'reverse-stepi',
      'delete',
      'continue',
    ]);
    expect(gdb).toMatch(/Breakpoint 1, get_cookie/);
    expect(gdb).toContain('exited normally');
    expect(guest.status).toBe(0);
  });

  it('goes forward under trace', async () => {
    const { gdb, guest } = await debug(['trace', NEWEST, '--module', program('hello')], NEWEST, [
      'break do_syscall_64',
      'break entry_SYSCALL_64',
      'continue',
      'reverse-stepi',
      'monitor snapshot',
      'delete',
      'continue',
    ]);
    expect(gdb).toMatch(/does not support/);
    expect(gdb).toContain('this command goes forward only');
    expect(guest.status).toBe(0);
  });

  it('is interrupted by Ctrl-C, lets the guest go, and comes again', async () => {
    const { guest, target } = await underGdb(
      guestOf(NEWEST, 'echo', ''),
      `unix:${scratch.folder}/socket`,
      'pipe',
    );
    try {
      expect(target).toBe(`${scratch.folder}/socket`);
      const first = startGdb(target, NEWEST, ['echo going\\n', 'continue', 'info threads', 'detach']);
      await first.printed(/going/);
      await sleep(300);
      first.kill('SIGINT');
      const { stdout } = await first.ended;
      expect(stdout).toMatch(/Program received signal SIGINT[\s\S]*Thread 1 \(CPU 0/);
      await guest.printed(/let the guest go/);
      const { stdout: second } = await startGdb(target, NEWEST, ['info threads', 'kill']).ended;
      expect(second).toContain('Thread 1 (CPU 0');
      expect(await guest.ended).toMatchObject({ status: 130 });
      expect(existsSync(target)).toBe(false);
    } finally {
      guest.kill('SIGKILL');
    }
  });

  it('stands where the guest dies of a triple fault', async () => {
    const { gdb, guest } = await debug(guestOf(NEWEST, 'hello', ''), NEWEST, [
      'set *(unsigned short *)$pc = 0x0b0f', // ud2, and there is no IDT yet
      'continue',
      'reverse-stepi',
      'x/i $pc',
      'continue',
      'continue',
    ]);
    expect(gdb).toMatch(/unwindlab: triple fault after/);
    expect(gdb).toMatch(/Program received signal SIGSEGV/);
    expect(gdb).toContain('exited with code 010');
    expect(guest.status).toBe(EXIT_STATUS.tripleFault);
  });
});

describe('--gdb', () => {
  it.each([['nonsense'], ['70000'], ['host:'], ['unix:'], ['']])('refuses %j', async (address) => {
    const { status, stderr } = await unwindlab(['boot', NEWEST, '--gdb', address]);
    expect(stderr).toBe(`unwindlab: expected --gdb as [HOST:]PORT or unix:PATH, found "${address}"\n`);
    expect(status).toBe(EXIT_STATUS.usage);
  });

  it('says that an address is in use', async () => {
    const server = createServer();
    const port = await new Promise<number>((done) => {
      server.listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port));
    });
    try {
      const { status, stderr } = await unwindlab(['boot', NEWEST, '--gdb', String(port)]);
      expect(stderr).toBe(`unwindlab: expected to listen for gdb at ${port}, found the address in use\n`);
      expect(status).toBe(EXIT_STATUS.io);
    } finally {
      server.close();
    }
  });

  it.each([['--record', `${scratch.folder}/no`], ['--check-determinism']])(
    'does not go with %s',
    async (...words) => {
      const { status, stderr } = await unwindlab(['boot', NEWEST, '--gdb', '0', ...words]);
      expect(stderr).toContain('expected --gdb without --record and --check-determinism');
      expect(status).toBe(EXIT_STATUS.usage);
    },
  );

  it('ends with 130 when Ctrl-C comes while it waits', async () => {
    const { guest } = await underGdb(guestOf(NEWEST, 'hello', ''));
    guest.kill('SIGINT');
    expect(await guest.ended).toMatchObject({ status: 130 });
  });
});
