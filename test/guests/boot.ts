/** Boots what `make guests` has made, types at it, and hears what it says. */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Ended, type Scratch, unwindlab } from '../system/run.js';

const GUESTS = resolve('build/guests');
/** Milliseconds that a guest may take; `make test-guests` waits as long. */
const LIMIT = 600_000;

/** Set where time is short: what one boot has shown another does not show again. */
export const BRIEF = process.env['UNWINDLAB_BRIEF'] !== undefined;

export const guest = (name: string): string => resolve(GUESTS, name);

/** The one image whose name is this and a version: `vmlinux-7.2`. Undefined without it. */
export function versioned(name: string): string | undefined {
  try {
    const image = readdirSync(GUESTS).find((file) => file.startsWith(`${name}-`) && /-\d+\.\d+$/.test(file));
    return image && guest(image);
  } catch {
    return undefined;
  }
}

export interface Pc {
  readonly kernel: string;
  readonly initrd: string;
  readonly ram: string;
  readonly append?: string;
  readonly cpus?: number;
}

/** Ends of lines, and the shell's question where the terminal's cursor is. */
const CODES = ['\r', '\x1b[6n'];

/**
 * Types these lines at the shell of the guest; the last of them ends it. What it prints is text without a terminal's codes.
 * @param command unwindlab's, with options of its own
 */
export async function typeAt(
  scratch: Scratch,
  pc: Pc,
  lines: readonly string[],
  command: readonly string[] = ['boot'],
): Promise<Ended> {
  const { kernel, initrd, ram, append = '', cpus = 1 } = pc;
  const machine = ['--machine', 'pc', '--ram', ram, '--cpus', `${cpus}`];
  const files = ['--initrd', initrd, '--append', `console=ttyS0 ${append}`, kernel];
  const ended = await unwindlab([...command, ...machine, ...files], {
    input: { file: scratch.write('typed', `${lines.join('\n')}\n`) },
    limit: LIMIT,
  });
  return { ...ended, stdout: CODES.reduce((text, code) => text.replaceAll(code, ''), ended.stdout) };
}

/** What stands between a line that was typed and the next prompt. The shell breaks lines of more than 70 characters. */
export function answer(stdout: string, line: string): string {
  const [, after] = stdout.split(`/ # ${line}\n`);
  return after?.split('/ # ')[0] ?? '';
}
