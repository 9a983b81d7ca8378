/** The setup header of a Linux image, as the kernel's Documentation/arch/x86/boot.rst lists it; versions as major << 8 + minor. */
import { hex } from './elf-bytes.js';
import { ImageError } from './image-error.js';

interface Field {
  readonly at: number;
  readonly size: 1 | 2 | 4 | 8;
  /** The first version of the protocol that has it; 0: all. */
  readonly since?: number;
  /** What boot.rst says that its absence means. */
  readonly otherwise?: number;
}

/** What the loader reads or writes, by boot.rst's names; the same offsets hold in `struct boot_params`. */
export const SETUP = {
  setup_sects: { at: 0x1f1, size: 1 },
  syssize: { at: 0x1f4, size: 4, since: 0x204 },
  vid_mode: { at: 0x1fa, size: 2 },
  boot_flag: { at: 0x1fe, size: 2 },
  header_length: { at: 0x201, size: 1 },
  header: { at: 0x202, size: 4 },
  version: { at: 0x206, size: 2 },
  type_of_loader: { at: 0x210, size: 1 },
  loadflags: { at: 0x211, size: 1 },
  code32_start: { at: 0x214, size: 4 },
  ramdisk_image: { at: 0x218, size: 4 },
  ramdisk_size: { at: 0x21c, size: 4 },
  cmd_line_ptr: { at: 0x228, size: 4 },
  initrd_addr_max: { at: 0x22c, size: 4, since: 0x203, otherwise: 0x37ff_ffff },
  kernel_alignment: { at: 0x230, size: 4, since: 0x205 },
  relocatable_kernel: { at: 0x234, size: 1, since: 0x205 },
  xloadflags: { at: 0x236, size: 2, since: 0x20c },
  cmdline_size: { at: 0x238, size: 4, since: 0x206, otherwise: 255 },
  payload_offset: { at: 0x248, size: 4, since: 0x208 },
  payload_length: { at: 0x24c, size: 4, since: 0x208 },
  pref_address: { at: 0x258, size: 8, since: 0x20a },
  init_size: { at: 0x260, size: 4, since: 0x20a },
} as const satisfies Record<string, Field>;

export const LOADFLAG_LOADED_HIGH = 1 << 0;
export const XLF_KERNEL_64 = 1 << 0;

const BOOT_FLAG = 0xaa55;
/** "HdrS". */
const HEADER_MAGIC = 0x5372_6448;
/** The first with a command line at any address. */
const OLDEST = 0x202;
/** The header's length counts from its magic. */
const LENGTH_FROM = 0x202;
/** The hole for it in `struct boot_params` ends here. */
const HEADER_LIMIT = 0x290;
const SECTOR = 512;
/** A header that says 0 means 4. */
const DEFAULT_SETUP_SECTORS = 4;
const PARAGRAPH = 16;

/** Whether the file has the boot sector's flag and the header's magic. */
export const isLinuxImage = (bytes: Buffer): boolean =>
  bytes.length >= SETUP.version.at + SETUP.version.size &&
  readField(bytes, SETUP.boot_flag) === BOOT_FLAG &&
  readField(bytes, SETUP.header) === HEADER_MAGIC;

/** A number in a header or in boot_params; above 2^53 it is not exact, and far above any address here. */
export const readField = (bytes: Buffer, { at, size }: Field): number =>
  size === 8 ? Number(bytes.readBigUInt64LE(at)) : bytes.readUIntLE(at, size);

export function writeField(bytes: Buffer, { at, size }: Field, value: number): void {
  if (size === 8) bytes.writeBigUInt64LE(BigInt(value), at);
  else bytes.writeUIntLE(value, at, size);
}

/** A Linux image taken apart. */
export interface LinuxImage {
  /** Protocol version. */
  readonly version: number;
  /** The setup header's bytes, which lie at SETUP.setup_sects in the file and in boot_params. */
  readonly header: Buffer;
  /** The protected-mode part. */
  readonly code: Buffer;
  /** A field's value, or what its absence means. */
  value(field: Field): number;
}

/** @throws ImageError for anything but a bzImage of protocol 2.02 or later with all that its header announces. */
export function readLinuxImage(bytes: Buffer): LinuxImage {
  if (!isLinuxImage(bytes))
    throw new ImageError(
      'expected a Linux image (aa55 at offset 0x1fe and HdrS at 0x202), found other bytes there',
    );
  const version = readField(bytes, SETUP.version);
  if (version < OLDEST)
    throw new ImageError(
      `expected Linux boot protocol 2.02 or later, found ${version >> 8}.${String(version & 0xff).padStart(2, '0')}`,
    );
  const end = LENGTH_FROM + readField(bytes, SETUP.header_length);
  const needed = Math.max(
    ...Object.values(SETUP)
      .filter((field: Field) => (field.since ?? 0) <= version)
      .map(({ at, size }) => at + size),
  );
  if (end < needed || end > HEADER_LIMIT || end > bytes.length)
    throw new ImageError(
      `expected the setup header to end between ${hex(needed)} and ${hex(HEADER_LIMIT)} and in the file, found its end at ${hex(end)}`,
    );
  const value = (field: Field): number =>
    (field.since ?? 0) <= version ? readField(bytes, field) : (field.otherwise ?? 0);
  return {
    version,
    header: bytes.subarray(SETUP.setup_sects.at, end),
    code: protectedModeCode(bytes, value(SETUP.setup_sects), value(SETUP.syssize)),
    value,
  };
}

/** The part behind the boot sector and the setup's sectors; its size is rounded up to paragraphs. */
function protectedModeCode(bytes: Buffer, setupSectors: number, paragraphs: number): Buffer {
  const start = ((setupSectors || DEFAULT_SETUP_SECTORS) + 1) * SECTOR;
  const end = paragraphs === 0 ? bytes.length : start + paragraphs * PARAGRAPH;
  if (start >= bytes.length || end - bytes.length >= PARAGRAPH)
    throw new ImageError(
      `expected the kernel's code at file offset ${hex(start)} with its end at ${hex(end)}, ` +
        `found a file of ${hex(bytes.length)} bytes: it is damaged or was cut short`,
    );
  return bytes.subarray(start, end);
}
