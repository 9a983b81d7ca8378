/** Where a command's own output goes: a stream, or a file that is opened before the guest starts so that a wrong name costs nothing. */
import { closeSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { FileError, reasonOf } from '../lab/open.js';

export interface Output {
  write(text: string | Uint8Array): void;
  close(): void;
}

/** @throws FileError when the file cannot be opened for writing. */
export function openOutput(file: string | undefined, fallback: NodeJS.WriteStream): Output {
  if (file === undefined) return { write: (text) => void fallback.write(text), close: () => {} };
  const handle = openForWriting(file);
  return {
    write: (text) => void writeSync(handle, Buffer.from(text as string)),
    close: () => closeSync(handle),
  };
}

function openForWriting(file: string): number {
  try {
    return openSync(file, 'w');
  } catch (error) {
    throw new FileError(`expected a file that can be written at ${file}, found ${reasonOf(error)}`);
  }
}

/** Writes a file as a whole: it appears with all of it or not at all. @throws FileError */
export function replaceFile(file: string, text: string): void {
  const begun = `${file}.${process.pid}.tmp`;
  try {
    writeFileSync(begun, text);
    renameSync(begun, file);
  } catch (error) {
    rmSync(begun, { force: true });
    throw new FileError(`expected a file that can be written at ${file}, found ${reasonOf(error)}`);
  }
}
