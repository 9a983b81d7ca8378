/** A Linux image of a few instructions: a setup header as boot.rst lists it, with code behind it. */

export interface HeaderValues {
  readonly setup_sects?: number;
  readonly boot_flag?: number;
  readonly length?: number;
  readonly magic?: number;
  readonly version?: number;
  readonly loadflags?: number;
  readonly initrd_addr_max?: number;
  readonly kernel_alignment?: number;
  readonly relocatable_kernel?: number;
  readonly xloadflags?: number;
  readonly cmdline_size?: number;
  readonly pref_address?: number;
  readonly init_size?: number;
}

const SECTOR = 512;
/** "Offset/Size" of boot.rst's table, "The Real-Mode Kernel Header". */
const FIELDS: Readonly<Record<keyof HeaderValues, readonly [at: number, size: number, value: number]>> = {
  setup_sects: [0x1f1, 1, 1],
  boot_flag: [0x1fe, 2, 0xaa55],
  length: [0x201, 1, 0x6a],
  magic: [0x202, 4, 0x5372_6448],
  version: [0x206, 2, 0x20f],
  loadflags: [0x211, 1, 1],
  initrd_addr_max: [0x22c, 4, 0x7fff_ffff],
  kernel_alignment: [0x230, 4, 0x20_0000],
  relocatable_kernel: [0x234, 1, 1],
  xloadflags: [0x236, 2, 1],
  cmdline_size: [0x238, 4, 2047],
  pref_address: [0x258, 6, 0x100_0000],
  init_size: [0x260, 4, 0x10_0000],
};
const SYSSIZE = 0x1f4;
const ENTRY_64 = 0x200;

/** The protected-mode part of the file begins here. */
export const CODE_AT = 2 * SECTOR;

/** @param code at the kernel's 64-bit entry, or at its 32-bit one when `xloadflags` is 0 */
export function linuxImage(code: Uint8Array, values: HeaderValues = {}): Buffer {
  const at = values.xloadflags === 0 ? 0 : ENTRY_64;
  const size = Math.ceil((at + code.length) / 16) * 16;
  const image = Buffer.alloc(CODE_AT + size);
  for (const [name, [field, bytes, value]] of Object.entries(FIELDS))
    image.writeUIntLE(values[name as keyof HeaderValues] ?? value, field, bytes);
  image.writeUInt32LE(size / 16, SYSSIZE);
  image.set(code, CODE_AT + at);
  return image;
}
