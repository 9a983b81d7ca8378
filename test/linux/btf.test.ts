/** Members of structures by BTF: against gcc, which writes BTF and knows offsetof; and against generated structures. */
import fc from 'fast-check';
import { afterAll, describe, expect, it, test } from 'vitest';
import { parseElf } from '../../emu/boot/elf.js';
import { Btf, btfOf, type MemberPlace } from '../../src/linux/btf.js';
import { LinuxError } from '../../src/linux/linux-error.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';
import { damaged, damages } from '../boot/damage.js';
import { BtfWriter, type EncodedMember, KIND } from './btf-encoder.js';

const SEED = 17;

/** Structures as the kernel has them. */
const SOURCE = `
typedef unsigned int u32;
typedef unsigned long long u64;
struct callback_head { struct callback_head *next; void (*func)(struct callback_head *); };
union unwind_task_id { struct { u32 cpu; u32 cnt; }; u64 id; };
struct unwind_task_info {
  unsigned long unwind_mask;
  struct unwind_cache *cache;
  struct callback_head work;
  union unwind_task_id id;
};
typedef struct { volatile int counter; } atomic_t;
typedef const atomic_t constant_t;
struct thread { u64 sp; float ratio; enum { IDLE, BUSY = 7 } state; };
struct task {
  char comm[16];
  unsigned in_execve : 1, reset_on_fork : 3;
  u32 flags;
  union { struct { u64 pid; union { u32 low; struct { char deep, deeper; }; }; }; char raw[40]; };
  struct thread threads[3];
  struct thread *last;
  constant_t usage;
  atomic_t *restrict volatile users;
  struct unwind_task_info unwind_info;
  struct { int x; struct { int y; } inner; } named, pair[2];
};
struct task a_task;
union unwind_task_id an_id;
`;

const PATHS = [
  'task.comm',
  'task.flags',
  'task.pid',
  'task.low',
  'task.deep',
  'task.deeper',
  'task.raw',
  'task.threads',
  'task.last',
  'task.usage',
  'task.usage.counter',
  'task.users',
  'task.unwind_info',
  'task.unwind_info.cache',
  'task.unwind_info.work.func',
  'task.unwind_info.id',
  'task.unwind_info.id.cpu',
  'task.unwind_info.id.cnt',
  'task.unwind_info.id.id',
  'task.named.x',
  'task.named.inner',
  'task.named.inner.y',
  'task.pair',
  'thread.ratio',
  'thread.state',
  'unwind_task_id.cnt',
] as const;
const TAGS = ['union unwind_task_id', 'struct task', 'struct thread', 'struct unwind_task_info'];

const shop = new Workshop();
afterAll(() => shop.remove());

describe.skipIf(missingTools.length > 0)(`what gcc says${toolsNote}`, () => {
  const compiled = () => {
    const tagOf = (path: string): string => TAGS.find((tag) => tag.endsWith(` ${path.split('.')[0]}`))!;
    const numbers = PATHS.flatMap((path) => {
      const member = path.slice(path.indexOf('.') + 1);
      return [`__builtin_offsetof(${tagOf(path)}, ${member})`, `sizeof(((${tagOf(path)} *)0)->${member})`];
    });
    numbers.push(...TAGS.map((tag) => `sizeof(${tag})`));
    const facts = `const unsigned long facts[] __attribute__((section(".facts"))) = { ${numbers.join(',\n')} };`;
    shop.write('types.c', `${SOURCE}\n${facts}\n`);
    shop.run('gcc', '-gbtf', '-c', 'types.c');
    const elf = parseElf(shop.read('types.o'));
    const { data } = elf.sections.find(({ name }) => name === '.facts')!;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    return { btf: btfOf(elf), number: (index: number) => Number(view.getBigUint64(8 * index, true)) };
  };

  it('of members and sizes is what BTF says', () => {
    const { btf, number } = compiled();
    for (const [index, path] of PATHS.entries()) {
      expect(btf.member(path), path).toEqual({ offset: number(2 * index), size: number(2 * index + 1) });
      expect(btf.offsetOf(path)).toBe(number(2 * index));
    }
    for (const [index, tag] of TAGS.entries())
      expect(btf.sizeOf(tag.split(' ')[1]!), tag).toBe(number(2 * PATHS.length + index));
  });
});

test('bit fields have their first bit and how many they are', () => {
  const writer = new BtfWriter();
  const int = writer.add('int', 'unsigned int', 4, [32]);
  const members = [
    { name: 'whole', type: int, bit: 0 },
    { name: 'one', type: int, bit: 32, bits: 1 },
    { name: 'thirteen', type: int, bit: 43, bits: 13 },
  ];
  writer.composite('struct', 'flags', 8, members);
  const btf = new Btf(writer.bytes());
  expect(btf.member('flags.whole')).toEqual({ offset: 0, size: 4 });
  expect(btf.member('flags.one')).toEqual({ offset: 4, size: 4, bits: { from: 0, count: 1 } });
  expect(btf.member('flags.thirteen')).toEqual({ offset: 5, size: 4, bits: { from: 3, count: 13 } });
  expect(() => btf.offsetOf('flags.thirteen')).toThrow(
    'expected flags.thirteen to be a member of whole bytes, found 13 bits',
  );
});

/** A type in memory; members without a name are written as C writes them. */
type Shape =
  | {
      readonly kind: 'value';
      readonly size: 1 | 2 | 4 | 8;
      readonly wraps: readonly Wrap[];
      readonly bits?: number;
    }
  | { readonly kind: 'struct' | 'union'; readonly isNamed: boolean; readonly members: readonly Shape[] };
type Wrap = 'typedef' | 'const' | 'volatile' | 'restrict' | 'typeTag' | 'pointer' | 'array';

const value: fc.Arbitrary<Shape> = fc.record({
  kind: fc.constant('value' as const),
  size: fc.constantFrom(1, 2, 4, 8),
  wraps: fc.array(
    fc.constantFrom('typedef', 'const', 'volatile', 'restrict', 'typeTag', 'pointer', 'array'),
    { maxLength: 3 },
  ),
  bits: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 7 }) },
  ),
}) as fc.Arbitrary<Shape>;
const { shape } = fc.letrec<{ shape: Shape }>((tie) => ({
  shape: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    value,
    fc.record({
      kind: fc.constantFrom('struct' as const, 'union' as const),
      isNamed: fc.boolean(),
      members: fc.array(tie('shape'), { minLength: 1, maxLength: 5 }),
    }),
  ),
}));

interface Written {
  readonly type: number;
  readonly size: number;
  /** Members by path, from the type's start in bits. */
  readonly places: ReadonlyMap<string, { bit: number; size: number; bits: number | undefined }>;
}

class ShapeWriter {
  readonly btf = new BtfWriter();
  #names = 0;

  write(shape: Shape, name = ''): Written {
    return shape.kind === 'value' ? this.#value(shape) : this.#composite(shape, name);
  }

  #value({ size, wraps, bits }: Shape & { kind: 'value' }): Written {
    let type = this.btf.add('int', 'number', size, [8 * size]);
    let bytes: number = size;
    if (bits === undefined)
      for (const wrap of wraps) {
        if (wrap === 'array') {
          type = this.btf.add('array', '', 0, [type, 1, 3]);
          bytes *= 3;
        } else {
          type = this.btf.add(wrap, wrap === 'typedef' ? 'alias' : '', type);
          if (wrap === 'pointer') bytes = 8;
        }
      }
    return { type, size: bytes, places: new Map() };
  }

  #composite({ kind, members }: Shape & { kind: 'struct' | 'union' }, name: string): Written {
    const places = new Map<string, { bit: number; size: number; bits: number | undefined }>();
    const encoded: EncodedMember[] = [];
    let end = 0;
    for (const member of members) {
      const written = this.write(member);
      const bits = member.kind === 'value' ? member.bits : undefined;
      const isNamed = member.kind === 'value' || member.isNamed;
      const text = isNamed ? `m${this.#names++}` : '';
      const bit = kind === 'union' ? 0 : bits === undefined ? 8 * Math.ceil(end / 8) : end;
      encoded.push({ name: text, type: written.type, bit, ...(bits !== undefined && { bits }) });
      if (isNamed) places.set(text, { bit, size: written.size, bits });
      for (const [path, inner] of written.places)
        places.set(isNamed ? `${text}.${path}` : path, { ...inner, bit: bit + inner.bit });
      end = Math.max(end, bit + (bits ?? 8 * written.size));
    }
    const size = Math.ceil(end / 8);
    return { type: this.btf.composite(kind, name, size, encoded), size, places };
  }
}

const placeOf = (bit: number, size: number, bits: number | undefined): MemberPlace => ({
  offset: bit >> 3,
  size,
  ...(bits !== undefined && { bits: { from: bit & 7, count: bits } }),
});

/** Kinds that the reader has no use for, but must step over. */
function clutter(writer: BtfWriter): void {
  writer.add('enum', 'color', 4, [0, 1, 0, 2], 2);
  writer.add('enum64', 'large', 8, [0, 1, 2, 0, 3, 4], 2);
  writer.add('forward', 'elsewhere', 0);
  const prototype = writer.add('prototype', '', 0, [0, 1, 0, 1], 2);
  writer.add('function', 'f', prototype);
  const variable = writer.add('variable', 'v', 1, [1]);
  writer.add('section', '.data', 4, [variable, 0, 4], 1);
  writer.add('float', 'double', 8);
  writer.add('declarationTag', 'tag', variable, [0xffff_ffff]);
}

function sample(tree: Shape): { bytes: Buffer; places: Written['places']; size: number } {
  const writer = new ShapeWriter();
  clutter(writer.btf);
  const { places, size } = writer.write(tree, 'root');
  clutter(writer.btf);
  return { bytes: writer.btf.bytes(), places, size };
}

const root = shape.filter(({ kind }) => kind !== 'value');

test('every member of a generated structure is found where it was put', () => {
  fc.assert(
    fc.property(root, (tree) => {
      const { bytes, places, size } = sample(tree);
      const btf = new Btf(bytes);
      expect(btf.sizeOf('root')).toBe(size);
      for (const [path, { bit, size: bytesOf, bits }] of places)
        expect(btf.member(`root.${path}`), path).toEqual(placeOf(bit, bytesOf, bits));
    }),
    { numRuns: 300, seed: SEED },
  );
});

test('a thousand damaged ones are refused in one sentence or answered', () => {
  const [tree] = fc
    .sample(root, { numRuns: 50, seed: SEED })
    .sort((a, b) => sample(b).places.size - sample(a).places.size);
  const { bytes, places } = sample(tree!);
  expect(places.size).toBeGreaterThan(20);
  let refused = 0;
  fc.assert(
    fc.property(
      damages(bytes, [
        { at: 0, bytes: 24 },
        { at: 24, bytes: bytes.length - 24 },
      ]),
      (damage) => {
        try {
          const btf = new Btf(damaged(bytes, damage));
          for (const path of places.keys()) btf.member(`root.${path}`);
        } catch (error) {
          if (!(error instanceof LinuxError)) throw error;
          expect(error.message).toMatch(/^expected [^\n]*$/);
          refused++;
        }
      },
    ),
    { numRuns: 1000, seed: SEED },
  );
  expect(refused).toBeGreaterThan(200);
  expect(refused).toBeLessThan(1000);
});

/** BTF in which type 1 is as given. */
const btfWith = (write: (writer: BtfWriter) => void): Btf => {
  const writer = new BtfWriter();
  write(writer);
  return new Btf(writer.bytes());
};

test.each<[name: string, btf: () => Btf, path: string, sentence: RegExp]>([
  [
    'a structure that is not there',
    () => btfWith(clutter),
    'task.pid',
    /^expected a struct or union task in the kernel's BTF, found none$/,
  ],
  [
    'a member that is not there',
    () => btfWith((writer) => writer.composite('struct', 'task', 0, [])),
    'task.pid',
    /^expected a member pid of task in the kernel's BTF, found none$/,
  ],
  [
    'a member without a name',
    () => btfWith((writer) => writer.composite('struct', 'task', 0, [{ name: '', type: 1, bit: 0 }])),
    'task.',
    /^expected a member {2}of task/,
  ],
  [
    'a member of a number',
    () =>
      btfWith((writer) => {
        const int = writer.add('int', 'int', 4, [32]);
        writer.composite('struct', 'task', 0, [{ name: 'pid', type: int, bit: 0 }]);
      }),
    'task.pid.low',
    /^expected task\.pid to be a struct or union with a member low, found an int$/,
  ],
  [
    'a structure that contains itself',
    () => btfWith((writer) => writer.composite('struct', 'task', 0, [{ name: '', type: 1, bit: 0 }])),
    'task.pid',
    /^expected a member pid of task/,
  ],
  [
    'a name of itself',
    () =>
      btfWith((writer) => {
        writer.add('typedef', 'a', 1);
        writer.composite('struct', 'task', 0, [{ name: 'pid', type: 1, bit: 0 }]);
      }),
    'task.pid',
    /a name of itself: it is damaged$/,
  ],
  [
    'an array of itself',
    () =>
      btfWith((writer) => {
        writer.add('array', '', 0, [1, 1, 2]);
        writer.composite('struct', 'task', 0, [{ name: 'pid', type: 1, bit: 0 }]);
      }),
    'task.pid',
    /an array of itself: it is damaged$/,
  ],
  [
    'a type that is not there',
    () => btfWith((writer) => writer.composite('struct', 'task', 0, [{ name: 'pid', type: 9, bit: 0 }])),
    'task.pid',
    /found the number 9 of a type, of 2: it is damaged$/,
  ],
  ['no bytes', () => new Btf(new Uint8Array()), '', /^expected BTF, which begins with eb9f, found nothing$/],
  ['other bytes', () => new Btf(Buffer.alloc(64, 7)), '', /found 0707$/],
  ['a file without BTF', () => btfOf({ sections: [] }), '', /a section \.BTF\), found none/],
])('%s is told in one sentence', (_, btf, path, sentence) => {
  expect(() => btf().member(path)).toThrow(LinuxError);
  expect(() => btf().member(path)).toThrow(sentence);
});

test('structures that contain each other without names end the search', () => {
  const layers = 30;
  const btf = btfWith((writer) => {
    for (let layer = 0; layer < layers; layer++) {
      const inner = { name: '', type: layer + 2, bit: 0 };
      writer.composite('struct', layer === 0 ? 'task' : '', 0, [inner, { ...inner, bit: 8 }]);
    }
    writer.composite('struct', '', 0, []);
  });
  expect(() => btf.member('task.pid')).toThrow('expected a member pid of task');
});

test('every kind of btf.rst is written by the tests', () => {
  expect(Object.values(KIND)).toEqual(Array.from({ length: 19 }, (_, index) => index + 1));
});
