/**
 * The kernel itself, which a bzImage holds packed: an ELF file, vmlinux without its symbol table.
 *
 * Where it lies, boot.rst says (payload_offset, payload_length); how it is packed, its first bytes. What Node cannot unpack, the
 * machine's own commands do, as for Linux's scripts/extract-vmlinux.
 */
import { spawnSync } from 'node:child_process';
import * as zlib from 'node:zlib';
import { readLinuxImage, SETUP } from '../../emu/boot/linux-header.js';
import { LinuxError } from './linux-error.js';

/** More than any kernel has. */
const MAX_SIZE = 1 << 30;
/** All but gzip, whose own trailer has it, are followed by the size of the contents (Linux, scripts/Makefile.lib, size_append). */
const SIZE_BYTES = 4;

type Unpack = (packed: Buffer, size: number) => Buffer;

interface Packing {
  readonly name: string;
  readonly magic: readonly number[];
  readonly unpack: Unpack;
}

/** By boot.rst, "payload_offset". */
const PACKINGS: readonly Packing[] = [
  {
    name: 'gzip',
    magic: [0x1f, 0x8b],
    unpack: (packed, size) => zlib.gunzipSync(packed, { maxOutputLength: size }),
  },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: zstd() },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18], unpack: byCommand('lz4') },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58], unpack: byCommand('xz', 'xz-utils') },
  { name: 'lzma', magic: [0x5d, 0x00, 0x00], unpack: byCommand('lzma', 'xz-utils') },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], unpack: byCommand('bzip2') },
  { name: 'lzo', magic: [0x89, 0x4c, 0x5a, 0x4f], unpack: byCommand('lzop') },
];

/**
 * The unpacked kernel of a bzImage.
 * @throws LinuxError where there is none, it is damaged, or no command of this machine unpacks it; ImageError for anything but a bzImage
 */
export function unpackKernel(bzImage: Buffer): Buffer {
  const { code, value } = readLinuxImage(bzImage);
  const start = value(SETUP.payload_offset);
  const payload = code.subarray(start, start + value(SETUP.payload_length));
  const packing = PACKINGS.find(({ magic }) => magic.every((byte, index) => payload[index] === byte));
  if (packing === undefined || payload.length < 2 * SIZE_BYTES)
    throw new LinuxError(
      `expected a kernel packed by ${PACKINGS.map(({ name }) => name).join(', ')} in the image, found ` +
        (payload.length === 0 ? 'none' : `one that begins with ${payload.toString('hex', 0, SIZE_BYTES)}`),
    );
  const end = payload.length - SIZE_BYTES;
  const size = payload.readUInt32LE(end);
  const damaged = (found: string): LinuxError =>
    new LinuxError(
      `expected ${size} bytes packed by ${packing.name} in the image, found ${found}: it is damaged`,
    );
  if (size > MAX_SIZE) throw damaged('less room');
  try {
    const kernel = packing.unpack(packing.name === 'gzip' ? payload : payload.subarray(0, end), size);
    if (kernel.length === size) return kernel;
    throw damaged(`${kernel.length}`);
  } catch (error) {
    throw error instanceof LinuxError ? error : damaged((error as Error).message);
  }
}

/** By zlib since Node 22.15, before by command. */
function zstd(): Unpack {
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (packed: Buffer, options: object) => Buffer };
  if (zstdDecompressSync === undefined) return byCommand('zstd');
  return (packed, maxOutputLength) => zstdDecompressSync(packed, { maxOutputLength });
}

/** @param debianPackage that has the command, where it is called otherwise */
function byCommand(command: string, debianPackage = command): Unpack {
  return (packed, size) => {
    const { error, status, stdout, stderr } = spawnSync(command, ['-dcq'], {
      input: packed,
      maxBuffer: size,
    });
    const code = (error as NodeJS.ErrnoException | undefined)?.code;
    if (code === 'ENOENT')
      throw new LinuxError(
        `expected the command ${command}, which unpacks this kernel, found none on this machine; ` +
          `install it (Debian's package ${debianPackage}), or give the unpacked kernel, vmlinux`,
      );
    if (code === 'ENOBUFS') throw new Error('more');
    if (status !== 0) throw new Error(stderr.toString().trim().split('\n').at(-1) || `status ${status}`);
    return stdout;
  };
}
