/** The page walk against the engine itself: the same page or the same fault, with the same error code (SDM 3A, "Paging", chapter 4). */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GPR } from '../../emu/engine/cpu-state.js';
import { phys } from '../../emu/memory/address.js';
import { type Paging, PF_ERROR, PTE, pagingOf, walk } from '../../emu/memory/page-walk.js';
import { AT, Bare } from './bare.js';

const RAM = 4 << 20;
const PAGES = RAM >> 12;
/** Tables of the random part, reached through the second entry of the top table. In the middle of each page, where no stack is: a RET to call, a word to read. */
const TABLES = { pdpt: 0xb000, pd: 0xc000, pt: 0xd000 } as const;
const WINDOW = 1n << 39n;
const RET = 0x800n;
const WORD = 0x808n;
const NX = 1n << 63n;
const CR0_WP = 0x1_0000n;

const ACCESS = {
  read: { code: 'mov (%rsi), %rax', error: 0, offset: WORD },
  write: { code: 'mov %rax, (%rsi)', error: PF_ERROR.write, offset: WORD },
  fetch: { code: 'call *%rsi', error: PF_ERROR.fetch, offset: RET },
} as const;
type Access = keyof typeof ACCESS;

describe('4-level paging', () => {
  let bare: Bare;
  beforeAll(async () => {
    bare = new Bare({ ram: RAM });
    await bare.haltingHandlers();
    for (let page = 0; page < PAGES; page++) {
      bare.machine.memory.writePhysical(phys(page * 4096 + Number(RET)), Uint8Array.of(0xc3));
      bare.put64(page * 4096 + Number(WORD), BigInt(page));
    }
    for (const [index, kind] of (['read', 'write', 'fetch'] as const).entries()) {
      for (const base of [AT.code, AT.userCode])
        await bare.code(`${ACCESS[kind].code}\nud2`, base + 0x100 * index);
    }
  });
  afterAll(() => bare.close());

  /** What the engine does: the vector, and for #PF its error code. */
  function engine(address: bigint, access: Access, user: boolean, writeProtect: boolean): string {
    const start = 0x100 * Object.keys(ACCESS).indexOf(access);
    if (user) bare.enterUser(AT.userCode + start);
    else bare.enter(bare.cpu, AT.code + start, AT.stack);
    const { state } = bare.cpu;
    state.setCr(0, writeProtect ? state.cr(0) | CR0_WP : state.cr(0) & ~CR0_WP);
    state.setReg(GPR.rsi, address);
    state.setReg(
      GPR.rax,
      BigInt((bare.machine.memory.translate(bare.cpu.paging, address)?.physical ?? 0) >> 12),
    ); // what is there
    bare.machine.write(0, 0n, Buffer.alloc(0)); // the tables have changed: no translation is remembered
    const vector = bare.stoppedIn(10);
    if (vector === 14) return `#PF ${bare.frame(true).errorCode}`;
    if (vector !== 6) return `vector ${vector}`;
    return access === 'read' ? `page ${bare.reg('rax')}` : 'done';
  }

  /** What the walk says. */
  function walked(paging: Paging, address: bigint, access: Access, user: boolean): string {
    const base = ACCESS[access].error | (user ? PF_ERROR.user : 0);
    const mapping = bare.machine.memory.translate(paging, address);
    if (mapping === undefined) return `#PF ${base}`;
    const refused =
      (user && !mapping.user) ||
      (access === 'write' && !mapping.write && (user || paging.writeProtect)) ||
      (access === 'fetch' && !mapping.execute);
    if (refused) return `#PF ${base | PF_ERROR.present}`;
    return access === 'read' ? `page ${mapping.physical >> 12}` : 'done';
  }

  const flags = fc.record({
    present: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    write: fc.boolean(),
    user: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
    noExecute: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  });
  const entry = (
    frame: number,
    bits: { present: boolean; write: boolean; user: boolean; noExecute: boolean },
    more = 0,
  ): bigint =>
    BigInt(
      frame |
        more |
        (bits.present ? PTE.present : 0) |
        (bits.write ? PTE.write : 0) |
        (bits.user ? PTE.user : 0),
    ) | (bits.noExecute ? NX : 0n);
  const upper = fc.record({ bits: flags, large: fc.boolean(), frame: fc.nat(1) });

  test('agrees with the engine for random tables, rights and accesses', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        flags,
        fc.array(upper, { minLength: 2, maxLength: 2 }),
        fc.array(upper, { minLength: 2, maxLength: 2 }),
        fc.array(fc.record({ bits: flags, page: fc.nat(PAGES - 1) }), { minLength: 4, maxLength: 4 }),
        fc.record({
          pdpt: fc.nat(1),
          pd: fc.nat(1),
          pt: fc.nat(3),
          access: fc.constantFrom<Access>('read', 'write', 'fetch'),
        }),
        fc.boolean(),
        fc.boolean(),
        (top, gigabytes, megabytes, pages, at, user, writeProtect) => {
          bare.put64(AT.pml4 + 8, entry(TABLES.pdpt, top));
          for (const [index, { bits, large }] of gigabytes.entries())
            bare.put64(TABLES.pdpt + 8 * index, large ? entry(0, bits, PTE.large) : entry(TABLES.pd, bits));
          for (const [index, { bits, large, frame }] of megabytes.entries())
            bare.put64(
              TABLES.pd + 8 * index,
              large ? entry(frame << 21, bits, PTE.large) : entry(TABLES.pt, bits),
            );
          for (const [index, { bits, page }] of pages.entries())
            bare.put64(TABLES.pt + 8 * index, entry(page << 12, bits));
          const address =
            WINDOW +
            (BigInt(at.pdpt) << 30n) +
            (BigInt(at.pd) << 21n) +
            (BigInt(at.pt) << 12n) +
            ACCESS[at.access].offset;
          const found = engine(address, at.access, user, writeProtect);
          expect(found).toBe(walked(bare.cpu.paging, address, at.access, user));
          seen.add(found.startsWith('page') ? 'page' : found);
        },
      ),
      { numRuns: 1500 },
    );
    // Success of each kind, and every error code there is without reserved bits.
    const faults = [0, 2, 16].flatMap((kind) => [0, 1, 4, 5].map((rest) => `#PF ${kind | rest}`));
    expect([...seen].sort()).toEqual(['page', 'done', ...faults.filter((fault) => fault !== '#PF 1')].sort());
  });

  test('the bits of CR3 below the address do not count', () => {
    const paging = pagingOf({ cr0: 0x8000_0001n, cr3: BigInt(AT.pml4) | 0xff8n, cr4: 0x20n, efer: 0x500n });
    expect(paging.root).toBe(AT.pml4);
  });

  test('a non-canonical address is not mapped', () => {
    expect(bare.machine.read(0, 1n << 47n, 1)).toBeUndefined();
  });
});

/** A walk over tables given as address and value of 64-bit entries. */
function mapped(paging: Partial<Paging>, address: bigint, tables: readonly (readonly [number, bigint])[]) {
  const memory = new Map(
    tables.flatMap(([at, value]) => [
      [at, Number(value & 0xffff_ffffn)],
      [at + 4, Number(value >> 32n)],
    ]),
  );
  const whole: Paging = {
    enabled: true,
    writeProtect: true,
    pae: false,
    longMode: false,
    pse: false,
    noExecute: true,
    root: 0x1000,
    ...paging,
  };
  return walk(whole, address, (at) => memory.get(at) ?? 0);
}

describe('the other modes', () => {
  test('without paging linear is physical, with all rights', () => {
    expect(mapped({ enabled: false }, 0x1234_5678n, [])).toMatchObject({
      physical: 0x1234_5678,
      available: 0x988,
      write: true,
      user: true,
      execute: true,
    });
  });

  // 32-bit: directory index 1, table index 2. PAE: pointer 1, directory 2, table 3.
  test.each<[string, Partial<Paging>, bigint, [number, bigint][], object | undefined]>([
    [
      '32-bit, 4 KiB',
      {},
      0x0040_2abcn,
      [
        [0x1004, 0x2007n],
        [0x2008, 0x5_5007n],
      ],
      { physical: 0x5_5abc, available: 0x544, write: true, user: true, execute: true },
    ],
    [
      '32-bit, supervisor directory',
      {},
      0x0040_2000n,
      [
        [0x1004, 0x2003n],
        [0x2008, 0x5_5007n],
      ],
      { user: false, write: true },
    ],
    [
      '32-bit, read-only page',
      {},
      0x0040_2000n,
      [
        [0x1004, 0x2007n],
        [0x2008, 0x5_5005n],
      ],
      { user: true, write: false },
    ],
    [
      '32-bit, 4 MiB with CR4.PSE',
      { pse: true },
      0x0044_5678n,
      [[0x1004, 0x80_0087n]],
      { physical: 0x84_5678, available: 0x3b_a988 },
    ],
    [
      '32-bit, the size bit without CR4.PSE',
      {},
      0x0040_2000n,
      [
        [0x1004, 0x2087n],
        [0x2008, 0x7007n],
      ],
      { physical: 0x7000 },
    ],
    [
      '32-bit, absent',
      {},
      0x0040_2000n,
      [
        [0x1004, 0x2007n],
        [0x2008, 0x5_5006n],
      ],
      undefined,
    ],
    [
      'PAE, 4 KiB',
      { pae: true },
      0x4040_3abcn,
      [
        [0x1008, 0x2001n],
        [0x2010, 0x3007n],
        [0x3018, 0x6007n],
      ],
      { physical: 0x6abc, write: true, user: true, execute: true },
    ],
    [
      'PAE, no-execute',
      { pae: true },
      0x4040_3000n,
      [
        [0x1008, 0x2001n],
        [0x2010, 0x3007n],
        [0x3018, NX | 0x6007n],
      ],
      { execute: false },
    ],
    [
      'PAE, no-execute without EFER.NXE',
      { pae: true, noExecute: false },
      0x4040_3000n,
      [
        [0x1008, 0x2001n],
        [0x2010, 0x3007n],
        [0x3018, NX | 0x6007n],
      ],
      { execute: true },
    ],
    [
      'PAE, 2 MiB',
      { pae: true },
      0x4041_2345n,
      [
        [0x1008, 0x2001n],
        [0x2010, 0x60_0087n],
      ],
      { physical: 0x61_2345, available: 0x1e_dcbb },
    ],
    [
      'PAE, a root that is 32-byte aligned',
      { pae: true, root: 0x1020 },
      0x3n,
      [
        [0x1020, 0x2001n],
        [0x2000, 0x3007n],
        [0x3000, 0x9007n],
      ],
      { physical: 0x9003 },
    ],
    ['PAE, absent pointer', { pae: true }, 0x4040_3000n, [[0x1008, 0x2000n]], undefined],
    [
      '4-level, above 4 GiB of physical memory',
      { pae: true, longMode: true },
      0x1000n,
      [
        [0x1000, 0x2007n],
        [0x2000, 0x3007n],
        [0x3000, 0x4007n],
        [0x4008, 0x12_3456_7007n],
      ],
      { physical: 0x12_3456_7000 },
    ],
  ])('%s', (_name, paging, address, tables, expected) => {
    const mapping = mapped(paging, address, tables);
    if (expected === undefined) expect(mapping).toBeUndefined();
    else expect(mapping).toMatchObject(expected);
  });
});
