/** Writes BTF as Documentation/bpf/btf.rst tells it. */

/** By number; those that are not written here are left out. */
export const KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  prototype: 13,
  variable: 14,
  section: 15,
  float: 16,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

export interface EncodedMember {
  readonly name: string;
  readonly type: number;
  readonly bit: number;
  readonly bits?: number;
}

const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
};

export class BtfWriter {
  readonly #types: Buffer[] = [];
  #strings = '\0';

  /** @returns the type's number */
  add(kind: keyof typeof KIND, name: string, sizeOrType: number, extra: number[] = [], elements = 0): number {
    const info = (KIND[kind] << 24) | elements;
    return this.#types.push(words(this.#string(name), info, sizeOrType, ...extra));
  }

  composite(kind: 'struct' | 'union', name: string, size: number, members: readonly EncodedMember[]): number {
    const hasBits = members.some(({ bits }) => bits !== undefined);
    const info = ((KIND[kind] << 24) | members.length | (hasBits ? 1 << 31 : 0)) >>> 0;
    const list = members.flatMap((member) => [
      this.#string(member.name),
      member.type,
      ((member.bits ?? 0) * 2 ** 24 + member.bit) >>> 0,
    ]);
    return this.#types.push(words(this.#string(name), info, size, ...list));
  }

  bytes(): Buffer {
    const types = Buffer.concat(this.#types);
    const strings = Buffer.from(this.#strings, 'latin1');
    const header = words(0x0001_eb9f, 24, 0, types.length, types.length, strings.length);
    return Buffer.concat([header, types, strings]);
  }

  #string(text: string): number {
    if (text === '') return 0;
    const at = this.#strings.length;
    this.#strings += `${text}\0`;
    return at;
  }
}
