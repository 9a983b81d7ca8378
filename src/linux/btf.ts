/**
 * The types of a Linux kernel, from its `.BTF` section: where a member of a structure lies.
 *
 * The section is a header, a list of types, and a table of strings. A type has no length of its own and its number is its place in
 * the list, so the list is walked once; members are read when they are asked for.
 *
 * Source: Linux, Documentation/bpf/btf.rst, "BTF Type and String Encoding".
 */
import type { ElfFile } from '../../emu/boot/elf.js';
import { LinuxError } from './linux-error.js';

const MAGIC = 0xeb9f;
const VERSION = 1;
const HEADER = { magic: 0, version: 2, length: 4, types: 8, typesLength: 12, strings: 16, stringsLength: 20 };
const HEADER_SIZE = 24;
const TYPE_SIZE = 12;
const MEMBER_SIZE = 12;

/** Kinds of types, with the bytes that follow the common ones: some once, some for each of `vlen` elements. */
const KINDS = [
  { name: 'void' },
  { name: 'int', once: 4 },
  { name: 'pointer' },
  { name: 'array', once: 12 },
  { name: 'struct', each: MEMBER_SIZE },
  { name: 'union', each: MEMBER_SIZE },
  { name: 'enum', each: 8 },
  { name: 'forward' },
  { name: 'typedef' },
  { name: 'volatile' },
  { name: 'const' },
  { name: 'restrict' },
  { name: 'function' },
  { name: 'prototype', each: 8 },
  { name: 'variable', once: 4 },
  { name: 'section', each: 12 },
  { name: 'float' },
  { name: 'declaration tag', once: 4 },
  { name: 'type tag' },
  { name: 'enum', each: 12 },
] as const satisfies readonly { name: string; once?: number; each?: number }[];

type Kind = (typeof KINDS)[number]['name'];
interface KindRow {
  readonly name: Kind;
  readonly once?: number;
  readonly each?: number;
}

const POINTER_SIZE = 8;

/** Types that are another one under a name or with a property. */
const ALIASES: ReadonlySet<Kind> = new Set(['typedef', 'volatile', 'const', 'restrict', 'type tag']);
/** Types of which `size` says how large they are. */
const SIZED: ReadonlySet<Kind> = new Set(['int', 'struct', 'union', 'enum', 'float', 'section']);
const isComposite = (kind: Kind): boolean => kind === 'struct' || kind === 'union';

/** Aliases of aliases, arrays of arrays: kernels have a handful. */
const MAX_DEPTH = 64;
/** Types without names in one structure. */
const MAX_NAMELESS = 4096;

/** Where a member lies, from the start of the structure that a path begins with. */
export interface MemberPlace {
  /** Bytes; of a bit field those to the byte with its first bit. */
  readonly offset: number;
  /** Bytes of the member's type. */
  readonly size: number;
  /** Only of a bit field: its first bit in that byte, and how many there are. */
  readonly bits?: { readonly from: number; readonly count: number };
}

interface Type {
  readonly kind: Kind;
  readonly name: number;
  readonly hasBitFields: boolean;
  readonly elements: number;
  /** Or the number of another type. */
  readonly size: number;
  /** Behind the common bytes. */
  readonly at: number;
  /** Where the next type begins. */
  readonly end: number;
}

const VOID: Type = { kind: 'void', name: 0, hasBitFields: false, elements: 0, size: 0, at: 0, end: 0 };

interface Member {
  readonly type: number;
  readonly bit: number;
  readonly bits: number;
}

/** The types of an image that has them. @throws LinuxError where it has none, or they are damaged */
export function btfOf({ sections }: Pick<ElfFile, 'sections'>): Btf {
  const section = sections.find(({ name }) => name === '.BTF');
  if (section === undefined)
    throw new LinuxError(
      'expected a kernel with BTF (a section .BTF), found none: it was built without CONFIG_DEBUG_INFO_BTF',
    );
  return new Btf(section.data);
}

export class Btf {
  readonly #bytes: Buffer;
  /** Where each type begins, by number; type 0 is void. */
  readonly #types: number[] = [0];
  readonly #strings: Buffer;
  /** Structures and unions by name; of several with one name the first. */
  readonly #composites = new Map<string, number>();

  /** @throws LinuxError where the bytes are no BTF, or damaged */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const { types, strings } = sectionsOf(this.#bytes);
    this.#strings = strings;
    for (let at = types.start; at < types.end; ) {
      if (at + TYPE_SIZE > types.end) throw damaged(`a type that begins at ${at}, near the end of all`);
      const { kind, name, end } = this.#typeAt(at);
      if (end > types.end) throw damaged(`a type from ${at} to ${end}, behind the end of all`);
      if (isComposite(kind) && name !== 0) {
        const text = this.#text(name);
        if (!this.#composites.has(text)) this.#composites.set(text, this.#types.length);
      }
      this.#types.push(at);
      at = end;
    }
  }

  /** Bytes of a structure or union. @throws LinuxError where there is none of that name */
  sizeOf(name: string): number {
    return this.#type(this.#composite(name)).size;
  }

  /** Whether there is a structure or union of that name. */
  has(name: string): boolean {
    return this.#composites.has(name);
  }

  /**
   * Where a member lies, such as `task_struct.unwind_info.id.cpu`: a structure or union, and members of members. What has no name
   * is left out, as in C.
   * @throws LinuxError that names the part of the path that is not there
   */
  member(path: string): MemberPlace {
    const [first = '', ...names] = path.split('.');
    let type = this.#composite(first);
    let bit = 0;
    let bits = 0;
    for (const [index, name] of names.entries()) {
      const parent = [first, ...names.slice(0, index)].join('.');
      const found = this.#find(this.#resolved(type), name, new Set([type]));
      if (found === undefined) throw new LinuxError(this.#absence(parent, name, type));
      bit += found.bit;
      bits = found.bits;
      type = found.type;
    }
    const place = { offset: bit >> 3, size: this.#sizeOf(type) };
    return bits === 0 ? place : { ...place, bits: { from: bit & 7, count: bits } };
  }

  /** Bytes from the start of a structure to a member. @throws LinuxError also for a bit field, which begins inside a byte or may do so */
  offsetOf(path: string): number {
    const { offset, bits } = this.member(path);
    if (bits !== undefined)
      throw new LinuxError(`expected ${path} to be a member of whole bytes, found ${bits.count} bits of one`);
    return offset;
  }

  #composite(name: string): number {
    const type = this.#composites.get(name);
    if (type === undefined)
      throw new LinuxError(`expected a struct or union ${name} in the kernel's BTF, found none`);
    return type;
  }

  #absence(parent: string, name: string, type: number): string {
    const { kind } = this.#type(this.#resolved(type));
    return isComposite(kind)
      ? `expected a member ${name} of ${parent} in the kernel's BTF, found none`
      : `expected ${parent} to be a struct or union with a member ${name}, found ${article(kind)} ${kind}`;
  }

  /** A member by name, in what has no name too. @param seen types without names that do not have it */
  #find(composite: number, name: string, seen: Set<number>): Member | undefined {
    const parent = this.#type(composite);
    if (!isComposite(parent.kind)) return undefined;
    if (seen.size > MAX_NAMELESS)
      throw damaged(`more than ${MAX_NAMELESS} members without names in one type`);
    const nameless: Member[] = [];
    for (let index = 0; index < parent.elements; index++) {
      const at = parent.at + index * MEMBER_SIZE;
      const member = this.#memberAt(at, parent.hasBitFields);
      const text = this.#text(this.#bytes.readUInt32LE(at));
      if (text === '') nameless.push(member);
      else if (text === name) return member;
    }
    for (const { type, bit } of nameless) {
      const inner = this.#resolved(type);
      if (seen.has(inner)) continue;
      seen.add(inner);
      const found = this.#find(inner, name, seen);
      if (found !== undefined) return { ...found, bit: bit + found.bit };
    }
    return undefined;
  }

  #memberAt(at: number, hasBitFields: boolean): Member {
    const type = this.#bytes.readUInt32LE(at + 4);
    const offset = this.#bytes.readUInt32LE(at + 8);
    return hasBitFields
      ? { type, bit: offset & 0xff_ffff, bits: offset >>> 24 }
      : { type, bit: offset, bits: 0 };
  }

  /** The type behind all names and properties. */
  #resolved(type: number): number {
    let current = type;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const { kind, size } = this.#type(current);
      if (!ALIASES.has(kind)) return current;
      current = size;
    }
    throw damaged(`type ${type}, which is a name of itself`);
  }

  #sizeOf(type: number): number {
    let current = this.#resolved(type);
    let count = 1;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const { kind, size, at } = this.#type(current);
      if (kind === 'pointer') return count * POINTER_SIZE;
      if (kind !== 'array') return SIZED.has(kind) ? count * size : 0;
      count *= this.#bytes.readUInt32LE(at + 8);
      current = this.#resolved(this.#bytes.readUInt32LE(at));
    }
    throw damaged(`type ${type}, which is an array of itself`);
  }

  #type(number: number): Type {
    const at = this.#types[number];
    if (at === undefined) throw damaged(`the number ${number} of a type, of ${this.#types.length}`);
    return number === 0 ? VOID : this.#typeAt(at);
  }

  #typeAt(at: number): Type {
    const info = this.#bytes.readUInt32LE(at + 4);
    const number = (info >>> 24) & 0x1f;
    const kind: KindRow | undefined = KINDS[number];
    if (kind === undefined || number === 0) throw damaged(`a type of kind ${number} at offset ${at}`);
    const { name, once = 0, each = 0 } = kind;
    const elements = info & 0xffff;
    return {
      kind: name,
      name: this.#bytes.readUInt32LE(at),
      hasBitFields: info >>> 31 === 1,
      elements,
      size: this.#bytes.readUInt32LE(at + 8),
      at: at + TYPE_SIZE,
      end: at + TYPE_SIZE + once + each * elements,
    };
  }

  #text(offset: number): string {
    const end = offset < this.#strings.length ? this.#strings.indexOf(0, offset) : -1;
    if (end < 0) throw damaged(`a name at ${offset} of ${this.#strings.length} bytes of names`);
    return this.#strings.toString('latin1', offset, end);
  }
}

function sectionsOf(bytes: Buffer): { types: { start: number; end: number }; strings: Buffer } {
  if (bytes.length < HEADER_SIZE || bytes.readUInt16LE(HEADER.magic) !== MAGIC)
    throw new LinuxError(
      `expected BTF, which begins with ${MAGIC.toString(16)}, found ${bytes.toString('hex', 0, 2) || 'nothing'}`,
    );
  if (bytes[HEADER.version] !== VERSION)
    throw new LinuxError(`expected BTF of version ${VERSION}, found version ${bytes[HEADER.version]}`);
  const within = (what: string, offset: number, length: number): { start: number; end: number } => {
    const start = bytes.readUInt32LE(HEADER.length) + bytes.readUInt32LE(offset);
    const end = start + bytes.readUInt32LE(length);
    if (start < HEADER_SIZE || end > bytes.length)
      throw damaged(`its ${what} from ${start} to ${end} in ${bytes.length} bytes`);
    return { start, end };
  };
  const strings = within('names', HEADER.strings, HEADER.stringsLength);
  return {
    types: within('types', HEADER.types, HEADER.typesLength),
    strings: bytes.subarray(strings.start, strings.end),
  };
}

const damaged = (found: string): LinuxError =>
  new LinuxError(`expected the kernel's BTF to be whole, found ${found}: it is damaged`);

const article = (word: string): string => (/^[aeiou]/.test(word) ? 'an' : 'a');
