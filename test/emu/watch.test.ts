/** Watched memory: which accesses are heard, that the run can end right behind the instruction, and that it is the same run. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GPR } from '../../emu/engine/cpu-state.js';
import { Machine } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { KERNEL, program } from '../system/run.js';
import { AT, Bare } from './bare.js';

let bare: Bare;
beforeEach(() => {
  bare = new Bare();
});
afterEach(() => bare.close());

const WATCHED = AT.data + 8;

/** Runs a snippet with RBX = AT.data and hears of 4 bytes at WATCHED. */
async function heard(source: string, kinds: readonly ('read' | 'write')[]): Promise<string[]> {
  await bare.code(`${source}\nhlt`);
  bare.cpu.state.setReg(GPR.rbx, BigInt(AT.data));
  const accesses: string[] = [];
  for (const kind of kinds)
    bare.machine.watch({ kind, address: phys(WATCHED), length: 4 }, (_cpu, access) => {
      accesses.push(`${access.kind} ${access.address - AT.data} ${access.size}`);
      return false;
    });
  bare.machine.run({ budget: 100 });
  return accesses;
}

describe('an access is heard', () => {
  test.each([
    ['of a byte in the range', 'movb $1, 11(%rbx)', ['write 11 1']],
    ['that begins before it', 'movq $1, 4(%rbx)', ['write 4 8']],
    ['that ends behind it', 'movl 10(%rbx), %eax', ['read 10 4']],
    ['for reading', 'movl 8(%rbx), %eax', ['read 8 4']],
    ['of an instruction that does both', 'lock xaddl %eax, 8(%rbx)', ['read 8 4', 'write 8 4']],
    ['of a string instruction', 'lea 8(%rbx), %rdi\nmov $2, %ecx\nrep stosw', ['write 8 2', 'write 10 2']],
    ['of a push', 'lea 16(%rbx), %rsp\npushq $1', ['write 8 8']],
    ['of XMM, in halves', 'movups %xmm0, (%rbx)', ['write 8 8']],
  ])('%s', async (_what, source, accesses) => {
    expect(await heard(source, ['read', 'write'])).toEqual(accesses);
  });

  test('under another linear address', async () => {
    const alias = 0x1f_f000;
    bare.put64(AT.pt + 8 * (alias >> 12), BigInt(AT.data | 3));
    expect(await heard(`movl $1, ${alias + 8}`, ['write'])).toEqual(['write 8 4']);
  });
});

test.each([
  ['beside the range', 'movl $1, 4(%rbx)\nmovb 12(%rbx), %al'],
  ['of the other kind', 'movl 8(%rbx), %eax'],
])('an access %s is not heard', async (_what, source) => {
  expect(await heard(source, ['write'])).toEqual([]);
});

test('the run ends right behind the instruction, and goes on from there', async () => {
  const labels = await bare.code('movl $1, 8(%rbx)\nbehind: movl $2, 8(%rbx)\nend: incl %eax\nhlt');
  bare.cpu.state.setReg(GPR.rbx, BigInt(AT.data));
  const remove = bare.machine.watch({ kind: 'write', address: phys(WATCHED), length: 1 }, () => true);
  expect(bare.machine.run().kind).toBe('stopped');
  expect([bare.cpu.state.rip, bare.get64(WATCHED)]).toEqual([labels.get('behind'), 1n]);
  expect(bare.machine.run().kind).toBe('stopped');
  expect([bare.cpu.state.rip, bare.get64(WATCHED)]).toEqual([labels.get('end'), 2n]);
  expect(bare.machine.retired).toBe(2);
  remove();
  expect(bare.machine.run().kind).toBe('hang');
});

test('watching does not change the run', () => {
  const run = (isWatched: boolean): [string, number, number] => {
    const machine = new Machine({ cpus: 2 });
    const modules = [{ bytes: readFileSync(program('threads')), commandLine: 'threads' }];
    machine.load(readFileSync(KERNEL), { commandLine: 'trace=perf,ftrace', modules });
    let accesses = 0;
    if (isWatched)
      for (const kind of ['read', 'write'] as const)
        machine.watch({ kind, address: phys(0x10_0000), length: 4096 }, () => {
          accesses++;
          return accesses % 100 === 0;
        });
    while (machine.run().kind === 'stopped');
    const { hash } = machine.events;
    machine.close();
    return [hash.digest, machine.retired, accesses];
  };
  const [hash, retired] = run(false);
  const watched = run(true);
  expect(watched.slice(0, 2)).toEqual([hash, retired]);
  expect(watched[2]).toBeGreaterThan(0);
});
