/** Debian's gdb on a guest, by script: what gdb prints, and how both programs end. */
import { spawn, spawnSync } from 'node:child_process';
import { CLI } from '../system/run.js';

export const hasGdb = spawnSync('gdb', ['--version'], { timeout: 20_000 }).status === 0;

const LIMIT_MS = 45_000;
const WAITING = /waiting for gdb: target remote (\S+)\n/;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program under way, which is killed when it takes too long. */
class Running {
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  readonly #child;
  #heard: () => void = () => {};

  constructor(command: string, args: readonly string[], input: 'ignore' | 'pipe' = 'ignore') {
    const child = spawn(command, args, { stdio: [input, 'pipe', 'pipe'] });
    this.#child = child;
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#heard();
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#heard();
    });
    this.ended = new Promise((done, failed) => {
      child.on('error', failed).on('close', (status) => {
        clearTimeout(timer);
        this.#heard();
        done({ status, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  /** Waits until something that matches has been printed; the first group. */
  async printed(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (found !== null) return found[1] ?? found[0];
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`expected ${pattern}, found the end after: ${this.stdout}${this.stderr}`);
      await new Promise<void>((heard) => {
        this.#heard = heard;
      });
    }
  }

  /** Types into a program whose input is a pipe. */
  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

export interface Debugged {
  /** All that gdb prints, without its warnings. */
  readonly gdb: string;
  readonly gdbStatus: number | null;
  readonly guest: Ended;
}

/** Starts `unwindlab ARGS --gdb AT`; `target` is where it waits. */
export async function underGdb(
  args: readonly string[],
  at = '0',
  input?: 'ignore' | 'pipe',
): Promise<{ guest: Running; target: string }> {
  const guest = new Running(process.execPath, [CLI, ...args, '--gdb', at], input);
  return { guest, target: await guest.printed(WAITING) };
}

const QUIET = [
  'set pagination off',
  'set confirm off',
  'set width 0',
  'set style enabled off',
  'set remotetimeout 20',
];

/** gdb with a script of commands, connected to `target`. */
export function startGdb(target: string, symbols: string, script: readonly string[]): Running {
  const commands = [...QUIET, `target remote ${target}`, ...script].flatMap((line) => ['-ex', line]);
  const words = ['-nx', '-batch', symbols, ...commands];
  return new Running('sh', ['-c', 'exec gdb "$@" 2>&1', 'gdb', ...words]); // in the order in which it is printed
}

/** The whole: a guest, gdb on it, and their ends. */
export async function debug(
  args: readonly string[],
  symbols: string,
  script: readonly string[],
  at?: string,
): Promise<Debugged> {
  const { guest, target } = await underGdb(args, at);
  try {
    const { status, stdout } = await startGdb(target, symbols, script).ended;
    const gdb = stdout.replace(/^warning: .*\n/gm, '');
    return { gdb, gdbStatus: status, guest: await guest.ended };
  } finally {
    guest.kill('SIGKILL');
  }
}
