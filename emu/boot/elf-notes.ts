import type { ElfNote, ElfSection, ElfSegment } from './elf.js';
import { PT, SHT } from './elf-constants.js';
import { ImageError } from './image-error.js';

/** Notes of all note sections, and of those note segments that no note section describes. */
export function readNotes(segments: readonly ElfSegment[], sections: readonly ElfSection[]): ElfNote[] {
  const inSections = sections.filter((section) => section.type === SHT.NOTE && section.data.length > 0);
  const inSegments = segments.filter(
    ({ type, offset, fileSize }) =>
      type === PT.NOTE &&
      !inSections.some(
        (section) => section.offset < offset + fileSize && offset < section.offset + section.data.length,
      ),
  );
  return [...inSections, ...inSegments].flatMap(({ data, align }) => parseNotes(data, align === 8n ? 8 : 4));
}

/** gABI, "Note Section": three words, the name, the descriptor; both padded to the alignment of the table. */
function parseNotes(bytes: Uint8Array, align: 4 | 8): ElfNote[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const padded = (value: number): number => Math.ceil(value / align) * align;
  const notes: ElfNote[] = [];
  for (let at = 0; at < bytes.length; ) {
    const left = bytes.length - at;
    if (left < 12) throw new ImageError(`expected a note header of 12 bytes, found ${left} bytes`);
    const nameSize = view.getUint32(at, true);
    const descSize = view.getUint32(at + 4, true);
    const descAt = padded(12 + nameSize);
    if (descAt + descSize > left) {
      throw new ImageError(
        `expected a note to end in its table, found name and descriptor of ${nameSize} and ${descSize} bytes in ${left}`,
      );
    }
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + at + 12, nameSize).toString('latin1');
    notes.push({
      name: name.replace(/\0$/, ''),
      type: view.getUint32(at + 8, true),
      desc: bytes.subarray(at + descAt, at + descAt + descSize),
    });
    at += padded(descAt + descSize);
  }
  return notes;
}
