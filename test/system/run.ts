/** Programs started as a user starts them: what they print, how they end, and a limit on how long they may take. */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The command line as `make` leaves it. */
export const CLI = resolve('dist/src/cli/main.js');
export const KERNEL = resolve('build/kernel.elf');
export const program = (name: string): string => resolve(`build/user/${name}.elf`);

const DEFAULT_LIMIT_MS = 60_000;

export interface Ended {
  /** null where a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What stands on standard input: a file, or a string through a pipe that is closed then. Nothing: /dev/null. */
  readonly input?: string | { readonly file: string };
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Keeps the pipe of standard input open, and gives `input` only when this has been printed. */
  readonly inputAfter?: string;
  /** Keeps the pipe open as well: when this has been printed, that is typed, one after the other. */
  readonly dialogue?: readonly (readonly [printed: string, typed: string])[];
  /** Milliseconds after which it is killed; default 60,000. */
  readonly limit?: number;
  /** Sends this signal when `inputAfter` has been printed. */
  readonly signal?: NodeJS.Signals;
}

/** Runs a program to its end. Rejects when it cannot be started or does not end in time. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { input, inputAfter, signal, env = process.env, cwd = process.cwd() } = options;
  const { limit = DEFAULT_LIMIT_MS } = options;
  const file = typeof input === 'object' ? openSync(input.file, 'r') : undefined;
  const typed = [...(options.dialogue ?? [])];
  const isPiped = inputAfter !== undefined || typeof input === 'string' || typed.length > 0;
  const stdin = isPiped ? 'pipe' : (file ?? 'ignore');
  return new Promise((done, failed) => {
    const child = spawn(command, args, { env, cwd, stdio: [stdin, 'pipe', 'pipe'] });
    if (file !== undefined) closeSync(file);
    const printed = { stdout: '', stderr: '' };
    let waiting = inputAfter !== undefined;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      failed(
        new Error(`expected ${command} to end within ${limit} ms, found it running after: ${printed.stdout}`),
      );
    }, limit);
    let heard = 0;
    const answer = (): void => {
      for (let next = typed[0]; next !== undefined; next = typed[0]) {
        const at = printed.stdout.indexOf(next[0], heard);
        if (at < 0) return;
        heard = at + next[0].length;
        child.stdin?.write(next[1]);
        typed.shift();
      }
    };
    child.stdin?.on('error', () => {}); // a program need not read its input
    if (!waiting && typeof input === 'string') child.stdin?.end(input);
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        printed[name] += text;
        if (name === 'stdout') answer();
        if (!waiting || !printed.stdout.includes(inputAfter!)) return;
        waiting = false;
        if (typeof input === 'string') child.stdin?.write(input);
        if (signal !== undefined) child.kill(signal);
      });
    }
    child.on('error', failed).on('close', (status, endedBy) => {
      clearTimeout(timer);
      child.stdin?.destroy();
      done({ status, signal: endedBy, ...printed });
    });
  });
}

/** Runs the command line. */
export const unwindlab = (args: readonly string[], options?: RunOptions): Promise<Ended> =>
  run(process.execPath, [CLI, ...args], options);

/** A folder of its own, removed with `remove`. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), 'unwindlab-system-'));

  write(name: string, bytes: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, bytes);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
