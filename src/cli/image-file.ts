import { readFileSync } from 'node:fs';
import { parseElf } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import type { NamedImage } from '../asm/code.js';

const SYSTEM_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'a folder',
  EACCES: 'a file that may not be read',
};

/** Reads the bytes of an image. @throws {ImageError} naming the file when that fails. */
export function readImage(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ImageError(`expected an image in ${path}, found ${SYSTEM_REASONS[code] ?? code}`);
  }
}

/** Reads an image and its symbols. @throws {ImageError} naming the file. */
export function openImage(path: string): NamedImage {
  const bytes = readImage(path);
  try {
    const file = parseElf(bytes);
    return { file, symbols: new SymbolTable(file) };
  } catch (error) {
    throw error instanceof ImageError ? new ImageError(`${path}: ${error.message}`) : error;
  }
}
