/** Builds guests/tiny.S as a kernel is built: linked once to learn the names' addresses, again with the names in it, and stripped. */
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Workshop } from '../boot/build-elf.js';
import { linuxImage } from '../boot/linux-guest.js';
import { kallsymsOf, type NamedAddress, type Release } from './kallsyms-encoder.js';

const folder = resolve('test/linux/guests');
/** Labels of the boot code are below the kernel, and not among its names. */
const UPPER_HALF = 1n << 63n;

export interface TinyLinux {
  /** With its symbol table. */
  readonly named: string;
  /** Without. */
  readonly stripped: string;
  /** The stripped one, packed. */
  readonly bzImage: string;
  readonly symbols: readonly NamedAddress[];
}

/** @param release undefined: without names of its own */
export function buildTinyLinux(shop: Workshop, name: string, release: Release | undefined): TinyLinux {
  const link = (kallsyms: Uint8Array): NamedAddress[] => {
    shop.write('kallsyms.bin', kallsyms);
    shop.run('gcc', '-c', `${folder}/tiny.S`, '-o', `${name}.o`);
    shop.run('ld', '-z', 'noexecstack', '-T', `${folder}/tiny.ld`, '-o', name, `${name}.o`);
    return shop
      .run('nm', '-n', name)
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([address, type, text]) => ({ address: BigInt(`0x${address}`), type: type!, name: text! }))
      .filter(({ address, type }) => address >= UPPER_HALF && type.toLowerCase() !== 'a');
  };
  const symbols = link(new Uint8Array());
  if (release !== undefined) {
    const { address } = symbols.find((symbol) => symbol.name === 'names')!;
    link(kallsymsOf({ release, symbols, strings: ['routine_', 'quiet_', 'Tro'], address }).bytes);
  }
  const stripped = `${name}-stripped`;
  shop.run('strip', '-s', '-o', stripped, name);
  const payload = gzipSync(shop.read(stripped));
  const image = linuxImage(payload);
  image.writeUInt32LE(0x200, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  shop.write(`${name}-bzImage`, image);
  return {
    named: shop.path(name),
    stripped: shop.path(stripped),
    bzImage: shop.path(`${name}-bzImage`),
    symbols,
  };
}
