/**
 * The stacks that the guest programs state, proved on this host's own Linux: gdb stops each program at its marked points
 * and `walk.py` walks its frame pointers by Linux's rules. Skipped where gdb is missing or may not trace.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type StatedRun, type StatedStack, statedRuns, withinLimit } from './stated.js';

/** Entries of one trace in version v13-06 of the mechanism. */
const LIMIT = 511;

interface Stop {
  readonly syscall: number;
  readonly argument: string;
  readonly entries: readonly string[];
  readonly ends: string;
}

/** Every stop of the run at a system call that one of its stacks names, in either process of a fork. */
function walkNatively(run: StatedRun): Stop[] {
  const folder = mkdtempSync(join(tmpdir(), 'stacks-'));
  const stops = (['parent', 'child'] as const).flatMap((follow) => {
    const output = join(folder, follow);
    const env = {
      ...process.env,
      WALK_OUTPUT: output,
      WALK_ARGUMENTS: run.arguments.join(' '),
      WALK_SYSCALLS: [...new Set(run.stacks.map((stack) => stack.syscall))].join(' '),
      WALK_LIMIT: String(LIMIT),
      WALK_FOLLOW: follow,
    };
    const program = `build/user/${run.image}.elf`;
    const options = { env, input: run.input, encoding: 'utf8', timeout: 50_000 } as const;
    const gdb = spawnSync('gdb', ['-nx', '-q', '-batch', '-x', 'test/guest-user/walk.py', program], options);
    if (gdb.error) throw gdb.error;
    if (/ptrace|not permitted/i.test(gdb.stderr)) throw new Error(`gdb cannot trace: ${gdb.stderr.trim()}`);
    if (/error/i.test(gdb.stderr)) throw new Error(gdb.stderr.trim());
    return readFileSync(output, 'ascii')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Stop);
  });
  rmSync(folder, { recursive: true });
  return stops;
}

/** From an address to the name of the function around it, by the symbol map beside the image. */
function symbolizer(image: string): (address: string) => string {
  const functions = readFileSync(`build/user/${image}.map.txt`, 'ascii')
    .split('\n')
    .map((line) => /^([0-9a-f]+) ([0-9a-f]+) [tT] (\S+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, start, size, name]) => ({
      start: BigInt(`0x${start}`),
      size: BigInt(`0x${size}`),
      name: name!,
    }));
  return (address) => {
    const at = BigInt(address);
    return functions.find(({ start, size }) => at >= start && at < start + size)?.name ?? address;
  };
}

function reasonToSkip(): string | undefined {
  const gdb = spawnSync('gdb', ['-nx', '-batch', '-ex', 'run', '--args', '/bin/true'], { encoding: 'utf8' });
  if (gdb.error) return 'gdb is not installed';
  return gdb.stdout.includes('exited normally') ? undefined : `gdb cannot trace here (${gdb.stderr.trim()})`;
}

const SYSCALL_NUMBERS: Record<string, number> = { getpid: 39, wait4: 61, write: 1 };
const skipped = reasonToSkip();

describe.skipIf(skipped)(`stated stacks, walked under gdb${skipped ? `: skipped, ${skipped}` : ''}`, () => {
  const runs = statedRuns().filter((run) => run.stacks.length > 0);

  test.each(runs.map((run) => ({ ...run, command: [run.image, ...run.arguments].join(' ') })))(
    '$command',
    (run) => {
      const stops = walkNatively(run);
      const symbol = symbolizer(run.image);

      for (const stated of run.stacks) {
        const found = stops.filter(
          (stop) =>
            stop.syscall === SYSCALL_NUMBERS[stated.syscall] && BigInt(stop.argument) === stated.argument,
        );
        const name = `${stated.syscall}(${stated.argument})`;
        expect(found, `stops at ${name}`).not.toHaveLength(0);
        for (const stop of found)
          expect(asStated(stop, symbol, stated), name).toEqual(withinLimit(stated, LIMIT));
      }
    },
  );
});

/** The stop in the words of the statement, cut to what the statement speaks of. */
function asStated(stop: Stop, symbol: (address: string) => string, stated: StatedStack): StatedStack {
  const { syscall, argument } = stated;
  const entries = stop.entries.map(symbol);
  if (stated.ends === undefined)
    return { syscall, argument, entries: entries.slice(0, stated.entries.length) };
  return { syscall, argument, entries, ends: stop.ends as NonNullable<StatedStack['ends']> };
}
