/** The Linux boot protocol, field by field against Documentation/arch/x86/boot.rst and zero-page.rst. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, test } from 'vitest';
import { ImageError } from '../../emu/boot/image-error.js';
import { GPR, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { type LoadOptions, Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { assemble } from '../../src/asm/keystone.js';
import { refusalOf } from './damage.js';
import { CODE_AT, type HeaderValues, linuxImage } from './linux-guest.js';
import { packaged } from './packages.js';

const MIB = 1 << 20;
const HALT = Uint8Array.of(0xf4);
const INITRD = { bytes: Buffer.from('an initial RAM disk'), name: 'initrd.img' };

let machine: Machine;
afterEach(() => machine.close());

/** Boot parameters of the image, after its load. */
function load(image: Uint8Array, options: LoadOptions = {}, ram = 64 * MIB): Buffer {
  machine = new Machine({ ram });
  machine.load(image, { commandLine: 'console=ttyS0 quiet', ...options });
  return machine.memory.readPhysical(phys(Number(machine.cpus[0]!.state.reg(GPR.rsi))), 4096)!;
}

const textAt = (address: number): string => {
  const bytes = machine.memory.readPhysical(phys(address), 4096)!;
  return bytes.toString('latin1', 0, bytes.indexOf(0));
};

describe('boot_params', () => {
  /** Boot.rst's table: what the loader writes, in 0x1f1 to the header's end. */
  const WRITTEN = [
    [0x1fa, 2],
    [0x210, 1],
    [0x214, 4],
    [0x218, 4],
    [0x21c, 4],
    [0x228, 4],
  ] as const;

  it('has the setup header as it was but for what a loader writes', () => {
    const image = linuxImage(HALT);
    const params = load(image, { initrd: INITRD });
    const end = 0x202 + image[0x201]!;
    const expected = Buffer.from(image.subarray(0x1f1, end));
    const found = Buffer.from(params.subarray(0x1f1, end));
    for (const [at, size] of WRITTEN)
      for (const bytes of [expected, found]) bytes.fill(0, at - 0x1f1, at - 0x1f1 + size);
    expect(found).toEqual(expected);
  });

  it('has the fields that a loader must write', () => {
    const params = load(linuxImage(HALT), { initrd: INITRD });
    expect(params.readUInt16LE(0x1fa), 'vid_mode, normal').toBe(0xffff);
    expect(params.readUInt8(0x210), 'type_of_loader, undefined').toBe(0xff);
    expect(params.readUInt32LE(0x214), 'code32_start, the load address').toBe(0x100_0000);
    expect(textAt(params.readUInt32LE(0x228)), 'cmd_line_ptr').toBe('console=ttyS0 quiet');
    const initrd = params.readUInt32LE(0x218);
    expect(params.readUInt32LE(0x21c)).toBe(INITRD.bytes.length);
    expect(machine.memory.readPhysical(phys(initrd), INITRD.bytes.length)).toEqual(INITRD.bytes);
    expect(initrd % 4096).toBe(0);
  });

  it('has the memory map', () => {
    const params = load(linuxImage(HALT));
    const entries = Array.from({ length: params.readUInt8(0x1e8) }, (_, index) => {
      const at = 0x2d0 + 20 * index;
      const start = params.readBigUInt64LE(at);
      return [start, start + params.readBigUInt64LE(at + 8), params.readUInt32LE(at + 16)];
    });
    expect(entries).toEqual([
      [0n, 0x9_fc00n, 1],
      [0x9_fc00n, 0x10_0000n, 2],
      [0x10_0000n, 0x400_0000n, 1],
    ]);
  });

  it('is zero elsewhere, its sentinel too', () => {
    const params = load(linuxImage(HALT));
    params
      .fill(0, 0x1f1, 0x26c)
      .fill(0, 0x1e8, 0x1e9)
      .fill(0, 0x2d0, 0x2d0 + 60);
    expect(params.every((byte) => byte === 0)).toBe(true);
  });

  it('tells of no initrd where there is none', () => {
    const params = load(linuxImage(HALT));
    expect([params.readUInt32LE(0x218), params.readUInt32LE(0x21c)]).toEqual([0, 0]);
  });
});

describe('the state at entry', () => {
  const IN_64_BIT_MODE = HFLAG.PE | HFLAG.LMA | HFLAG.CS64;

  test('of the 64-bit protocol', () => {
    load(linuxImage(HALT));
    const { state } = machine.cpus[0]!;
    expect(state.rip).toBe(0x100_0200n);
    expect(state.hflags & (IN_64_BIT_MODE | HFLAG.CPL)).toBe(IN_64_BIT_MODE);
    expect(state.cr(0) & 0x8000_0001n, 'paging').toBe(0x8000_0001n);
    expect(state.rflags & 0x200, 'interrupts').toBe(0);
    expect(state.selector('cs')).toBe(0x10);
    for (const name of ['ds', 'es', 'ss'] as const) expect(state.selector(name)).toBe(0x18);
    for (const name of GPR_NAMES.filter((register) => register !== 'rsi'))
      expect(state.reg(GPR[name]), name).toBe(0n);
  });

  test('of the 32-bit protocol, for a kernel without a 64-bit entry', () => {
    load(linuxImage(HALT, { xloadflags: 0 }));
    const { state } = machine.cpus[0]!;
    expect(state.rip).toBe(0x100_0000n);
    expect(state.hflags & (IN_64_BIT_MODE | HFLAG.CS32 | HFLAG.CPL)).toBe(HFLAG.PE | HFLAG.CS32);
    expect(state.cr(0) & 0x8000_0001n).toBe(1n);
    expect(state.selector('cs')).toBe(0x10);
    for (const name of ['ds', 'es', 'ss'] as const) expect(state.selector(name)).toBe(0x18);
    for (const name of ['rbp', 'rdi', 'rbx'] as const) expect(state.reg(GPR[name]), name).toBe(0n);
  });

  test.each([64, 32] as const)(
    'serves %i-bit code: the GDT can be reloaded, memory is mapped one to one',
    async (mode) => {
      const source = `
      mov %esi, %ebp
      mov $0x9f000, %esp
      mov $0x18, %eax
      mov %eax, %ds
      mov %eax, %ss
      ${mode === 64 ? 'push $0x10\n lea there(%rip), %rax\n push %rax\n .byte 0x48, 0xcb' : 'push $0x10\n call next\n next: pop %eax\n add $6, %eax\n push %eax\n lret'}
      there:
      mov 0x202(${mode === 64 ? '%rbp' : '%ebp'}), %ecx
      mov $0xfee00030, %edi
      mov (${mode === 64 ? '%rdi' : '%edi'}), %eax
      mov %ecx, %eax
      out %eax, $0xf4`;
      const { bytes } = await assemble(source, { mode, address: mode === 64 ? 0x100_0200n : 0x100_0000n });
      load(linuxImage(bytes, mode === 64 ? {} : { xloadflags: 0 }));
      expect(machine.run({ budget: 1000 })).toEqual({ kind: 'debug-exit', value: 0x5372_6448 });
    },
  );
});

describe('placement', () => {
  const entryOf = (values: HeaderValues): bigint => {
    load(linuxImage(HALT, { kernel_alignment: 0x1000, ...values }));
    return machine.cpus[0]!.state.rip;
  };

  it.each<[string, HeaderValues, bigint]>([
    ['a relocatable kernel at its preferred address', { pref_address: 0x30_0000 }, 0x30_0200n],
    ['aligned upwards', { pref_address: 0x30_0001, kernel_alignment: 0x10_0000 }, 0x40_0200n],
    ['a relocatable kernel that prefers none at 1 MiB', { pref_address: 0 }, 0x10_0200n],
    ['another one at 1 MiB', { relocatable_kernel: 0 }, 0x10_0200n],
    ['one of protocol 2.09 at 1 MiB, by its 32-bit entry', { version: 0x209 }, 0x10_0000n],
  ])('puts %s', (_, values, expected) => {
    expect(entryOf(values)).toBe(expected);
  });

  it('keeps the initrd below the highest address that the kernel allows', () => {
    const params = load(linuxImage(HALT, { initrd_addr_max: 0x2ff_ffff }), { initrd: INITRD });
    expect(params.readUInt32LE(0x218)).toBe(0x2ff_f000);
  });

  it('takes a file whose size is no multiple of a paragraph, as memtest86+ has it', () => {
    const image = linuxImage(Uint8Array.of(0xf4, 1, 2));
    load(image.subarray(0, image.length - 13));
    expect(machine.run({ budget: 10 })).toEqual({ kind: 'hang' });
  });
});

describe('refuses', () => {
  it.each<[string, HeaderValues, LoadOptions, RegExp]>([
    ['an old protocol', { version: 0x201 }, {}, /protocol 2.02 or later, found 2.01$/],
    ['a zImage', { loadflags: 0 }, {}, /expected a bzImage, which is loaded high, found a zImage$/],
    [
      'a header that is too short',
      { length: 0x20 },
      {},
      /setup header to end between 0x264 and 0x290 .* found its end at 0x222$/,
    ],
    ['a header that is too long', { length: 0xff }, {}, /found its end at 0x301$/],
    ['an alignment of 3', { kernel_alignment: 3 }, {}, /power of two, found 0x3$/],
    [
      'more memory than there is',
      { init_size: 0x800_0000 },
      {},
      /expected RAM up to 0x9000000, .* found 64 MiB; give more with --ram$/,
    ],
    ['an address that nobody has', { pref_address: 0xffff_ffff_f000 }, {}, /expected RAM up to 0x/],
    ['setup sectors beyond the file', { setup_sects: 200 }, {}, /it is damaged or was cut short$/],
    ['a long command line', { cmdline_size: 10 }, {}, /10 bytes at most, as this kernel takes it, found 19$/],
    [
      'modules',
      {},
      { modules: [{ bytes: HALT, commandLine: '' }] },
      /no --module with a Linux image, .* found 1; give an initrd with --initrd$/,
    ],
    [
      'an initrd without room',
      {},
      { initrd: { bytes: Buffer.alloc(50 * MIB), name: 'big' } },
      /do not; give more with --ram$/,
    ],
    ['another boot flag', { boot_flag: 0 }, { format: 'linux' }, /aa55 at offset 0x1fe and HdrS at 0x202/],
    [
      'another magic number',
      { magic: 0 },
      {},
      /^expected a Linux bzImage, a multiboot image, an ELF file with a PVH note or a multiboot 2 image, found /,
    ],
  ])('%s', (_, values, options, sentence) => {
    const image = linuxImage(HALT, values);
    const refusal = refusalOf(() => load(image, options));
    expect(refusal).toBeInstanceOf(ImageError);
    expect(refusal?.message).toMatch(sentence);
  });

  it.each([0, 0x1ff, 0x207, 0x250, 0x3ff, CODE_AT + 0x1ef])('a file cut to %i bytes', (length) => {
    expect(refusalOf(() => load(linuxImage(HALT).subarray(0, length)))).toBeInstanceOf(ImageError);
  });
});

const kernel = packaged('boot', /^vmlinuz-.*-cloud-amd64$/);
const memtest = packaged('boot', /^memtest86\+x64\.bin$/);

describe.skipIf(kernel === undefined)(
  `Debian's kernel${kernel === undefined ? ' (skipped: not fetched)' : ''}`,
  () => {
    it('is placed where its header says, and its decompressor runs', () => {
      const image = readFileSync(kernel!);
      const params = load(image, { commandLine: 'nokaslr' }, 256 * MIB);
      const { state } = machine.cpus[0]!;
      expect(state.rip).toBe(image.readBigUInt64LE(0x258) + 0x200n);
      expect(params.subarray(0x250, 0x26c)).toEqual(image.subarray(0x250, 0x26c));
      const tables = state.cr(3);
      expect(machine.run({ budget: 5_000_000 })).toEqual({ kind: 'budget' });
      const start = image.readBigUInt64LE(0x258);
      const end = start + BigInt(image.readUInt32LE(0x260));
      expect(state.rip > start && state.rip < end, `in the kernel's memory: ${state.rip.toString(16)}`).toBe(
        true,
      );
      expect(state.cr(3), 'its own page tables').not.toBe(tables);
    });
  },
);

describe.skipIf(memtest === undefined)(
  `Debian's memtest86+${memtest === undefined ? ' (skipped: not fetched)' : ''}`,
  () => {
    it('draws its screen on the serial port', () => {
      let console = '';
      machine = new Machine({
        ram: 64 * MIB,
        console: (byte) => {
          console += String.fromCharCode(byte);
        },
      });
      machine.load(readFileSync(memtest!), { commandLine: 'console=ttyS0,115200' });
      machine.run({ budget: 100_000_000 });
      expect(console).toContain('\x1b[2J');
    });
  },
);
