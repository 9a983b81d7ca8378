/**
 * The file that `--record` writes: a schedule, then the run's events. The events come first, so they are kept in a file without
 * a name beside it; the record itself appears when all of it is there.
 */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { FileError, reasonOf } from '../lab/open.js';
import { formatSchedule, type Schedule } from '../schedule/schedule.js';
import { LineReader } from './line-reader.js';

/** Characters of the log that wait to be written. */
const PENDING = 1 << 18;
const COPY = 1 << 20;

export class Recording {
  /** The name of the record, for messages. */
  readonly #name: string;
  readonly #target: Target | undefined;
  readonly #log: number;
  #pending: string[] = [];
  #waiting = 0;

  /**
   * @param file where the record is to be; undefined: nowhere, it is for this process alone
   * @throws FileError when it cannot be written
   */
  constructor(file: string | undefined) {
    this.#name = file ?? tmpdir();
    this.#target = file === undefined ? undefined : writing(file, () => targetOf(file));
    const beside = this.#target?.kind === 'file' ? dirname(this.#target.path) : tmpdir();
    this.#log = writing(this.#name, () => openNameless(beside));
  }

  /** Takes a line of the log. @throws FileError */
  readonly put = (line: string): void => {
    this.#pending.push(line);
    this.#waiting += line.length;
    if (this.#waiting > PENDING) this.#flush();
  };

  #flush(): void {
    if (this.#pending.length > 0) this.#write(this.#log, `${this.#pending.join('\n')}\n`);
    this.#pending = [];
    this.#waiting = 0;
  }

  /** The log from its beginning, a line a call. */
  lines(): () => string | undefined {
    this.#flush();
    return new LineReader(this.#log, 0).next;
  }

  /** Writes the record. On a terminal it is the schedule alone. @throws FileError */
  save(schedule: Schedule): void {
    this.#flush();
    const target = this.#target;
    if (target === undefined) return;
    const line = `${formatSchedule(schedule)}\n`;
    if (target.kind === 'file') this.#replace(target.path, line);
    else {
      this.#write(target.handle, line);
      if (!isatty(target.handle)) this.#copyLog(target.handle);
    }
  }

  #replace(path: string, line: string): void {
    const begun = `${path}.${process.pid}.tmp`;
    const handle = writing(this.#name, () => openSync(begun, 'w'));
    try {
      this.#write(handle, line);
      this.#copyLog(handle);
      writing(this.#name, () => renameSync(begun, path));
    } catch (error) {
      rmSync(begun, { force: true });
      throw error;
    } finally {
      closeSync(handle);
    }
  }

  #copyLog(to: number): void {
    const chunk = Buffer.alloc(COPY);
    for (let at = 0, length = 0; ; at += length) {
      length = readSync(this.#log, chunk, 0, COPY, at);
      if (length === 0) return;
      this.#write(to, chunk.subarray(0, length));
    }
  }

  #write(handle: number, data: string | Uint8Array): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    for (let at = 0; at < bytes.length; ) at += writing(this.#name, () => writeSync(handle, bytes, at));
  }

  close(): void {
    closeSync(this.#log);
    if (this.#target?.kind === 'stream') closeSync(this.#target.handle);
  }
}

/** What a record goes to: a file that is replaced, or what cannot be, such as a terminal, a pipe or a device. */
type Target =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stream'; readonly handle: number };

function targetOf(file: string): Target {
  const there = statSync(file, { throwIfNoEntry: false });
  if (there === undefined) return { kind: 'file', path: join(realpathSync(dirname(file)), basename(file)) };
  if (!there.isFile()) return { kind: 'stream', handle: openSync(file, 'w') };
  accessSync(file, constants.W_OK);
  return { kind: 'file', path: realpathSync(file) };
}

/** A file for this process that leaves nothing behind, however it ends. */
function openNameless(folder: string): number {
  const name = join(folder, `.unwindlab-${process.pid}-${process.hrtime.bigint()}`);
  const handle = openSync(name, 'wx+', 0o600);
  unlinkSync(name);
  return handle;
}

function writing<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new FileError(`expected a file that can be written at ${file}, found ${reasonOf(error)}`);
  }
}
