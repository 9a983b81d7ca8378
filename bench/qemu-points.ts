/**
 * `node dist/bench/qemu-points.js FOLDER KERNEL PROGRAM APPEND POINTS`: boots a guest in QEMU, takes a snapshot of it, and injects an NMI
 * behind so many returns to it. Prints the seconds of one point. Files go to FOLDER.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

/** Milliseconds in which the guest comes to its program. */
const BOOT = 1500;
const START = 10_000;
const PAUSE = 20;

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** QEMU's monitor protocol: a line of JSON each way; lines that answer nothing are events. */
class Monitor {
  readonly #socket: Socket;
  readonly #waiting: ((answer: Answer) => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: this.#socket }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      if ('return' in answer || 'error' in answer) this.#waiting.shift()?.(answer);
    });
  }

  /** @throws Error when QEMU refuses. */
  async do(execute: string, args: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const answer = new Promise<Answer>((resolve) => this.#waiting.push(resolve));
    this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const { return: value, error } = await answer;
    if (error !== undefined) throw new Error(`${execute}: ${error.desc}`);
    return value;
  }

  /** A command of the monitor for people, which prints what is wrong. */
  async say(line: string): Promise<void> {
    const printed = await this.do('human-monitor-command', { 'command-line': line });
    if (typeof printed === 'string' && printed.trim() !== '') throw new Error(`${line}: ${printed.trim()}`);
  }

  close(): void {
    this.#socket.destroy();
  }
}

const [folder, kernel, program, append, points] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const disk = join(folder, 'snapshots.qcow2');
const path = join(folder, 'monitor');
if (!existsSync(disk)) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '64M']);
rmSync(path, { force: true });
const qemu = spawn(
  'qemu-system-x86_64',
  [
    ...['-accel', 'tcg', '-m', '64', '-display', 'none', '-serial', 'null', '-no-reboot'],
    ...['-kernel', kernel, '-initrd', program, '-append', append],
    ...[
      '-drive',
      `file=${disk},format=qcow2,if=none,id=snapshots`,
      '-qmp',
      `unix:${path},server=on,wait=off`,
    ],
  ],
  { stdio: ['ignore', 'ignore', 'inherit'] },
);
// QEMU must not outlive this process, however that ends: whoever waits for it may give up.
process.on('exit', () => qemu.kill('SIGKILL'));
process.on('SIGTERM', () => process.exit(1));
process.stdout.write(`${await secondsPerPoint(qemu)}\n`);
process.exit();

async function secondsPerPoint(running: ChildProcess): Promise<number> {
  const monitor = new Monitor(await connection(running));
  try {
    await monitor.do('qmp_capabilities');
    await setTimeout(BOOT);
    await monitor.do('stop');
    await monitor.say('savevm point');
    const began = performance.now();
    for (let point = 0; point < Number(points); point++) {
      await monitor.say('loadvm point');
      await monitor.do('inject-nmi');
      await monitor.do('cont');
      await monitor.do('stop');
    }
    return (performance.now() - began) / 1000 / Number(points);
  } finally {
    monitor.close();
  }
}

/** QEMU opens its socket some time after it has started. */
async function connection(running: ChildProcess): Promise<Socket> {
  for (let waited = 0; running.exitCode === null && waited < START; waited += PAUSE) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await setTimeout(PAUSE);
    }
  }
  throw new Error('expected QEMU to open its monitor, found none');
}
