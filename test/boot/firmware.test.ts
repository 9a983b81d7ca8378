/** What a pc's firmware has left in memory, by the addresses where IBM's BIOS has it (IBM PC/AT Technical Reference, "System BIOS"). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firmware } from '../../emu/boot/firmware.js';
import { enterRealMode } from '../../emu/cpu/reset.js';
import { devicesOf } from '../../emu/devices/optional.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import { phys } from '../../emu/memory/address.js';
import { assemble } from '../../src/asm/keystone.js';
import { Bare } from '../emu/bare.js';
import { tinyImage } from '../system/tiny-image.js';

const PAGE = 0x30;
const CARRY = 1;

let bare: Bare;
beforeEach(() => {
  bare = new Bare();
  for (const { address, bytes } of firmware(1, devicesOf('pc')))
    bare.machine.memory.writePhysical(address, bytes);
});
afterEach(() => bare.close());

test.each<[name: string, address: number, word: number]>([
  ['the first serial port', 0x400, 0x3f8],
  ['the second: none', 0x402, 0],
  ['the segment of the extended data area', 0x40e, 0x9fc0],
  ['KiB of low memory', 0x413, 639],
  ['disks: none', 0x475, 0],
  ['KiB of the extended data area', 0x9_fc00, 1],
])('%s', (_name, address, word) => {
  expect(bare.machine.memory.readPhysical(phys(address), 2)!.readUInt16LE()).toBe(word);
});

describe('in real mode', () => {
  /** FLAGS and registers after an interrupt from code with carry clear. */
  async function after(vector: number): Promise<{ carry: boolean; ax: number; bp: number; sp: number }> {
    const source = `xor %ax, %ax\nmov %ax, %ss\nmov $0x7000, %sp\nmov $0x5678, %bp\nmov $0xe820, %ax\nclc\nint $${vector}\nhlt`;
    const { bytes } = await assemble(source, { mode: 16, address: BigInt(PAGE << 12) });
    bare.machine.memory.writePhysical(phys(PAGE << 12), bytes);
    const { state } = bare.cpu;
    enterRealMode(state, PAGE);
    expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'hang' });
    expect([state.selector('cs'), Number(state.rip)]).toEqual([PAGE << 8, bytes.length]);
    const [ax, bp, sp] = [GPR.rax, GPR.rbp, GPR.rsp].map((register) => Number(state.reg(register)) & 0xffff);
    return { carry: (state.rflags & CARRY) !== 0, ax: ax!, bp: bp!, sp: sp! };
  }
  test.each([
    ['video', 0x10, true],
    ['disks', 0x13, true],
    ['the memory map', 0x15, true],
    ['the clock', 0x1a, true],
    ['an interrupt that is no service', 0x08, false],
    ['the last one', 0xff, false],
  ])('%s, interrupt %i, comes back; carry: %s', async (_name, vector, carry) => {
    expect(await after(vector)).toEqual({ carry, ax: 0xe820, bp: 0x5678, sp: 0x7000 });
  });
});

test('a microvm has none', async () => {
  const image = await tinyImage('hlt');
  const low = (): number => bare.machine.memory.readPhysical(phys(0x40e), 2)!.readUInt16LE();
  bare.close();
  bare = new Bare();
  bare.machine.load(image);
  expect(low()).toBe(0);
});
