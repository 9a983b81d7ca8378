/** Where a command's own output goes: a stream, or a file that is opened before the guest starts so that a wrong name costs nothing. */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { FileError, reasonOf } from '../lab/open.js';

export interface Output {
  write(text: string | Uint8Array): void;
  close(): void;
}

/** @throws FileError when the file cannot be opened for writing. */
export function openOutput(file: string | undefined, fallback: NodeJS.WriteStream): Output {
  if (file === undefined) return { write: (text) => void fallback.write(text), close: () => {} };
  const handle = writing(file, () => openSync(file, 'w'));
  return {
    write: (text) => void writeSync(handle, Buffer.from(text as string)),
    close: () => closeSync(handle),
  };
}

/** Writes a file as a whole: it appears with all of it or not at all. A pipe or a device is written to. @throws FileError */
export function replaceFile(file: string, text: string | Uint8Array): void {
  writing(file, () => {
    const there = statSync(file, { throwIfNoEntry: false });
    if (there !== undefined && !there.isFile()) {
      writeFileSync(file, text);
      return;
    }
    const path = there === undefined ? file : realpathSync(file);
    const begun = `${path}.${process.pid}.tmp`;
    try {
      writeFileSync(begun, text);
      renameSync(begun, path);
    } catch (error) {
      rmSync(begun, { force: true });
      throw error;
    }
  });
}

/** Before the work whose result is to go there: whether `replaceFile` can do its part. @throws FileError */
export function expectReplaceable(file: string): void {
  writing(file, () => {
    const there = statSync(file, { throwIfNoEntry: false });
    if (there?.isDirectory()) openSync(file, 'w');
    accessSync(there === undefined || there.isFile() ? dirname(resolve(file)) : file, constants.W_OK);
  });
}

function writing<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new FileError(`expected a file that can be written at ${file}, found ${reasonOf(error)}`);
  }
}
