/** Multiboot kernels built from guests/multiboot.c, in the kinds of files that loaders meet. */
import { resolve } from 'node:path';
import type { Workshop } from './build-elf.js';

const SOURCE = resolve('test/boot/guests/multiboot.c');
const SCRIPT = resolve('test/boot/guests/multiboot.ld');
const COMPILE = [
  ...[
    '-m32',
    '-O1',
    '-ffreestanding',
    '-fno-pic',
    '-fno-stack-protector',
    '-mno-sse',
    '-fcf-protection=none',
  ],
  ...['-Wall', '-Wextra', '-Werror'],
];
const BASE = 0x10_0000;

export type FileKind = 'elf32' | 'elf64' | 'flat';

export interface GuestBuild {
  readonly version: 1 | 2;
  readonly file: FileKind;
  /** What the source's first comment lists, such as `ADDRESSES`. */
  readonly defines?: readonly string[];
  /** Where it is linked; default 1 MiB. */
  readonly base?: number;
}

/** Builds `name` in the workshop; returns the file's bytes. */
export function buildGuest(
  shop: Workshop,
  name: string,
  { version, file, defines = [], base = BASE }: GuestBuild,
): Uint8Array {
  const words = [`VERSION=${version}`, ...defines].map((define) => `-D${define}`);
  shop.run('gcc', ...COMPILE, ...words, '-c', SOURCE, '-o', 'guest.o');
  const link = ['-m', 'elf_i386', '-z', 'noexecstack', '--no-warn-rwx-segments'];
  shop.run('ld', ...link, '-defsym', `BASE=${base}`, '-T', SCRIPT, 'guest.o', '-o', 'guest.elf');
  const format = { elf32: 'elf32-i386', elf64: 'elf64-x86-64', flat: 'binary' }[file];
  shop.run('objcopy', '-I', 'elf32-i386', '-O', format, 'guest.elf', name);
  return shop.read(name);
}
