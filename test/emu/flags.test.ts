import { afterEach, beforeEach, expect, test } from 'vitest';
import { Bare } from './bare.js';

let bare: Bare;
beforeEach(() => {
  bare = new Bare();
});
afterEach(() => bare.close());

/** The arithmetic flags and DF. */
const FLAGS = [0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800, 0xcd5];
const RESERVED = 2;

test.each(['clc', 'cmp %rax, %rax', 'std', 'sub $1, %rbx'])(
  'flags that are written between two instructions are those of the next one, after `%s`',
  async (before) => {
    await bare.code(`${before}\npushf\npopf\npushf\nhlt`);
    bare.machine.step();
    const here = bare.machine.snapshot();
    for (const flags of FLAGS) {
      bare.cpu.state.rflags = flags | RESERVED;
      expect(bare.cpu.state.rflags).toBe(flags | RESERVED);
      bare.machine.step();
      expect(Number(bare.get64(bare.reg('rsp')))).toBe(flags | RESERVED);
      expect(bare.cpu.state.rflags).toBe(flags | RESERVED);
      bare.machine.restore(here);
    }
  },
);
