import { type ElfFile, parseElf } from './elf.js';
import { ELF_MAGIC } from './elf-constants.js';

/** An image's bytes, looked at by several formats; as an ELF file it is read once. */
export class ImageFile {
  readonly bytes: Buffer;
  #elf: ElfFile | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** It begins as an ELF file does; it may still be damaged. */
  get isElf(): boolean {
    return this.bytes.length >= 4 && this.bytes.readUInt32BE(0) === ELF_MAGIC;
  }

  /** @throws ImageError when it is no ELF file, or a damaged one. */
  get elf(): ElfFile {
    this.#elf ??= parseElf(this.bytes);
    return this.#elf;
  }
}
