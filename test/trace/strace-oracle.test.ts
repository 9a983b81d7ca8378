/** Our printing of system calls against strace itself: one program, traced raw for our input and plain for the answer. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { errorText } from '../../src/trace/errno.js';
import { StraceWriter } from '../../src/trace/strace.js';
import { syscallName } from '../../src/trace/syscall-names.js';
import { SyscallDecoder } from '../../src/trace/syscalls.js';

const DATA = 0x500000;
/** strace spells some things differently from version to version; this is the one whose spelling we follow. */
const VERSION = /^strace -- version 6\.1\b/;

const NUMBERS = new Map(Array.from({ length: 1000 }, (_, nr) => [syscallName(nr).name, nr]));
const ERRNOS = new Map(Array.from({ length: 133 }, (_, index) => [errorText(index + 1)?.name, index + 1]));

const output = (command: string, ...args: string[]): string | undefined => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
};
const missing =
  output('gcc', '--version') === undefined
    ? 'no gcc'
    : VERSION.test(output('strace', '--version') ?? '')
      ? output('strace', '-o', '/dev/null', 'true') === undefined && 'strace may not trace here'
      : 'no strace 6.1';

/** Lines of one run without the execve before and the exit after. Addresses are not random, task numbers are. */
function trace(program: string, ...options: string[]): string[] {
  const file = join(program, '..', 'out.txt');
  spawnSync('setarch', ['-R', 'strace', '-e', 'signal=none', ...options, '-o', file, program]);
  return readFileSync(file, 'utf8').trim().split('\n').slice(1, -1);
}

/** The program's data as it is in memory, and where its symbols are. */
function built(folder: string): { program: string; data: Buffer; at: (symbol: string) => number } {
  const program = join(folder, 'calls');
  const source = fileURLToPath(new URL('calls.S', import.meta.url));
  execFileSync('gcc', ['-static', '-nostdlib', `-Wl,-Tdata=0x${DATA.toString(16)}`, '-o', program, source]);
  execFileSync('objcopy', ['-O', 'binary', '-j', '.data', program, `${program}.data`]);
  const data = Buffer.alloc(4096);
  readFileSync(`${program}.data`).copy(data);
  const lines = execFileSync('nm', [program], { encoding: 'utf8' }).trim().split('\n');
  const symbols = new Map(lines.map((line) => [line.split(' ')[2]!, Number(`0x${line.split(' ')[0]}`)]));
  return { program, data, at: (symbol) => symbols.get(symbol)! - DATA };
}

/** What the kernel writes into the program's memory, which a raw trace does not tell. */
function kernelWrites(
  { data, at }: ReturnType<typeof built>,
  name: string,
  result: bigint,
  status: number,
): void {
  if (result < 0n) return;
  if (name === 'pipe') Buffer.from([3, 0, 0, 0, 4, 0, 0, 0]).copy(data, at('fds'));
  if (name === 'read') data.write('hello\n', at('buffer'));
  if (name === 'wait4') data.writeInt32LE(status, at('status'));
}

/** Our text for a raw trace: each of its lines is an entry and a return. */
function retold(lines: readonly string[], image: ReturnType<typeof built>): string {
  const { data } = image;
  const decoder = new SyscallDecoder((_, address, length) => {
    const from = Number(address) - DATA;
    return from >= 0 && from + length <= data.length ? data.subarray(from, from + length) : undefined;
  });
  const writer = new StraceWriter();
  const where = { pid: 1, tid: 1, time: 0n };
  const children = [0x300, 11]; // exit(3), and hlt in user mode
  let text = '';
  for (const line of lines) {
    const [, name, list, value, error] = /^(\w+)\((.*)\) += (\S+)(?: ([A-Z]+))?/.exec(line)!;
    const nr = NUMBERS.get(name!) ?? Number(BigInt.asIntN(64, BigInt(name!.replace('syscall_', ''))));
    const words = list!.split(', ').filter(Boolean).map(BigInt);
    const args = Array.from({ length: 6 }, (_, index) => words[index] ?? 0n);
    for (const event of decoder.decode({ kind: 'enter', ...where, nr, args })) text += writer.event(event);
    if (value === '?') {
      const [abandoned] = decoder.decode({ kind: 'end', ...where, status: 0x700 });
      return text + writer.event(abandoned!);
    }
    const result = error === undefined ? BigInt(value!) : BigInt(-ERRNOS.get(error)!);
    kernelWrites(image, name!, result, name === 'wait4' && result > 0n ? children.shift()! : 0);
    for (const event of decoder.decode({ kind: 'leave', ...where, nr, result })) text += writer.event(event);
    // Without -f strace does not know the child, and so names no tasks.
    if (name === 'fork' || name === 'clone')
      writer.event({ kind: 'exited', ...where, tid: Number(result), code: 0 });
  }
  return text;
}

/** The numbers of tasks differ from run to run. */
const anonymous = (text: string) =>
  text
    .replace(/^((?:fork|clone|wait4)\(.*= )[1-9]\d*$/gm, '$1PID')
    .replace(/^getcpu\(\[\d+\]/gm, 'getcpu([CPU]');

test.skipIf(missing)(
  `every kind of argument, as strace prints it${missing ? ` (skipped: ${missing})` : ''}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'unwindlab-strace-'));
    try {
      const image = built(folder);
      const ours = retold(trace(image.program, '-e', 'raw=all'), image);
      expect(anonymous(ours)).toBe(anonymous(`${trace(image.program).join('\n')}\n`));
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
