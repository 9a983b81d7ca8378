import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, parseElf } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import { disassembler } from '../../src/asm/capstone.js';
import { codeFrom, type NamedImage } from '../../src/asm/code.js';
import { readLineTable } from '../../src/asm/dwarf-line.js';
import { formatItem, type ListedInstruction, list } from '../../src/asm/listing.js';
import { missingTools, SAMPLE, toolsNote, Workshop } from '../boot/build-elf.js';

const PROGRAM = `
struct node { struct node *next; long value; char name[24]; };
static struct node nodes[8];
extern __thread int unused;
int counter;
static long sum(const struct node *at) {
  long total = 0;
  for (; at; at = at->next) total += at->value * 3 + at->name[at->value & 7];
  return total;
}
long choose(int kind, unsigned long x, double y) {
  switch (kind) {
  case 0: return x / 7;
  case 1: return x % 10;
  case 2: return (long)(y * 2.5);
  case 3: return x << 3 | x >> 61;
  case 4: return __builtin_bswap64(x);
  case 5: return __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
  case 6: { long old = 1; __atomic_compare_exchange_n(&nodes[0].value, &old, 2, 0, 5, 5); return old; }
  default: return sum(nodes);
  }
}
__attribute__((noinline)) void fill(char *to, int value, unsigned long n) {
  while (n--) *to++ = value;
}
void _start(void) {
  for (int i = 0; i < 7; i++) { nodes[i].next = &nodes[i + 1]; nodes[i].value = choose(i, i * 99, i); }
  fill(nodes[7].name, 'x', sizeof nodes[7].name);
  asm volatile("mov %%gs:counter, %%eax; rep stosb; lock btsq $3, counter(%%rip); swapgs; iretq" ::: "rax");
}
`;

const named = (file: ElfFile): NamedImage => ({ file, symbols: new SymbolTable(file) });

describe.skipIf(missingTools.length > 0)(`listings against binutils${toolsNote}`, () => {
  let shop: Workshop;
  const images = new Map<string, NamedImage>();
  const flags = ['-O2', '-O0', '-Os'] as const;
  const names = [
    ...flags.map((flag) => `program${flag}`),
    'sample',
    'dwarf2',
    'dwarf3',
    'dwarf4',
    'dwarf64',
    'squeezed',
  ];

  beforeAll(() => {
    shop = new Workshop();
    shop.write('program.c', PROGRAM);
    const compile = (name: string, ...args: string[]): void => {
      shop.run(
        'gcc',
        '-ffreestanding',
        '-nostdlib',
        '-static',
        '-mno-red-zone',
        '-g',
        ...args,
        'program.c',
        '-o',
        name,
      );
    };
    for (const flag of flags) compile(`program${flag}`, flag);
    for (const version of [2, 3, 4]) compile(`dwarf${version}`, '-O1', `-gdwarf-${version}`);
    compile('dwarf64', '-O1', '-gdwarf-5', '-gdwarf64');
    compile('squeezed', '-O1', '-gz=zlib');
    shop.link('sample', SAMPLE, '-Ttext=0xffffffff81000000', '-Tdata=0xffffffff81004000', '-e', 'start');
    for (const name of names) images.set(name, named(parseElf(shop.read(name))));
  });
  afterAll(() => shop.remove());

  const instructions = async (name: string): Promise<ListedInstruction[]> => {
    const image = images.get(name)!;
    const items = [...(await list(image, { lines: readLineTable(image.file) }))];
    return items.filter((item): item is ListedInstruction => item.kind === 'instruction');
  };

  it.each([...flags.map((flag) => `program${flag}`), 'sample'])(
    '%s: every instruction is objdump’s',
    async (name) => {
      const row = /^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$/gm;
      const dump = shop.run('objdump', '-d', '-w', name).matchAll(row);
      const theirs = Array.from(dump, ([, address, bytes, text]) => [
        address!,
        bytes!.replaceAll(' ', ''),
        gnuText(text!),
      ]);
      const ours = (await instructions(name)).map(({ address, bytes, mnemonic, operands }, index) => [
        address.toString(16),
        Buffer.from(bytes).toString('hex'),
        ourText(`${mnemonic} ${operands}`, theirs[index]?.[2] ?? ''),
      ]);
      expect(ours.length).toBeGreaterThan(8);
      expect(ours).toEqual(theirs);
    },
  );

  it.each(['program-O2', 'sample'])('%s: what operands point at is what objdump says', async (name) => {
    const row = /^ *([0-9a-f]+):\t.*?([0-9a-f]+) <([^>]+)>$/gm;
    const dump = shop.run('objdump', '-d', '-w', '--no-show-raw-insn', name).matchAll(row);
    const theirs = Array.from(dump, ([, address, target]) => `${address} ${target}`);
    const ours = (await instructions(name))
      .filter(({ target, operands }) => target !== undefined && !/%[gf]s:/.test(operands))
      .map(({ address, target }) => `${address.toString(16)} ${target!.address.toString(16)}`);
    expect(ours.length).toBeGreaterThan(1);
    expect(ours).toEqual(theirs);
  });

  it('names per-CPU operands', async () => {
    const perCpu = (await instructions('program-O2')).filter(({ operands }) => operands.includes('%gs:'));
    expect(perCpu.map(({ target }) => target?.symbol)).toEqual(['counter']);
  });

  // binutils 2.40's addr2line does not read 64-bit DWARF; its readelf does.
  it.each(names.filter((name) => name !== 'dwarf64'))(
    '%s: the source line of every instruction is addr2line’s',
    async (name) => {
      const ours = await instructions(name);
      shop.write('addresses', ours.map(({ address }) => address.toString(16)).join('\n'));
      const theirs = shop.run('addr2line', '-e', name, '@addresses').trim().split('\n');
      const shown = ours.map(({ source }) =>
        source === undefined ? '??:?' : `${source.file}:${source.line}`,
      );
      expect(shown).toEqual(
        theirs.map((line) =>
          line
            .replace(/^.*\//, '')
            .replace(/ \(discriminator.*/, '')
            .replace(/.*:\?$/, '??:?'),
        ),
      );
      expect(shown.filter((line) => line !== '??:?').length).toBeGreaterThan(8);
    },
  );

  it.each(names)('%s: the rows of the table are readelf’s', (name) => {
    const dump = shop
      .run('readelf', '--debug-dump=decodedline', '-W', name)
      .matchAll(/^(\S+) +(\d+|-) +(0x[0-9a-f]+)/gm);
    const last = (rows: [string, string][]): Map<string, string> => new Map(rows); // of rows at one address the last one counts
    const theirs = last(Array.from(dump, ([, , line, address]) => [address!, line!.replace('-', 'end')]));
    const ours = readLineTable(images.get(name)!.file).rows.map(({ address, source }): [string, string] => [
      `0x${address.toString(16)}`,
      String(source?.line ?? 'end'),
    ]);
    expect([...last(ours)].sort()).toEqual([...theirs].sort());
  });

  it('prints headers, lines and targets', async () => {
    const image = images.get('sample')!;
    const lines = readLineTable(image.file);
    const work = image.symbols.find('work')!;
    const region = codeFrom(image, work.value, work.size)!;
    const text = Array.from(await list(image, { lines, regions: [region] }), (item) => formatItem(item)).join(
      '\n',
    );
    const line = (needle: string): number => SAMPLE.split('\n').findIndex((row) => row.includes(needle)) + 1;
    expect(`${text}\n`).toBe(`
ffffffff81000010 <work> <work_alias>:
sample.S:${line('push %rbp')}
ffffffff81000010:  55                       pushq  %rbp

ffffffff81000011 <work.begin>:
sample.S:${line('mov counter')}
ffffffff81000011:  48 8b 05 e8 3f 00 00     movq   0x3fe8(%rip),%rax  # ffffffff81004000 <counter>
sample.S:${line('lock cmpxchg')}
ffffffff81000018:  f0 48 0f b1 15 df 3f 00 00 lock cmpxchgq %rdx,0x3fdf(%rip)  # ffffffff81004000 <counter>

ffffffff81000021 <work.end>:
sample.S:${line('pop %rbp')}
ffffffff81000021:  5d                       popq   %rbp
sample.S:${line('        ret')}
ffffffff81000022:  c3                       retq
`);
  });

  it('lists in Intel syntax', async () => {
    const image = images.get('sample')!;
    const items = [...(await list(image, { syntax: 'intel' }))];
    const load = items.find((item) => item.kind === 'instruction' && item.mnemonic === 'mov');
    expect(load).toMatchObject({ operands: 'rax, qword ptr [rip + 0x3fe8]', target: { symbol: 'counter' } });
  });

  it('refuses an object file', async () => {
    await expect(list(named(parseElf(shop.read('sample.o'))))).rejects.toThrow('expected a linked image');
  });

  it('ends on damaged line tables with rows or an ImageError', () => {
    const bytes = shop.read('program-O2');
    const { sections } = images.get('program-O2')!.file;
    const section = sections.find(({ name }) => name === '.debug_line')!;
    const flip = fc.tuple(fc.nat(section.data.length - 1), fc.nat(255));
    let refused = 0;
    fc.assert(
      fc.property(fc.array(flip, { minLength: 1, maxLength: 5 }), (flips) => {
        const copy = bytes.slice();
        for (const [at, value] of flips) copy[section.offset + at] = value;
        try {
          const { rows } = readLineTable(parseElf(copy));
          for (const [index, row] of rows.entries())
            expect(index === 0 || rows[index - 1]!.address <= row.address).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError);
          refused++;
        }
      }),
      { numRuns: 1500, seed: 99 },
    );
    expect(refused).toBeGreaterThan(50);
  });
});

/** objdump's text without what is only commentary: comments, symbols, and with 0x before a target. */
function gnuText(text: string): string {
  const bare = text.replace(/ *(#.*|<[^>]*>)/g, '').trim();
  return common(bare.replace(/^((?:j|call|loop)\w*\s+)([0-9a-f]+)$/, '$10x$2'));
}

/** One spelling for both: no scale of 1, no displacement of 0, no implied segment, count or padding prefix. */
function common(text: string): string {
  return text
    .replace(/^(?:(?:cs|data16) )+/, '')
    .replaceAll(',1)', ')')
    .replace(/(^|[\s,])0x0\(/, '$1(')
    .replace('%cs:', '')
    .replace('%es:(%rdi)', '(%rdi)')
    .replace(/^((?:sh|sa|ro|rc)[lr]\w?\s+)\$0x1,/, '$1')
    .replace(/^xchg\s+%ax,%ax$/, 'nop')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Our text with the size suffix of its mnemonic dropped where objdump's has none. */
function ourText(text: string, theirs: string): string {
  const words = common(text).split(' ');
  const mnemonics = theirs.split(' ');
  return words
    .map((word, index) => (word.slice(0, -1) === mnemonics[index] ? mnemonics[index] : word))
    .join(' ');
}

describe('decoding', () => {
  it('covers bytes that are no instructions one by one', async () => {
    const decoder = await disassembler();
    const code = Uint8Array.of(0x90, 0x06, 0x07, 0x0e, 0xc3, 0x0f);
    const found = [...decoder.decode(code, 0x1000n)].map(({ address, bytes, mnemonic }) => [
      address,
      bytes.length,
      mnemonic,
    ]);
    expect(found).toEqual([
      [0x1000n, 1, 'nop'],
      [0x1001n, 1, '(bad)'],
      [0x1002n, 1, '(bad)'],
      [0x1003n, 1, '(bad)'],
      [0x1004n, 1, 'retq'],
      [0x1005n, 1, '(bad)'],
    ]);
  });

  it('covers any bytes without a gap, also across its chunks', async () => {
    const decoder = await disassembler();
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 60 }),
        (bytes, times) => {
          const code = new Uint8Array(bytes.length * times);
          for (let index = 0; index < times; index++) code.set(bytes, index * bytes.length);
          let at = 0;
          for (const { address, bytes: shown } of decoder.decode(code, 0xffff_ffff_8100_0000n)) {
            expect(address).toBe(0xffff_ffff_8100_0000n + BigInt(at));
            at += shown.length;
          }
          expect(at).toBe(code.length);
        },
      ),
      { numRuns: 100 },
    );
  });
});
