/** Multiboot kernels say what they have been given. QEMU is the oracle for version 1; GRUB for version 2, which QEMU does not load. */
import { spawnSync } from 'node:child_process';
import { afterAll, describe, expect, it, test } from 'vitest';
import { ImageError } from '../../emu/boot/image-error.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { HFLAG } from '../../emu/engine/layout.js';
import { type LoadOptions, Machine } from '../../emu/machine.js';
import { run } from '../system/run.js';
import { missingTools, toolsNote, Workshop } from './build-elf.js';
import { refusalOf } from './damage.js';
import { grubDisk, hasGrub } from './grub.js';
import { buildGuest, type FileKind, type GuestBuild } from './multiboot-guest.js';

const QEMU = 'qemu-system-x86_64';
const hasQemu = spawnSync(QEMU, ['--version']).status === 0;
const canAskGrub = hasQemu && hasGrub;
const grubNote = canAskGrub
  ? ''
  : ' (skipped: QEMU or GRUB not there; scripts/fetch-package grub-common grub-pc-bin)';
const MIB = 1 << 20;
const RAM = 64;
const MODULES = [
  { bytes: Buffer.from('the first'), commandLine: 'one.txt a b' },
  { bytes: Buffer.alloc(5000, 7), commandLine: 'two.bin' },
] as const;
const COMMAND_LINE = 'first second=2';
/** What the guest ends with, as QEMU passes it on. */
const STATUS = (0x10 << 1) | 1;

const shop = new Workshop();
afterAll(() => shop.remove());

let builds = 0;
function build(guest: GuestBuild): Uint8Array {
  builds++;
  return buildGuest(shop, `kernel-${builds}`, guest);
}

/** What the kernel prints here, line by line. */
function boot(image: Uint8Array, options: LoadOptions = {}, ram = RAM * MIB): string[] {
  let console = '';
  const machine = new Machine({
    ram,
    console: (byte) => {
      console += String.fromCharCode(byte);
    },
  });
  try {
    machine.load(image, { name: 'kernel', commandLine: COMMAND_LINE, modules: MODULES, ...options });
    expect(machine.run({ budget: 10_000_000 })).toEqual({ kind: 'debug-exit', value: STATUS >> 1 });
    return console.trim().split('\n');
  } finally {
    machine.close();
  }
}

const QEMU_MACHINE = [
  ...['-accel', 'tcg', '-m', `${RAM}`, '-no-reboot', '-nodefaults', '-display', 'none', '-serial', 'stdio'],
  ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
];
const fileOf = (commandLine: string): string => commandLine.split(' ')[0]!;

async function qemu(image: Uint8Array, more: () => readonly string[]): Promise<string[]> {
  shop.write('kernel', image);
  for (const { bytes, commandLine } of MODULES) shop.write(fileOf(commandLine), bytes);
  const { stdout, status } = await run(QEMU, [...QEMU_MACHINE, ...more()], { cwd: shop.folder });
  expect(status).toBe(STATUS);
  return stdout.trim().split('\n');
}

/** What the kernel prints when QEMU itself has loaded it. */
const loadedByQemu = (image: Uint8Array): Promise<string[]> =>
  qemu(image, () => {
    const modules = MODULES.map(({ commandLine }) => commandLine).join(',');
    return ['-kernel', 'kernel', '-append', COMMAND_LINE, '-initrd', modules];
  });

/** What it prints when GRUB has loaded it, under QEMU; `multiboot` or `multiboot2` is GRUB's command. */
const loadedByGrub = (image: Uint8Array, command: string): Promise<string[]> =>
  qemu(image, () => {
    const module = command.replace('multiboot', 'module');
    const disk = grubDisk(
      shop,
      ['kernel', ...MODULES.map(({ commandLine }) => fileOf(commandLine))],
      [
        `${command} (memdisk)/kernel ${COMMAND_LINE}`,
        ...MODULES.map(({ commandLine }) => `${module} (memdisk)/${fileOf(commandLine)} ${commandLine}`),
        'boot',
      ],
    );
    return ['-drive', `file=${disk},format=raw,if=ide`];
  });

/**
 * Lines that two loaders need not have in common: their names, what they keep at the end of memory and below 1 MiB, where an
 * image lies that need not be told. Nor need tags come in one order.
 */
const OF_THE_LOADER = /^(loader|upper|map|base) /;
const common = (lines: readonly string[]): string[] =>
  lines.filter((line) => !OF_THE_LOADER.test(line)).sort();

/** The guest's line about a module that arrived whole. */
const moduleLine = (text: string, bytes: Uint8Array): string => {
  const sum = bytes.reduce((total, byte) => (Math.imul(total, 31) + byte) >>> 0, 0);
  const numbers = `bytes ${bytes.length.toString(16)} sum ${sum.toString(16)}`;
  return `module "${text}" ${numbers} on a page behind the image`;
};
const MODULE_LINES = MODULES.map(({ bytes, commandLine }) => moduleLine(commandLine, bytes));
const MAP_LINES = [
  'map from 0 to 9fc00 type 1',
  'map from 9fc00 to 100000 type 2',
  'map from 100000 to 4000000 type 1',
];

describe.skipIf(missingTools.length > 0)(`multiboot 1${toolsNote}`, () => {
  const KINDS: readonly (readonly [what: string, file: FileKind, defines: readonly string[]])[] = [
    ['an ELF32 file', 'elf32', []],
    ['an ELF32 file with address fields', 'elf32', ['ADDRESSES']],
    ['an ELF64 file with address fields', 'elf64', ['ADDRESSES']],
    ['a flat file with address fields', 'flat', ['ADDRESSES']],
    ['an ELF32 file that asks for a video mode', 'elf32', ['FLAGS=7']],
  ];

  describe.skipIf(!hasQemu)(`as under QEMU${hasQemu ? '' : ` (skipped: no ${QEMU})`}`, () => {
    it.each(KINDS)('%s', async (_, file, defines) => {
      const image = build({ version: 1, file, defines });
      expect(common(boot(image))).toEqual(common(await loadedByQemu(image)));
    });
  });

  it('gives memory, command line behind the name, modules, memory map and its own name', () => {
    expect(boot(build({ version: 1, file: 'elf32' }))).toEqual([
      'entry magic 2badb002 pe 1 pg 0 if 0 vm 0 bss zero',
      'information memory 1 modules 1 map 1 loader 1',
      'lower kib 27f',
      'upper kib fc00',
      'loader unwindlab',
      `command line "kernel ${COMMAND_LINE}"`,
      ...MODULE_LINES,
      ...MAP_LINES,
    ]);
  });

  it('takes an ELF64 file without address fields too', () => {
    const image = build({ version: 1, file: 'elf64' });
    expect(boot(image)).toEqual(boot(build({ version: 1, file: 'elf32' })));
  });

  it.skipIf(!canAskGrub)(`as GRUB does, and QEMU does not${grubNote}`, async () => {
    const image = build({ version: 1, file: 'elf64' });
    const withoutName = (line: string): string => line.replace('"kernel ', '"');
    expect(common(boot(image)).map(withoutName)).toEqual(common(await loadedByGrub(image, 'multiboot')));
  });

  it('takes an initrd for the first module, its name for its text', () => {
    const bytes = Buffer.from('ram disk');
    const lines = boot(build({ version: 1, file: 'elf32' }), { initrd: { bytes, name: 'disk.img' } });
    expect(lines.filter((line) => line.startsWith('module'))).toEqual([
      moduleLine('disk.img', bytes),
      ...MODULE_LINES,
    ]);
  });

  test('the state at entry is that of section 3.2', () => {
    const machine = new Machine({ ram: 16 * MIB });
    machine.load(build({ version: 1, file: 'elf32' }));
    const { state } = machine.cpus[0]!;
    expect(state.reg(GPR.rax)).toBe(0x2bad_b002n);
    expect(state.segment('cs')).toMatchObject({ base: 0n, limit: 0xffff_ffff, flags: 0x00cf_9b00 });
    for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const)
      expect(state.segment(name)).toMatchObject({ base: 0n, limit: 0xffff_ffff, flags: 0x00cf_9300 });
    expect(state.cr(0) & 0x8000_0001n).toBe(1n);
    expect(state.rflags & ((1 << 17) | (1 << 9))).toBe(0);
    expect(state.hflags & (HFLAG.LMA | HFLAG.CS64 | HFLAG.CS32 | HFLAG.CPL)).toBe(HFLAG.CS32);
    machine.close();
  });

  it.each<[string, GuestBuild, LoadOptions, RegExp]>([
    [
      'flags that nobody knows',
      { version: 1, file: 'elf32', defines: ['FLAGS=0x13'] },
      {},
      /bits 0 to 2\), found 0x10$/,
    ],
    [
      'a place beyond RAM',
      { version: 1, file: 'elf32', base: 0x800_0000 },
      {},
      /within 64 MiB of RAM, found one at 0x8000000/,
    ],
    [
      'a place over the boot information',
      { version: 1, file: 'elf32', base: 0x9_0000 },
      {},
      /boot information at 0x90000, found one$/,
    ],
    [
      'modules that do not fit',
      { version: 1, file: 'elf32' },
      { modules: [{ bytes: Buffer.alloc(63 * MIB), commandLine: '' }] },
      /do not; give more with --ram$/,
    ],
    [
      'a command line that does not fit',
      { version: 1, file: 'elf32' },
      { commandLine: 'x'.repeat(0x1_0000) },
      /boot information of 64512 bytes at most, found 65\d+: shorten the command lines$/,
    ],
    [
      'another format that is asked for',
      { version: 1, file: 'elf32' },
      { format: 'multiboot2' },
      /expected a multiboot 2 header .*, found none$/,
    ],
  ])('refuses %s', (_, guest, options, sentence) => {
    const image = build(guest);
    const refusal = refusalOf(() => boot(image, options));
    expect(refusal).toBeInstanceOf(ImageError);
    expect(refusal?.message).toMatch(sentence);
  });

  it('refuses address fields that lead out of the file', () => {
    const image = build({ version: 1, file: 'flat', defines: ['ADDRESSES'] });
    const at = Buffer.from(image).indexOf(Buffer.of(2, 0xb0, 0xad, 0x1b));
    for (const [field, value, sentence] of [
      [12, 0x0f_0000, /load addresses that name a part of the file/],
      [20, 0x20_0000, /load addresses that name a part of the file/],
      [24, 0x10_0001, /BSS to end behind the image/],
      [28, 0x20_0000, /entry point inside the image, found it at 0x200000/],
    ] as const) {
      const changed = Buffer.from(image);
      changed.writeUInt32LE(value, at + field);
      expect(() => boot(changed)).toThrow(sentence);
    }
  });
});

describe.skipIf(missingTools.length > 0)(`multiboot 2${toolsNote}`, () => {
  const ALL = [
    'entry magic 36d76289 pe 1 pg 0 if 0 vm 0 bss zero',
    `command line "${COMMAND_LINE}"`,
    'loader unwindlab',
    ...MODULE_LINES,
    'lower kib 27f',
    'upper kib fc00',
    ...MAP_LINES,
    'end left 0',
  ];

  it.each<[string, FileKind, readonly string[]]>([
    ['an ELF32 file', 'elf32', []],
    ['an ELF64 file', 'elf64', []],
    ['an ELF64 file with an address tag', 'elf64', ['ADDRESSES']],
    ['a flat file with an address tag', 'flat', ['ADDRESSES']],
    ['an image that asks for command line, modules and map', 'elf32', ['TAGS=1,20,1,3,6,0']],
    ['an image with tags for screens, EFI and module alignment', 'elf32', ['TAGS=5,20,0,0,32,0,7,8,6,8']],
    ['an image with an optional tag that nobody knows', 'elf32', ['TAGS=99|1<<16,8']],
  ])('%s', (_, file, defines) => {
    expect(boot(build({ version: 2, file, defines }))).toEqual(ALL);
  });

  it.skipIf(!canAskGrub).each<[string, FileKind, readonly string[]]>([
    ['an ELF32 file', 'elf32', []],
    ['an ELF64 file', 'elf64', []],
    ['a flat file with an address tag', 'flat', ['ADDRESSES']],
  ])(`as under GRUB${grubNote}: %s`, async (_, file, defines) => {
    const image = build({ version: 2, file, defines });
    expect(common(boot(image))).toEqual(common(await loadedByGrub(image, 'multiboot2')));
  });

  // The guest's code is not position-independent, so these look at the plan's outcome and do not run it.
  it.each<[string, number, string, bigint]>([
    ['where it is linked, if that is allowed', 0x40_0000, '0x200000,0x3000000,4096,0', 0x40_0000n],
    ['at the lowest place, if that is preferred', 0x40_0000, '0x280000,0x3000000,0x100000,1', 0x30_0000n],
    ['at the highest place, if that is preferred', 0x40_0000, '0x200000,0x3000000,0x100000,2', 0x2f0_0000n],
    ['where it may be, if it is linked elsewhere', 0x10_0000, '0x600000,0x3000000,4096,0', 0x60_0000n],
  ])('is moved by its relocatable tag: %s', (_, base, fields, expected) => {
    const machine = new Machine({ ram: RAM * MIB });
    const image = build({ version: 2, file: 'elf32', base, defines: [`TAGS=10,24,${fields}`] });
    machine.load(image);
    const { state } = machine.cpus[0]!;
    expect(state.rip & ~0xfffn).toBe(expected);
    const info = machine.read(0, state.reg(GPR.rbx), 4096)!;
    const tags = new Map<number, number>();
    for (let at = 8; info.readUInt32LE(at) !== 0; at += Math.ceil(info.readUInt32LE(at + 4) / 8) * 8)
      tags.set(info.readUInt32LE(at), at);
    expect(BigInt(info.readUInt32LE(tags.get(21)! + 8))).toBe(expected);
    machine.close();
  });

  it.each<[string, string, bigint]>([
    ['behind an image with room behind it', '0x200000,0x3000000,0x100000,2', 0x2f0_2000n],
    ['below one at the end of RAM', '0x200000,0xffffffff,0x1000,2', 0x10_0000n],
  ])('modules lie %s', (_, fields, expected) => {
    const machine = new Machine({ ram: RAM * MIB });
    const image = build({ version: 2, file: 'elf32', base: 0x40_0000, defines: [`TAGS=10,24,${fields}`] });
    const module = Buffer.alloc(0x3000, 7);
    machine.load(image, { modules: [{ bytes: module, commandLine: 'm' }] });
    const info = machine.read(0, machine.cpus[0]!.state.reg(GPR.rbx), 4096)!;
    let at = 8;
    while (info.readUInt32LE(at) !== 3) at += Math.ceil(info.readUInt32LE(at + 4) / 8) * 8;
    const start = BigInt(info.readUInt32LE(at + 8));
    expect([start, machine.read(0, start, module.length)]).toEqual([expected, module]);
    machine.close();
  });

  it.each<[string, Omit<GuestBuild, 'version' | 'file'>, RegExp]>([
    ['a tag that nobody knows', { defines: ['TAGS=99,8'] }, /types 0 to 10, found type 99, not optional$/],
    ['a request for ELF symbols', { defines: ['TAGS=1,12,9,0'] }, /found type 9, not optional$/],
    [
      'a tag that is too short',
      { defines: ['TAGS=3,8'] },
      /expected 12 bytes in a multiboot 2 tag of type 3, found 8$/,
    ],
    ['a tag of no size', { defines: ['TAGS=4,0'] }, /up to one of type 0, found none at file offset 0x/],
    [
      'a relocatable image without room',
      { defines: ['TAGS=10,24,0x8000000,0x9000000,4096,1'] },
      /expected room for 0x\w+ bytes from 0x8000000 to 0x9000000/,
    ],
  ])('refuses %s', (_, guest, sentence) => {
    const image = build({ version: 2, file: 'elf32', ...guest });
    const refusal = refusalOf(() => boot(image));
    expect(refusal).toBeInstanceOf(ImageError);
    expect(refusal?.message).toMatch(sentence);
  });

  it('refuses an image for MIPS', () => {
    const image = Buffer.from(build({ version: 2, file: 'elf32' }));
    const at = image.indexOf(Buffer.of(0xd6, 0x50, 0x52, 0xe8));
    image.writeUInt32LE(4, at + 4);
    image.writeUInt32LE(image.readUInt32LE(at + 12) - 4, at + 12);
    expect(() => boot(image)).toThrow('for i386 (0), found architecture 4');
  });
});
