/** Code that changes after it has been translated (SDM 3A, "Self-Modifying Code", 9.1.3 and 12.6): written by the CPU itself, by another, by the host. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { EFER } from '../../emu/cpu/architecture.js';
import { findLibrary, isRecent } from '../../emu/engine/library.js';
import { AT, Bare } from './bare.js';

const isOld = !isRecent(findLibrary());
let bare: Bare;
afterEach(() => bare.close());

/** `mov $N, %eax; ret`: N lies one byte behind the label. */
const FUNCTION = 'mov $1, %eax\nret';
const TARGET = AT.data;

describe('a CPU changes code that it has run', () => {
  test.each([
    ['in another block', 'call *%rbx\nmovl $2, 1(%rbx)\ncall *%rbx\nint3'],
    [
      'through another mapping of the page',
      `call *%rbx\nmov $0x200000, %ecx\nmovl $2, ${TARGET + 1}(%rcx)\ncall *%rbx\nint3`,
    ],
    [
      'a thousand times',
      'mov $1000, %ecx\nloop: call *%rbx\nincl 1(%rbx)\ndec %ecx\njnz loop\ncall *%rbx\nsub $999, %eax\nint3',
    ],
  ])('%s', async (_name, code) => {
    bare = new Bare();
    await bare.haltingHandlers();
    bare.put64(AT.pd + 8, 0x83n); // virtual 2 MiB to physical 0
    await bare.code(FUNCTION, TARGET);
    await bare.code(`mov $${TARGET}, %ebx\n${code}`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(2n);
  });

  /** Two functions on a page, and a third one that nobody writes; RCX leads to another mapping of it. */
  const write = (first: number, second: number): string =>
    `movl $${first}, ${TARGET + 0x41}(%rcx)\nmovl $${second}, ${TARGET + 0x51}(%rcx)\n`;
  const CALL_BOTH = 'call *%rsi\nadd %eax, %edx\ncall *%rdi\nadd %eax, %edx\n';
  // Kernels that keep code from being writable write it so: Xen, and the IN or OUT that it executes for its dom0; Linux's text_poke().
  test.each([
    ['that has been translated already', `${CALL_BOTH}xor %edx, %edx\n${write(3, 4)}${CALL_BOTH}`, 7n],
    ['before it is translated, and then again', `${write(1, 2)}${CALL_BOTH}${write(3, 4)}${CALL_BOTH}`, 10n],
    [
      'with the same bytes, and then with others',
      `${write(1, 2)}${CALL_BOTH}${write(1, 2)}${CALL_BOTH}${write(3, 4)}${CALL_BOTH}`,
      13n,
    ],
    [
      'a hundred times',
      `mov $100, %ebx\nloop: mov %ebx, ${TARGET + 0x41}(%rcx)\nmov %ebx, ${TARGET + 0x51}(%rcx)\n${CALL_BOTH}dec %ebx\njnz loop\n`,
      10_100n,
    ],
  ])('through a mapping of the page that cannot be executed: code %s', async (_name, code, sum) => {
    for (const freeRunning of isOld ? [false] : [false, true]) {
      bare = new Bare({ freeRunning });
      await bare.haltingHandlers();
      bare.cpu.state.efer |= EFER.NXE;
      bare.put64(AT.pd + 8, 0x8000_0000_0000_0083n); // virtual 2 MiB to physical 0
      for (const at of [0, 0x40, 0x50]) await bare.code(FUNCTION, TARGET + at);
      await bare.code(
        `mov $${TARGET}, %ebx\nlea 0x40(%rbx), %esi\nlea 0x50(%rbx), %edi\nmov $0x200000, %ecx\nxor %edx, %edx\ncall *%rbx\n${code}int3`,
      );
      expect(bare.stoppedIn(100_000)).toBe(3);
      expect(bare.reg('rdx')).toBe(sum);
      bare.close();
    }
  });

  test('in whatever order it is written, by either mapping, and executed', async () => {
    const places = [0, 0x40, 0x50, 0xfb0];
    const step = fc.record({
      place: fc.constantFrom(...places),
      written: fc.option(fc.record({ value: fc.integer({ min: 0, max: 99 }), alias: fc.boolean() })),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 30 }),
        fc.boolean(),
        async (steps, freeRunning) => {
          const values = new Map(places.map((place) => [place, 1]));
          let sum = 0;
          const code = steps.map(({ place, written }) => {
            if (written === null) {
              sum = (3 * sum + values.get(place)!) % 2 ** 32;
              return `lea ${place}(%rbx), %esi\ncall *%rsi\nlea (%rdx,%rdx,2), %edx\nadd %eax, %edx\n`;
            }
            values.set(place, written.value);
            return `movl $${written.value}, ${place + 1}(${written.alias ? '%rbx,%rcx' : '%rbx'})\n`;
          });
          bare = new Bare({ freeRunning: freeRunning && !isOld });
          await bare.haltingHandlers();
          bare.cpu.state.efer |= EFER.NXE;
          bare.put64(AT.pd + 8, 0x8000_0000_0000_0083n); // virtual 2 MiB to physical 0
          for (const place of places) await bare.code(FUNCTION, TARGET + place);
          await bare.code(`mov $${TARGET}, %ebx\nmov $0x200000, %ecx\nxor %edx, %edx\n${code.join('')}int3`);
          expect(bare.stoppedIn(100_000)).toBe(3);
          expect(bare.reg('rdx')).toBe(BigInt(sum));
          bare.close();
        },
      ),
      { numRuns: 150 },
    );
  });

  test('right ahead in its own block', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    // The immediate of the second MOV is written by the first.
    await bare.code(`movl $7, ${AT.code + 12}\nmov $1, %eax\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(7n);
  });

  test('into an instruction that traps, and back', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    await bare.code('nop\nnop\nret', TARGET);
    await bare.code(`
      mov $${TARGET}, %ebx
      mov $99, %eax
      call *%rbx
      movw $0x310f, (%rbx)
      call *%rbx
      mov %eax, %esi
      movw $0x9090, (%rbx)
      mov $77, %eax
      call *%rbx
      int3`);
    bare.cpu.timestamp = 1000n;
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rsi')).toBe(1008n);
    expect(bare.reg('rax')).toBe(77n);
  });
});

test('a CPU changes code that the other has run', async () => {
  bare = new Bare({ cpus: 2, turn: 20 });
  await bare.haltingHandlers();
  await bare.code(FUNCTION, TARGET);
  await bare.code(`mov $100, %ecx\nwait: dec %ecx\njnz wait\nmovl $2, ${TARGET + 1}\nhlt`);
  await bare.code(
    `mov $${TARGET}, %ebx\nloop: call *%rbx\ninc %edx\ncmp $1, %eax\nje loop\nhlt`,
    AT.code + 0x800,
  );
  bare.enter(bare.machine.cpus[1]!, AT.code + 0x800, AT.stack - 0x1000);
  expect(bare.machine.run({ budget: 5000 })).toEqual({ kind: 'hang' });
  const { state } = bare.machine.cpus[1]!;
  expect(state.reg(0)).toBe(2n);
  expect(state.reg(2), 'it had run before').toBeGreaterThan(5n);
});

test('the host changes code through Machine.write', async () => {
  bare = new Bare();
  await bare.haltingHandlers();
  await bare.code(FUNCTION, TARGET);
  const labels = await bare.code(`mov $${TARGET}, %ebx\ncall *%rbx\nat: call *%rbx\nint3`);
  bare.machine.run({ until: { address: labels.get('at')! } });
  expect(bare.machine.write(0, BigInt(TARGET + 1), Uint8Array.of(5))).toBe(true);
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.reg('rax')).toBe(5n);
});

test('the host changes page tables through Machine.write', async () => {
  bare = new Bare();
  await bare.haltingHandlers();
  bare.put64(AT.userStack, 11n);
  bare.put64(AT.userStack + 0x1000, 22n);
  const labels = await bare.code(`mov ${AT.userStack}, %rax\nat: mov ${AT.userStack}, %rax\nint3`);
  bare.machine.run({ until: { address: labels.get('at')! } });
  const entry = Buffer.alloc(8);
  entry.writeBigUInt64LE(BigInt((AT.userStack + 0x1000) | 7));
  bare.machine.write(0, BigInt(AT.pt + 8 * (AT.userStack >> 12)), entry);
  expect(bare.stoppedIn()).toBe(3);
  expect(bare.reg('rax')).toBe(22n);
});

describe('snapshots across changed code', () => {
  test('going back undoes a change, going forward again makes it', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    await bare.code(FUNCTION, TARGET);
    const labels = await bare.code(
      `mov $${TARGET}, %ebx\ncall *%rbx\nfirst: movl $2, 1(%rbx)\ncall *%rbx\nsecond: call *%rbx\nint3`,
    );
    const until = (label: string) => bare.machine.run({ until: { address: labels.get(label)! } });
    until('first');
    const before = bare.machine.snapshot();
    until('second');
    const after = bare.machine.snapshot();
    bare.machine.step();
    for (const [snapshot, value] of [
      [before, 2n],
      [after, 2n],
      [before, 2n],
    ] as const) {
      bare.machine.restore(snapshot);
      if (snapshot === before) {
        bare.cpu.state.rip = BigInt(TARGET);
        bare.machine.step();
        expect(bare.reg('rax'), 'the old code').toBe(1n);
        bare.machine.restore(snapshot);
      }
      expect(bare.stoppedIn()).toBe(3);
      expect(bare.reg('rax')).toBe(value);
    }
  });

  test('code written and run behind the snapshot is gone after it, whatever was there', async () => {
    bare = new Bare();
    await bare.haltingHandlers();
    const start = bare.machine.snapshot();
    for (const value of [3, 4, 5]) {
      bare.machine.restore(start);
      await bare.code(`mov $${value}, %eax\nint3`);
      expect(bare.stoppedIn()).toBe(3);
      expect(bare.reg('rax')).toBe(BigInt(value));
    }
  });
});
