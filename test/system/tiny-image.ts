/** Guests of a few instructions: a snippet in an ELF64 file with a PVH note, made without any tool. */
import { assemble } from '../../src/asm/keystone.js';

const HEADER = 64;
const PROGRAM_HEADER = 56;
const NOTE = 20;
const LOAD_ADDRESS = 0x10_0000;
const PT = { LOAD: 1, NOTE: 4 } as const;
const READ_WRITE_EXECUTE = 7;

/** Assembles 32-bit code, which the first CPU executes in protected mode with paging and interrupts off, ESP at 0x80000. */
export async function tinyImage(source: string): Promise<Buffer> {
  const prologue = 'mov $0x80000, %esp\n';
  const { bytes } = await assemble(prologue + source, { mode: 32, address: BigInt(LOAD_ADDRESS) });
  const noteAt = HEADER + 2 * PROGRAM_HEADER;
  const codeAt = noteAt + NOTE;
  const image = Buffer.alloc(codeAt + bytes.length);
  image.write('\x7fELF\x02\x01\x01', 'latin1');
  image.writeUInt16LE(2, 16); // ET_EXEC
  image.writeUInt16LE(62, 18); // x86-64
  image.writeUInt32LE(1, 20);
  image.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 24);
  image.writeBigUInt64LE(BigInt(HEADER), 32);
  image.writeUInt16LE(HEADER, 52);
  image.writeUInt16LE(PROGRAM_HEADER, 54);
  image.writeUInt16LE(2, 56);
  for (const [index, { type, at, size, address }] of [
    { type: PT.LOAD, at: codeAt, size: bytes.length, address: LOAD_ADDRESS },
    { type: PT.NOTE, at: noteAt, size: NOTE, address: 0 },
  ].entries()) {
    const header = HEADER + index * PROGRAM_HEADER;
    image.writeUInt32LE(type, header);
    image.writeUInt32LE(READ_WRITE_EXECUTE, header + 4);
    for (const [field, value] of [at, address, address, size, size, 1].entries())
      image.writeBigUInt64LE(BigInt(value), header + 8 + 8 * field);
  }
  // Xen's note 18, "PHYS32_ENTRY".
  for (const [index, word] of [4, 4, 18, 0, LOAD_ADDRESS].entries())
    image.writeUInt32LE(word, noteAt + 4 * index);
  image.write('Xen\0', noteAt + 12, 'latin1');
  image.set(bytes, codeAt);
  return image;
}
