import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseElf } from '../../emu/boot/elf.js';
import { SymbolTable } from '../../emu/boot/symbols.js';
import type { NamedImage } from '../../src/asm/code.js';
import { AsmError } from '../../src/asm/keystone.js';
import { PatchError, patchFile, patchSite, type Site } from '../../src/asm/patch.js';
import { missingTools, toolsNote, Workshop } from '../boot/build-elf.js';

const SOURCE = `
        .set TASK_cookie, 0x18
        .globl _start, get_cookie
        .type get_cookie, @function
get_cookie:
        xor %eax, %eax
get_cookie.begin:
        lock cmpxchg %rdx, TASK_cookie(%rdi)
get_cookie.after:
        inc %eax
        add $1, %rcx
retry:  mov counter(%rip), %rsi
        jnz .Lhidden        # the assembler drops this label
        nopl 0x0(%rax)
.Lhidden:
        mov %eax, %eax
get_cookie.end:
        ret
        .size get_cookie, . - get_cookie
_start: hlt
        .data
counter: .quad 7
`;

describe.skipIf(missingTools.length > 0)(`patched sites${toolsNote}`, () => {
  let shop: Workshop;
  let bytes: Uint8Array;
  let image: NamedImage;

  beforeAll(() => {
    shop = new Workshop();
    bytes = shop.link('image', SOURCE, '-Ttext=0xffffffff81000000', '-Tdata=0xffffffff81004000');
    const file = parseElf(bytes);
    image = { file, symbols: new SymbolTable(file) };
  });
  afterAll(() => shop.remove());

  const after = async (site: Site): Promise<string> =>
    Buffer.from((await patchSite(image, site)).after).toString('hex');

  it('takes a LOCK away and pads', async () => {
    const patch = await patchSite(image, { at: 'get_cookie.begin', with: 'cmpxchg %rdx, TASK_cookie(%rdi)' });
    expect(patch).toEqual({
      address: image.symbols.lookup('get_cookie.begin'),
      before: Uint8Array.of(0xf0, 0x48, 0x0f, 0xb1, 0x57, 0x18),
      after: Uint8Array.of(0x48, 0x0f, 0xb1, 0x57, 0x18, 0x90),
    });
  });

  it('makes a plain store of a compare-and-exchange, as objdump reads it', async () => {
    const patch = await patchSite(image, { at: 'get_cookie.begin', with: 'mov %rdx, TASK_cookie(%rdi)' });
    const copy = patchFile(bytes, image.file, [patch]);
    shop.write('patched', copy);
    const dump = shop.run('objdump', '-d', '-w', '--no-show-raw-insn', '--disassemble=get_cookie', 'patched');
    expect(dump).toMatch(/mov\s+%rdx,0x18\(%rdi\)\n.*xchg\s+%ax,%ax\n/);
    expect(bytes).toEqual(shop.read('image'));
  });

  it('finds sites by symbol and offset and by address', async () => {
    const address = image.symbols.require('get_cookie.begin');
    expect(await after({ at: 'get_cookie+0x2', with: 'nop' })).toBe('900f1f440000');
    expect(await after({ at: 'get_cookie+2', with: '' })).toBe('660f1f440000');
    expect(await after({ at: address, with: 'ud2' })).toBe('0f0b0f1f4000');
  });

  it('replaces several instructions, with symbols of the image', async () => {
    const site = { at: 'retry', with: 'mov counter+8(%rip), %rsi' };
    const { address, before, after: code } = await patchSite(image, site);
    const displacement = new DataView(code.buffer).getInt32(3, true);
    expect(address + 7n + BigInt(displacement)).toBe(image.symbols.require('counter') + 8n);
    expect(before.length).toBe(7);
    const two = await patchSite(image, { at: 'get_cookie.after', replace: { instructions: 2 }, with: '' });
    expect(two.before.length).toBe(6);
    const bytesWide = await patchSite(image, { at: 'get_cookie.after', replace: { bytes: 6 }, with: 'int3' });
    expect(Buffer.from(bytesWide.after).toString('hex')).toBe('cc0f1f440000');
  });

  it.each<[string, Site, string]>([
    ['no such label', { at: 'nowhere', with: 'nop' }, 'expected a label of the image, found nowhere'],
    ['the middle of an instruction', { at: 'get_cookie+3', with: 'nop' }, 'found the middle of one'],
    [
      'code that is too long',
      { at: 'get_cookie', with: 'movabs $1, %rax' },
      'expected at most 2 bytes in place of `xorl %eax, %eax` at get_cookie, found 10',
    ],
    [
      'half an instruction',
      { at: 'get_cookie.after', replace: { bytes: 3 }, with: 'nop' },
      'found one that ends after 6',
    ],
    [
      'a label inside',
      { at: 'get_cookie', replace: { instructions: 2 }, with: 'nop' },
      'expected no label inside the replaced bytes, found get_cookie.begin',
    ],
    [
      'a jump to the middle',
      { at: 'retry+0x9', replace: { instructions: 2 }, with: 'nop' },
      'expected no jump into the replaced bytes, found `jne 0x',
    ],
    [
      'more than the function',
      { at: 'get_cookie.end', replace: { instructions: 2 }, with: 'nop' },
      'found 1 (1 bytes) to the end of the function',
    ],
    ['data', { at: 'counter', with: 'nop' }, "to lie in the image's code"],
  ])('refuses %s', async (_, site, message) => {
    const error = await patchSite(image, site).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PatchError);
    expect((error as PatchError).message).toContain(message);
  });

  it('passes on what the assembler says', async () => {
    await expect(patchSite(image, { at: 'get_cookie', with: 'frob' })).rejects.toThrow(AsmError);
  });

  it('refuses a file that does not hold the bytes', async () => {
    const patch = await patchSite(image, { at: 'get_cookie', with: '' });
    const twice = (): Uint8Array => patchFile(bytes, image.file, [patch, patch]);
    expect(twice).toThrow(PatchError);
  });
});
