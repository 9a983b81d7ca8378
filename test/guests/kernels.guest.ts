/**
 * Debian's own kernels, as `make guests` fetches them: their names and types against what their images say otherwise, and against
 * bpftool. Linux 6.1 and 7.2 differ in every table that is read here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, type ElfSegment, type ElfSymbol, PT, parseElf } from '../../emu/boot/elf.js';
import { pvhEntry } from '../../emu/boot/pvh.js';
import { UNWIND } from '../../src/invariants/unwind.js';
import { openGuest, openImage } from '../../src/lab/open.js';
import { type Btf, btfOf } from '../../src/linux/btf.js';
import { type KernelSymbol, readKallsyms } from '../../src/linux/kallsyms.js';
import type { Memory } from '../../src/linux/kernel-memory.js';
import { LinuxError } from '../../src/linux/linux-error.js';
import { unwindlab } from '../system/run.js';

const GUESTS = 'build/guests';
/** Kernels there, and in folders there. */
const FILES = existsSync(GUESTS)
  ? ['', ...readdirSync(GUESTS)]
      .map((folder) => join(GUESTS, folder))
      .filter((folder) => folder !== join(GUESTS, 'unwindlab-packages'))
      .flatMap((folder) => filesIn(folder).map((file) => join(folder, file)))
  : [];
const KERNELS = FILES.filter((file) => basename(file).startsWith('vmlinux'));
/** With the kernel in it beside it. */
const PACKED = FILES.filter(
  (file) => basename(file).startsWith('vmlinuz') && KERNELS.includes(file.replace('vmlinuz', 'vmlinux')),
);

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

const hasBpftool = spawnSync('bpftool', ['version']).status === 0;
const hasGcc = spawnSync('gcc', ['--version']).status === 0;

/** What bpftool prints of a type. */
interface BpftoolType {
  readonly kind: string;
  readonly name: string;
  readonly size: number;
  readonly members?: readonly {
    readonly name: string;
    readonly bits_offset: number;
    readonly bitfield_size?: number;
  }[];
}

/** Of several releases; what a kernel does not have is left out. */
const MEMBERS = [
  'task_struct.comm',
  'task_struct.pid',
  'task_struct.thread_info.flags',
  'task_struct.unwind_info.id.cpu',
  'task_struct.unwind_info.id.cnt',
  'task_struct.unwind_info.work.func',
  'task_struct.se.load.weight',
  'task_struct.rcu_read_lock_nesting',
  'task_struct.thread.sp',
  'mm_struct.pgd',
  'mm_struct.mm_count.counter',
  'page.lru.next',
  'page.mapping',
  'page._refcount.counter',
  'pt_regs.ip',
  'file.f_path.dentry',
  'sk_buff.next',
  'perf_event.hw.config',
  'perf_event.attr.sample_type',
];

const isMember = (btf: Btf, path: string): boolean => {
  try {
    return btf.member(path).offset >= 0;
  } catch (error) {
    if (error instanceof LinuxError) return false;
    throw error;
  }
};

const memoryOf = ({ segments }: ElfFile): Memory[] =>
  segments
    .filter(({ type }) => type === PT.LOAD)
    .map(({ virtualAddress, data }) => ({ address: virtualAddress, bytes: data }));
const column = (address: bigint): string => address.toString(16).padStart(16, '0');

const segmentAt = ({ segments }: ElfFile, address: bigint): ElfSegment =>
  segments.find(
    ({ type, virtualAddress, fileSize }) =>
      type === PT.LOAD && virtualAddress <= address && address < virtualAddress + BigInt(fileSize),
  )!;

/** The bytes of an image at a virtual address. */
function memoryAt(file: ElfFile, address: bigint, length: number): Buffer {
  const { virtualAddress, data } = segmentAt(file, address);
  const at = Number(address - virtualAddress);
  return Buffer.from(data.subarray(at, at + length));
}

describe.skipIf(KERNELS.length === 0).each(KERNELS)(
  '%s (skipped without build/guests: make guests)',
  (path) => {
    let file: ElfFile;
    let names: Map<string, ElfSymbol>;
    beforeAll(() => {
      file = openImage(path).file;
      names = new Map(file.symbols.map((symbol) => [symbol.name, symbol]));
    });
    const addressOf = (name: string): bigint => names.get(name)!.value;
    const read = (name: string, length: number): Buffer => memoryAt(file, addressOf(name), length);

    it('has as many names as a kernel has, sorted', () => {
      expect(file.symbols.length).toBeGreaterThan(80_000);
      const { symbols } = file;
      expect(symbols.filter(({ value }, index) => index > 0 && value < symbols[index - 1]!.value)).toEqual(
        [],
      );
      expect(symbols.filter(({ name }) => !/^[\w.$]+$/.test(name))).toEqual([]);
    });

    it('begins where its segments and notes say', () => {
      expect(addressOf('_text')).toBe(file.segments[0]!.virtualAddress);
      const physical = (name: string): bigint => {
        const address = addressOf(name);
        const { virtualAddress, physicalAddress } = segmentAt(file, address);
        return physicalAddress + address - virtualAddress;
      };
      expect(physical('startup_64')).toBe(file.entry);
      expect(physical('pvh_start_xen')).toBe(BigInt(pvhEntry(file)!));
    });

    it.each([
      ['_text', '.text', 'start'],
      ['_etext', '.text', 'end'],
      ['__start___param', '__param', 'start'],
      ['__start___ex_table', '__ex_table', 'start'],
      ['__start_notes', '.notes', 'start'],
      ['__start_BTF', '.BTF', 'start'],
      ['__stop_BTF', '.BTF', 'end'],
      ['__start_orc_unwind', '.orc_unwind', 'start'],
      ['__per_cpu_start', '.data..percpu', 'start'],
      ['__bss_start', '.bss', 'start'],
    ])('%s is at the border of section %s', (name, section, side) => {
      const { address, size } = file.sections.find((each) => each.name === section)!;
      expect(addressOf(name)).toBe(side === 'start' ? address : address + size);
    });

    it('has its banner where linux_banner is', () => {
      expect(read('linux_banner', 32).toString()).toMatch(/^Linux version \d+\.\d+\.\d+/);
    });

    it('has routines of system calls in sys_call_table', () => {
      const table = read('sys_call_table', 8 * 300);
      const routines = new Map<bigint, string[]>();
      for (const { name, value } of file.symbols)
        if (name.startsWith('__x64_sys_')) routines.set(value, [...(routines.get(value) ?? []), name]);
      const called = Array.from({ length: 300 }, (_, nr) => routines.get(table.readBigUInt64LE(8 * nr)));
      expect(called).not.toContain(undefined);
      expect([called[0], called[1], called[39], called[60]]).toEqual([
        ['__x64_sys_read'],
        ['__x64_sys_write'],
        ['__x64_sys_getpid'],
        ['__x64_sys_exit'],
      ]);
    });

    it("prints nm's letters", async () => {
      const { stdout } = await unwindlab(['symbols', path]);
      const printed = new Set(stdout.trim().split('\n'));
      // A per-CPU variable at address 0 has lost its letter; a name that is inside no section may be of the one before or behind it.
      const isTold = ({ type, address }: KernelSymbol): boolean =>
        type !== 'A' &&
        file.sections.some((each) => each.address < address && address < each.address + each.size);
      const told = readKallsyms(memoryOf(file)).filter(isTold);
      expect(told.length).toBeGreaterThan(80_000);
      const lines = told.map(({ type, address, name }) => `${column(address)} ${type} ${name}`);
      expect(lines.filter((line) => !printed.has(line))).toEqual([]);
    });

    it.skipIf(!hasBpftool)(
      'has the types that bpftool prints (skipped without bpftool)',
      { timeout: 120_000 },
      () => {
        const { stdout } = spawnSync('bpftool', ['-j', 'btf', 'dump', 'file', path, 'format', 'raw'], {
          encoding: 'utf8',
          maxBuffer: 1 << 28,
        });
        const { types } = JSON.parse(stdout) as { types: readonly BpftoolType[] };
        const composites = new Map<string, BpftoolType>();
        for (const type of types)
          if ((type.kind === 'STRUCT' || type.kind === 'UNION') && !composites.has(type.name))
            composites.set(type.name, type);
        composites.delete('(anon)');
        const btf = btfOf(file);
        let compared = 0;
        for (const { name, size, members } of composites.values()) {
          expect(btf.sizeOf(name), name).toBe(size);
          for (const member of members!) {
            if (member.name === '(anon)') continue;
            const { offset, bits } = btf.member(`${name}.${member.name}`);
            const { bits_offset: bit, bitfield_size: count = 0 } = member;
            if (8 * offset + (bits?.from ?? 0) !== bit || (bits?.count ?? 0) !== count)
              expect({ offset, bits }, `${name}.${member.name}`).toEqual({ bit, count });
            compared++;
          }
        }
        expect(compared).toBeGreaterThan(30_000);
      },
    );

    it.skipIf(!hasBpftool || !hasGcc)(
      'lays members of members out as gcc does (skipped without bpftool and gcc)',
      () => {
        const { stdout } = spawnSync('bpftool', ['btf', 'dump', 'file', path, 'format', 'c'], {
          encoding: 'utf8',
          maxBuffer: 1 << 28,
        });
        const btf = btfOf(file);
        const paths = MEMBERS.filter((member) => btf.has(member.split('.')[0]!) && isMember(btf, member));
        expect(paths.length).toBeGreaterThan(8);
        const facts = paths.map((member) => `__builtin_offsetof(struct ${member.replace('.', ', ')})`);
        const source = `${stdout}\nunsigned long facts[] __attribute__((section(".facts"))) = { ${facts.join(', ')} };\n`;
        const folder = mkdtempSync(join(tmpdir(), 'unwindlab-btf-'));
        try {
          const object = join(folder, 'facts.o');
          const { status, stderr } = spawnSync('gcc', ['-w', '-c', '-x', 'c', '-o', object, '-'], {
            input: source,
            encoding: 'utf8',
          });
          expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
          const { data } = parseElf(readFileSync(object)).sections.find(({ name }) => name === '.facts')!;
          const view = Buffer.from(data);
          for (const [index, member] of paths.entries())
            expect(BigInt(btf.offsetOf(member)), member).toBe(view.readBigUInt64LE(8 * index));
        } finally {
          rmSync(folder, { recursive: true });
        }
      },
    );

    it('stops at start_kernel, and has banner and names in its memory', () => {
      const { machine } = openGuest({ image: path }, { ram: 512 << 20 });
      try {
        expect(machine.run({ until: { symbol: 'start_kernel' }, budget: 50_000_000 }).kind).toBe('reached');
        expect(machine.symbols.format(machine.cpus[0]!.state.rip)).toBe('start_kernel');
        expect(UNWIND.fits(machine), "Linux taken for this project's kernel").toBe(false);
        expect(machine.read(0, machine.symbols.require('linux_banner'), 14)?.toString()).toBe(
          'Linux version ',
        );
      } finally {
        machine.close();
      }
    });
  },
);

describe.skipIf(PACKED.length === 0).each(PACKED)(
  '%s (skipped without build/guests: make guests)',
  (path) => {
    it('has the names of the kernel in it', () => {
      const packed = openImage(path);
      const banner = memoryAt(packed.file, packed.symbols.require('linux_banner'), 64).toString();
      const unpacked = KERNELS.map(openImage).find(
        ({ file, symbols }) => memoryAt(file, symbols.require('linux_banner'), 64).toString() === banner,
      );
      expect(unpacked?.file.symbols).toEqual(packed.file.symbols);
    });
  },
);

describe.skipIf(PACKED.length === 0)('a bzImage (skipped without build/guests: make guests)', () => {
  it('stops at start_kernel when it is told not to move itself', () => {
    const { machine } = openGuest({ image: PACKED[0]!, commandLine: 'nokaslr' }, { ram: 512 << 20 });
    try {
      expect(machine.run({ until: { symbol: 'start_kernel' }, budget: 1_000_000_000 }).kind).toBe('reached');
    } finally {
      machine.close();
    }
  });
});
