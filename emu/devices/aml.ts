/** The few words of ACPI Machine Language that a small DSDT needs (ACPI 6.5, chapter 20 "ACPI Machine Language (AML) Specification"). */

const OP = { zero: 0x00, one: 0x01, name: 0x08, byte: 0x0a, word: 0x0b, dword: 0x0c, string: 0x0d, scope: 0x10, buffer: 0x11, package: 0x12 } as const; // biome-ignore format: a table
const DEVICE = [0x5b, 0x82] as const;
const DUAL_NAME = 0x2e;
/** Resource descriptors (6.4): end tag, interrupt lines, a range of I/O ports, and the word-sized address space of bus numbers. */
const RESOURCE = { end: 0x79, irq: 0x22, io: 0x47, wordSpace: 0x88 } as const;

type Bytes = readonly number[];

/** A length that counts itself: one byte up to 63, else a nibble and a byte (20.2.4); bodies of 4 KiB and more are not needed. */
function counted(body: Bytes): Bytes {
  if (body.length + 1 < 64) return [body.length + 1, ...body];
  const length = body.length + 2;
  return [0x40 | (length & 0xf), length >> 4, ...body];
}

const segment = (name: string): Bytes => [...Buffer.from(name.padEnd(4, '_'))];
/** One or two segments. */
const path = (names: readonly string[]): Bytes =>
  names.length === 1 ? segment(names[0]!) : [DUAL_NAME, ...names.flatMap(segment)];

const le = (value: number, bytes: number): Bytes =>
  Array.from({ length: bytes }, (_, index) => Math.floor(value / 2 ** (8 * index)) & 0xff);

export function integer(value: number): Bytes {
  if (value <= 1) return [value === 0 ? OP.zero : OP.one];
  if (value <= 0xff) return [OP.byte, value];
  if (value <= 0xffff) return [OP.word, ...le(value, 2)];
  return [OP.dword, ...le(value, 4)];
}

/** Three letters and four hexadecimal digits, compressed to 32 bits (EISAID, 19.6.37). */
export function eisaId(id: string): Bytes {
  const letter = (index: number): number => id.charCodeAt(index) - 0x40;
  const letters = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const number = Number.parseInt(id.slice(3), 16);
  return [OP.dword, letters >> 8, letters & 0xff, number >> 8, number & 0xff];
}

/** A string (20.2.3). */
export const text = (value: string): Bytes => [OP.string, ...Buffer.from(value, 'latin1'), 0];

export const name = (of: string, value: Bytes): Bytes => [OP.name, ...segment(of), ...value];
export const packageOf = (...elements: Bytes[]): Bytes => [
  OP.package,
  ...counted([elements.length, ...elements.flat()]),
];
export const scope = (of: string, ...body: Bytes[]): Bytes => [
  OP.scope,
  ...counted([...path([of]), ...body.flat()]),
];
export const device = (of: string, ...body: Bytes[]): Bytes => [
  ...DEVICE,
  ...counted([...segment(of), ...body.flat()]),
];

/** A resource template: descriptors and the end tag, with a checksum of 0, which is not looked at. */
export function resources(...descriptors: Bytes[]): Bytes {
  const template = [...descriptors.flat(), RESOURCE.end, 0];
  return [OP.buffer, ...counted([...integer(template.length), ...template])];
}
/** `count` ports from `first` on, decoded in full. */
export const ports = (first: number, count: number): Bytes => [
  RESOURCE.io,
  1,
  ...le(first, 2),
  ...le(first, 2),
  1,
  count,
];
export const irq = (line: number): Bytes => [RESOURCE.irq, ...le(1 << line, 2)];
/** All bus numbers from 0 to `last`, which the bridge passes on. */
export const buses = (last: number): Bytes => {
  const fixedRange = 0x0c;
  const busNumbers = 2;
  const body = [busNumbers, fixedRange, 0, ...[0, 0, last, 0, last + 1].flatMap((value) => le(value, 2))];
  return [RESOURCE.wordSpace, ...le(body.length, 2), ...body];
};
