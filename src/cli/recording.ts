/**
 * The file that `--record` writes: a schedule, then the run's events. The events come first, so they are kept in a file without
 * a name beside it; the record itself appears when all of it is there.
 */
import {
  closeSync,
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
import { dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { FileError, reasonOf } from '../lab/open.js';
import { formatSchedule, type Schedule } from '../schedule/schedule.js';
import { LineReader } from './line-reader.js';

/** Characters of the log that wait to be written. */
const PENDING = 1 << 18;
const COPY = 1 << 20;

export class Recording {
  readonly #file: string | undefined;
  readonly #log: number;
  #pending: string[] = [];
  #waiting = 0;

  /**
   * @param file where the record is to be; undefined: nowhere, it is for this process alone
   * @throws FileError when it cannot be written
   */
  constructor(file: string | undefined) {
    this.#file = file && writing(file, () => targetOf(file));
    const folder = this.#file === undefined || !isRegular(this.#file) ? tmpdir() : dirname(this.#file);
    this.#log = writing(file ?? folder, () => openNameless(folder));
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
    const file = this.#file;
    if (file === undefined) return;
    const line = `${formatSchedule(schedule)}\n`;
    if (isRegular(file)) this.#replace(file, line);
    else this.#send(file, line);
  }

  #replace(file: string, line: string): void {
    const begun = `${file}.${process.pid}.tmp`;
    const handle = writing(file, () => openSync(begun, 'w'));
    try {
      this.#write(handle, line);
      this.#copyLog(handle);
      writing(file, () => renameSync(begun, file));
    } catch (error) {
      rmSync(begun, { force: true });
      throw error;
    } finally {
      closeSync(handle);
    }
  }

  #send(file: string, line: string): void {
    const handle = writing(file, () => openSync(file, 'w'));
    this.#write(handle, line);
    if (!isatty(handle)) this.#copyLog(handle);
    closeSync(handle);
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
    for (let at = 0; at < bytes.length; )
      at += writing(this.#file ?? tmpdir(), () => writeSync(handle, bytes, at));
  }

  close(): void {
    closeSync(this.#log);
  }
}

/** The file that a name leads to, through symbolic links. */
function targetOf(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return join(realpathSync(dirname(file)), file.slice(file.lastIndexOf('/') + 1));
  }
}

/** Not a terminal, a pipe or another thing that cannot be replaced. */
const isRegular = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.isFile() ?? true;

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
