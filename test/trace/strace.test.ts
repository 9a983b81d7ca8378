import { describe, expect, test } from 'vitest';
import { jsonLine } from '../../src/trace/json.js';
import { type StraceOptions, StraceWriter, stackLine } from '../../src/trace/strace.js';
import { FilterError, syscallFilter } from '../../src/trace/strace-filter.js';
import { StraceSummary } from '../../src/trace/strace-summary.js';
import { SYSCALL_CLASSES, SYSCALL_NAMES, syscallName } from '../../src/trace/syscall-names.js';
import { type RawCallEvent, SyscallDecoder } from '../../src/trace/syscalls.js';

const NUMBERS = new Map([...Array(500).keys()].map((nr) => [syscallName(nr).name, nr]));

/** Memory of all tasks: a wait status at 0x100, a timespec at 0x200, a text at 0x300. */
const memory = Buffer.alloc(0x400);
memory.writeInt32LE(0x300, 0x100);
memory.writeBigInt64LE(20_000_000n, 0x208);
memory.write('child\n', 0x300);
const newDecoder = () =>
  new SyscallDecoder((_, at, length) => {
    const from = Number(at);
    return from > 0 && from + length <= memory.length ? memory.subarray(from, from + length) : undefined;
  });

const enter = (tid: number, name: string, ...args: (bigint | number)[]): RawCallEvent => ({
  kind: 'enter',
  pid: 1,
  tid,
  time: 0n,
  nr: NUMBERS.get(name)!,
  args: Array.from({ length: 6 }, (_, index) => BigInt.asUintN(64, BigInt(args[index] ?? 0))),
});
const leave = (tid: number, name: string, result: number, time = 0): RawCallEvent => ({
  kind: 'leave',
  pid: 1,
  tid,
  time: BigInt(time),
  nr: NUMBERS.get(name)!,
  result: BigInt(result),
});
const end = (tid: number, status: number): RawCallEvent => ({ kind: 'end', pid: 1, tid, time: 0n, status });

function print(events: readonly RawCallEvent[], options?: StraceOptions): string[] {
  const decoder = newDecoder();
  const writer = new StraceWriter(options);
  const text = events.flatMap((event) => decoder.decode(event)).map((event) => writer.event(event));
  return `${text.join('')}${writer.end()}`.trimEnd().split('\n');
}

/** The lines are what strace 6.1 -f printed for a program that did the same, but for the numbers. */
describe('calls of several tasks', () => {
  const waiting = [
    enter(20, 'fork'),
    leave(20, 'fork', 21),
    enter(20, 'wait4', -1, 0x100),
    enter(21, 'exit_group', 3),
    end(21, 0x300),
    leave(20, 'wait4', 21),
    enter(20, 'exit_group', 7),
    end(20, 0x700),
  ];
  test('to a terminal: numbers only while more than one task lives', () => {
    expect(print(waiting)).toEqual([
      'fork()                                  = 21',
      '[pid    20] wait4(-1,  <unfinished ...>',
      '[pid    21] exit_group(3)               = ?',
      '[pid    21] +++ exited with 3 +++',
      '<... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 21',
      'exit_group(7)                           = ?',
      '+++ exited with 7 +++',
    ]);
  });
  test('to a file: numbers before every line', () => {
    expect(print(waiting, { pids: 'file' })).toEqual([
      '20    fork()                            = 21',
      '20    wait4(-1,  <unfinished ...>',
      '21    exit_group(3)                     = ?',
      '21    +++ exited with 3 +++',
      '20    <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 21',
      '20    exit_group(7)                     = ?',
      '20    +++ exited with 7 +++',
    ]);
  });

  test('a line is cut as often as another task speaks', () => {
    const events = [
      enter(20740, 'clone', 0x50f00, 0x4b92f0),
      leave(20740, 'clone', 20744),
      enter(20744, 'futex', 0x4a70d0, 129, 1),
      enter(20740, 'clock_nanosleep', 0, 0, 0x200, 0),
      leave(20744, 'futex', 0),
      enter(20744, 'exit', 0),
      end(20744, 0),
      leave(20740, 'clock_nanosleep', 0),
    ];
    expect(print(events, { pids: 'file' })).toEqual([
      '20740 clone(child_stack=0x4b92f0, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM) = 20744',
      '20744 futex(0x4a70d0, FUTEX_WAKE_PRIVATE, 1 <unfinished ...>',
      '20740 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=20000000},  <unfinished ...>',
      '20744 <... futex resumed>)              = 0',
      '20744 exit(0)                           = ?',
      '20744 +++ exited with 0 +++',
      '20740 <... clock_nanosleep resumed>NULL) = 0',
    ]);
  });

  test('clone tells child_tidptr when it returns, and the child may come first', () => {
    const events = [
      enter(20740, 'clone', 0x1200011, 0, 0, 0xbc03650),
      enter(20741, 'set_robust_list', 0xbc03660, 24),
      leave(20741, 'set_robust_list', 0),
      enter(20741, 'exit_group', 3),
      leave(20740, 'clone', 20741),
      enter(20740, 'write', 1, 0x300, 6),
      end(20741, 0x300),
      leave(20740, 'write', 6),
    ];
    expect(print(events, { pids: 'file' })).toEqual([
      '20740 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>',
      '20741 set_robust_list(0xbc03660, 24)    = 0',
      '20741 exit_group(3 <unfinished ...>',
      '20740 <... clone resumed>, child_tidptr=0xbc03650) = 20741',
      '20740 write(1, "child\\n", 6 <unfinished ...>',
      '20741 <... exit_group resumed>)         = ?',
      '20741 +++ exited with 3 +++',
      '20740 <... write resumed>)              = 6',
    ]);
  });

  test('a task killed in a call', () => {
    const events = [
      enter(20, 'kill', 21, 9),
      enter(21, 'set_robust_list', 0xbc03660, 24),
      leave(20, 'kill', 0),
      end(21, 9),
      enter(22, 'read', 3, 0x300, 8),
      end(22, 0x8b),
    ];
    expect(print(events)).toEqual([
      'kill(21, SIGKILL <unfinished ...>',
      '[pid    21] set_robust_list(0xbc03660, 24 <unfinished ...>',
      '[pid    20] <... kill resumed>)         = 0',
      '[pid    21] <... set_robust_list resumed>) = ?',
      '[pid    21] +++ killed by SIGKILL +++',
      '[pid    22] read(3,  <unfinished ...>)  = ?',
      '[pid    22] +++ killed by SIGSEGV (core dumped) +++',
    ]);
  });

  test('a filter hides calls, not the tasks that they create nor their end', () => {
    expect(print(waiting, { shown: syscallFilter('wait4') })).toEqual([
      '[pid    20] wait4(-1,  <unfinished ...>',
      '[pid    21] +++ exited with 3 +++',
      '<... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 21',
      '+++ exited with 7 +++',
    ]);
  });

  test('memory that is not there yet is told on return, when the kernel has brought it in', () => {
    let there = false;
    const decoder = new SyscallDecoder((_, at, length) =>
      there ? memory.subarray(Number(at), Number(at) + length) : undefined,
    );
    const writer = new StraceWriter({ column: 0 });
    const told = (event: RawCallEvent) =>
      decoder
        .decode(event)
        .map((call) => writer.event(call))
        .join('');
    expect(told(enter(1, 'write', 1, 0x300, 6))).toBe('write(1, ');
    there = true;
    expect(told(leave(1, 'write', 6))).toBe('"child\\n", 6) = 6\n');
  });

  test('what is open when the guest stops stays unfinished', () => {
    expect(print([enter(1, 'nanosleep', 0x200)])).toEqual([
      'nanosleep({tv_sec=0, tv_nsec=20000000},  <unfinished ...>',
    ]);
  });

  test('the return of a new task from the call of its parent is not shown', () => {
    expect(newDecoder().decode(leave(21, 'clone', 0))).toEqual([]);
  });
});

test('stacks under a call: image(symbol+offset) and the position in the file', () => {
  const frame = { ip: 0x401024n, image: '/tmp/h', fileOffset: 0x1024n, symbol: 'outer', symbolOffset: 0x1cn };
  const lines = print([enter(1, 'getpid'), leave(1, 'getpid', 1)], {
    column: 0,
    stackOf: () => [frame, { ip: 0x401030n, image: '/tmp/h', fileOffset: 0x1030n }, { ip: 0xdeadn }],
  });
  expect(lines).toEqual([
    'getpid() = 1',
    ' > /tmp/h(outer+0x1c) [0x1024]',
    ' > /tmp/h() [0x1030]',
    ' > [unknown]() [0xdead]',
  ]);
  expect(stackLine(frame)).toBe(' > /tmp/h(outer+0x1c) [0x1024]\n');
});

test('the summary has the columns of strace -c', () => {
  const summary = new StraceSummary();
  const events = [
    [enter(1, 'wait4'), leave(1, 'wait4', -10, 10_000_000)],
    [enter(1, 'write', 1), leave(1, 'write', 0, 299_600)],
    [enter(1, 'write', 1), leave(1, 'write', 0, 700_400)],
    [enter(1, 'exit', 0), end(1, 0)],
  ];
  const decoder = newDecoder();
  for (const event of events.flat().flatMap((raw) => decoder.decode(raw))) summary.event(event);
  expect(summary.text()).toBe(
    `${[
      '% time     seconds  usecs/call     calls    errors syscall',
      '------ ----------- ----------- --------- --------- ----------------',
      ' 90.91    0.010000       10000         1         1 wait4',
      '  9.09    0.001000         500         2           write',
      '------ ----------- ----------- --------- --------- ----------------',
      '100.00    0.011000        3666         3         1 total',
    ].join('\n')}\n`,
  );
  expect(new StraceSummary().text()).toContain('100.00    0.000000           0         0           total');
});

describe('-e trace=', () => {
  const shown = (expression: string) => [...SYSCALL_NAMES].filter(syscallFilter(expression));
  test.each([
    ['write', ['write']],
    ['write,close', ['write', 'close']],
    ['%clock', [...SYSCALL_CLASSES['clock']!]],
    ['none', []],
    ['?nosuchcall,read', ['read']],
  ])('%s', (expression, names) => expect(shown(expression)).toEqual(names));
  test('! turns it round', () => {
    expect(shown('!write,%process')).not.toContain('write');
    expect(shown('!write,%process')).not.toContain('fork');
    expect(shown('!write,%process')).toContain('read');
    expect(syscallFilter('all')('syscall_0x3e7')).toBe(true);
    expect(syscallFilter('!all')('read')).toBe(false);
  });
  test.each([
    ['wirte', 'expected the name of a system call, found "wirte"'],
    ['%foo', /^expected a class of system calls \(%file, .*\), found %foo$/],
  ])('%s is refused', (expression, message) => {
    expect(() => syscallFilter(expression)).toThrow(message);
    expect(() => syscallFilter(expression)).toThrow(FilterError);
  });
  test('every member of a class is a system call', () => {
    for (const members of Object.values(SYSCALL_CLASSES))
      expect([...members].filter((name) => !SYSCALL_NAMES.has(name))).toEqual([]);
  });
});

test('JSON holds the same event: words in hexadecimal, amounts as numbers', () => {
  const decoder = newDecoder();
  decoder.decode(enter(2, 'write', 1, 0x300, 6));
  const [event] = decoder.decode(leave(2, 'write', -14, 1500));
  expect(jsonLine(event!).endsWith('}\n')).toBe(true);
  expect(JSON.parse(jsonLine(event!))).toEqual({
    kind: 'leave',
    pid: 1,
    tid: 2,
    time: 1500,
    nr: 1,
    name: 'write',
    args: [
      { name: 'fd', value: '0x1', text: '1' },
      { name: 'buf', value: '0x300', text: '"child\\n"' },
      { name: 'count', value: '0x6', text: '6' },
    ],
    told: 3,
    result: { returned: -14, error: 'EFAULT', text: '-1 EFAULT (Bad address)' },
    duration: 1500,
  });
});
