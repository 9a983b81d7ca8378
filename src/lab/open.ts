/** A guest made from files: the machine with image and modules loaded, and the names of all of them. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { FormatName } from '../../emu/boot/formats.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { Machine, type MachineOptions } from '../../emu/machine.js';
import type { NamedImage } from '../asm/code.js';
import { kernelNames, readImage } from './linux.js';
import { imagePath, packedImages } from './packed.js';

/** A file given by the user that cannot be read. */
export class FileError extends Error {
  override name = 'FileError';
}

/** Files by path, or images of this package by name, such as `@kernel`. */
export interface GuestFiles {
  readonly image: string;
  /** Each `FILE` or `FILE,ARGS`; ARGS become the program's arguments. */
  readonly modules?: readonly string[];
  readonly initrd?: string;
  readonly commandLine?: string;
  /** The boot protocol; default: the image's own. */
  readonly format?: FormatName;
}

/** A file's contents with what the user called it. */
export interface InputFile {
  /** For a module `FILE` or `FILE,ARGS`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** All files of a guest, read. */
export interface GuestInput {
  readonly image: InputFile;
  readonly modules: readonly InputFile[];
  readonly initrd?: InputFile;
  readonly commandLine: string;
  readonly format?: FormatName;
}

export interface LoadedGuest {
  readonly machine: Machine;
  /** A program by the name its task has, such as `hello` for hello.elf; `undefined` where there is none. */
  program(name: string): NamedImage | undefined;
}

/**
 * @throws FileError when a file cannot be read; ImageError, naming the file, when one is not what it should be;
 *   EngineError when there is no usable libunicorn; RangeError for options out of range.
 */
export const openGuest = (files: GuestFiles, options: MachineOptions): LoadedGuest =>
  loadGuest(readGuest(files), options);

/** @throws FileError */
export function readGuest({ image, modules = [], initrd, commandLine = '', format }: GuestFiles): GuestInput {
  const read = (name: string, file: string): InputFile => ({ name, bytes: readInput(file) });
  return {
    image: read(image, image),
    modules: modules.map((argument) => read(argument, splitModule(argument)[0])),
    ...(initrd !== undefined && { initrd: read(initrd, initrd) }),
    commandLine,
    ...(format !== undefined && { format }),
  };
}

/**
 * A machine with the guest in it. The modules of a PVH image are programs and must be ELF files; other kernels are given any files.
 * @throws what `openGuest` throws, but FileError
 */
export function loadGuest({ image, modules, ...files }: GuestInput, options: MachineOptions): LoadedGuest {
  const named = modules.map(({ name, bytes }) => {
    const [file, args] = splitModule(name);
    const program = programName(file);
    return { file, bytes, program, commandLine: args === '' ? program : `${program} ${args}` };
  });
  const machine = new Machine(options);
  try {
    const format = naming(image.name, () =>
      machine.load(image.bytes, {
        ...files,
        name: image.name,
        modules: named,
        symbols: () => kernelNames(image.bytes),
      }),
    );
    const programs = new Map<string, NamedImage>();
    if (format === 'pvh')
      for (const { file, bytes, program } of named) programs.set(program, parseImage(file, bytes));
    return { machine, program: (name) => programs.get(name) };
  } catch (error) {
    machine.close();
    throw error;
  }
}

/** An image and its names, from an ELF file or a bzImage. @throws FileError, ImageError naming the file. */
export const openImage = (file: string): NamedImage => parseImage(file, readInput(file));

/** @throws ImageError naming the file */
export function parseImage(file: string, bytes: Uint8Array): NamedImage {
  const elf = naming(file, () => readImage(bytes));
  return { file: elf, symbols: naming(file, () => new SymbolTable(elf)) };
}

/** The name that a program's task has: the file's, without its folder and `.elf`. */
export const programName = (file: string): string => basename(imagePath(file) ?? file, '.elf');

function splitModule(argument: string): [file: string, args: string] {
  const comma = argument.indexOf(',');
  return comma < 0 ? [argument, ''] : [argument.slice(0, comma), argument.slice(comma + 1)];
}

/** Bytes of a file, which may be a packed image. @throws FileError that says what is there instead. */
export function readInput(file: string): Buffer {
  const path = imagePath(file);
  if (path === undefined)
    throw new FileError(
      `expected one of ${packedImages().join(', ')}, found ${file} (a file of that name: ./${file})`,
    );
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FileError(`expected a readable file at ${file}, found ${reasonOf(error)}`);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'a file where a folder should be',
  EISDIR: 'a folder',
  EACCES: 'no right to it',
  EROFS: 'a file system that cannot be written',
  ENOSPC: 'no space left',
  EADDRINUSE: 'the address in use',
  EADDRNOTAVAIL: 'no such address on this machine',
  ENOTFOUND: 'no such host',
};

/** In words, why the operating system refused a file. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return REASONS[code] ?? code;
}

/** Puts the file's name before what is wrong with it. */
function naming<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof ImageError) throw new ImageError(`${file}: ${error.message}`);
    throw error;
  }
}
