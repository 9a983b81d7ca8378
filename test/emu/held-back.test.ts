/**
 * Events that are held back: while one waits, code runs up to the next instruction that may let it in (`emu/engine/guards.ts`). The
 * oracle is the same machine one instruction at a time, which looks at every boundary.
 */
import { describe, expect, test } from 'vitest';
import { GPR, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import type { Machine } from '../../emu/machine.js';
import { openGuest } from '../../src/lab/open.js';
import { AT, Bare, SELECTOR } from './bare.js';

const VECTOR = 0x40;
const APIC = 0xfee0_0000;
const ENABLE = `mov $${APIC}, %edi\nmovl $0x1ff, 0xf0(%rdi)`;

/** All that a run has come to. */
const endOf = ({ machine, cpu }: Bare): unknown => ({
  hash: machine.events.hash.digest,
  retired: machine.retired,
  registers: [
    cpu.state.rip,
    BigInt(cpu.state.rflags),
    ...GPR_NAMES.map((name) => cpu.state.reg(GPR[name])),
  ].map(String),
  activity: cpu.activity,
  waits: [cpu.nmiPending, cpu.apic.pendingVector(), cpu.state.nmiBlocked, cpu.state.shadow],
});

async function runOf(source: string, nmi: boolean, advance: (machine: Machine) => void): Promise<unknown> {
  const bare = new Bare();
  try {
    await bare.haltingHandlers();
    await bare.code('inc %ebx\nnop\niretq', AT.data);
    for (const vector of [2, VECTOR]) bare.gate(vector, { at: AT.data });
    bare.put64(
      AT.stack,
      BigInt(AT.code + 0x800),
      BigInt(SELECTOR.code),
      0x202n,
      BigInt(AT.stack),
      BigInt(SELECTOR.data),
    );
    await bare.code('hlt', AT.code + 0x800);
    await bare.code(`xor %ebx, %ebx\n${ENABLE}\n${source}\nhlt`);
    for (let step = 0; step < 3; step++) bare.machine.step();
    bare.cpu.state.nmiBlocked = nmi;
    bare.machine.inject(0, nmi ? { nmi: true } : { vector: VECTOR });
    advance(bare.machine);
    return endOf(bare);
  } finally {
    bare.close();
  }
}

const LIMIT = 400;
const whole = (machine: Machine): void => void machine.run({ budget: LIMIT });
const single = (machine: Machine): void => {
  for (let step = 0; step < LIMIT; step++) machine.run({ budget: 1 });
};

/** Ways to let a held-back event in, and code that only looks like one. */
const LETTING_IN: readonly (readonly [string, string])[] = [
  ['STI', 'nop\nnop\nsti\ninc %eax\ninc %eax'],
  ['STI before HLT', 'nop\nsti\nhlt\ninc %eax'],
  ['STI twice', 'sti\nsti\nsti\ninc %eax'],
  ['STI undone in its shadow', 'sti\ncli\nnop\nsti\nnop'],
  ['STI before MOV SS', `sti\nmov $${SELECTOR.data}, %ecx\nmov %ecx, %ss\ninc %eax`],
  ['POPF', 'push $0x202\npopfq\ninc %eax'],
  ['POPF with a prefix', 'push $0x202\n.byte 0x48, 0x9d\ninc %eax'],
  ['POPF that changes nothing', 'push $0x2\npopfq\npush $0x202\npopfq\ninc %eax'],
  ['IRET', 'inc %eax\niretq'],
  [
    'IRET with IF = 0, then STI',
    `movl $2, 16(%rsp)\nmovabs $${AT.code + 0x900}, %rcx\nmovb $0xfb, (%rcx)\niretq`,
  ],
  ['a loop before STI', 'mov $20, %ecx\na: dec %ecx\njnz a\nsti\ninc %eax'],
  ['a call before STI', 'call a\nsti\nnop\nhlt\na: inc %eax\nret'],
  ['a fault before STI', 'ud2'],
  ['INT n before STI', 'int $0x41'],
  [
    'an immediate that ends in the opcode of STI',
    'mov $0xfb000000, %eax\njmp a\na: cmp $-5, %al\nje b\nsti\nb: inc %eax',
  ],
  ...[
    ['STI', 1],
    ['HLT', 8],
    ['IRET', 45],
    ['POPF', 95],
  ].map(
    ([name, nops]) =>
      [
        `a jump back whose displacement is the opcode of ${name}`,
        `mov $9, %ecx\na: dec %ecx\n.rept ${nops}\nnop\n.endr\njnz a\nsti\nnop`,
      ] as const,
  ),
  ['RDTSC in the block of STI', 'nop\nrdtsc\nnop\nrdtsc\nsti\ninc %ebx'],
  ['HLT without STI', 'inc %eax\nhlt\ninc %eax'],
  ['nothing', 'a: inc %eax\njmp a'],
];

describe.each([
  ['an interrupt with IF = 0', false],
  ['an NMI that is blocked', true],
])('%s', (_name, nmi) => {
  test.each(LETTING_IN)('%s', async (_what, source) => {
    expect(await runOf(source, nmi, whole)).toEqual(await runOf(source, nmi, single));
  });
});

describe('the kernel, with an interrupt of every kind held back somewhere', () => {
  /** Nanoseconds between samples are few, so that interrupts and NMIs wait nearly always. */
  test.each([
    ['v6.19', 'trace=perf,ftrace perf.source=nmi perf.period=3001', 1],
    ['v6.19', 'trace=perf,ftrace perf.period=9001 tick=7001', 1],
    ['v6.17', 'trace=perf,ftrace perf.source=nmi perf.period=4001', 2],
  ])('%s, %s, %i CPU', (version, commandLine, cpus) => {
    const ends = [100_000, 7].map((slice) => {
      const { machine } = openGuest(
        { image: `build/kernel-${version}.elf`, modules: ['build/user/roundtrip.elf,20'], commandLine },
        { cpus },
      );
      for (let left = 200_000; left > 0; left -= slice) machine.run({ budget: Math.min(slice, left) });
      const { hash, count } = machine.events;
      const end = { hash: hash.digest, retired: machine.retired, count };
      machine.close();
      return end;
    });
    expect(ends[1]).toEqual(ends[0]);
    expect(ends[0]!.count).toBeGreaterThan(100);
  });
});
