/** What `unwindlab litmus` prints and how it ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import { litmusCommand } from '../../src/cli/litmus.js';
import { FileError } from '../../src/lab/open.js';
import { LitmusError, LitmusLimit } from '../../src/litmus/test.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unwindlab-litmus-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  process.exitCode = undefined;
});

const file = (text: string): string => {
  const path = join(folder, 'test.litmus');
  writeFileSync(path, text);
  return path;
};

async function printed(...args: string[]): Promise<string> {
  const pieces: string[] = [];
  const write = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((piece) => pieces.push(String(piece)) > 0);
  try {
    await litmusCommand().parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return pieces.join('');
}

const LOST = (result: string): string => `X86_64 lost
(* Result: ${result} *)
{ u32 x=0; }
 P0          | P0.NMI ;
 mov x, %eax | incl x ;
 inc %eax    |        ;
 mov %eax, x |        ;
exists (x=1)
`;

const LOST_OUTPUT = `Test lost Allowed
States 2
2 *> x=1;
2 :> x=2;
Ok
Witnesses
Positive: 2 Negative: 2
Condition exists (x=1)
Observation lost Sometimes 2 2
`;

describe('unwindlab litmus', () => {
  it("prints what herd7's readers expect, and whether the file's result is right", async () => {
    expect(await printed(file(LOST('Sometimes')))).toBe(`${LOST_OUTPUT}Result Sometimes, as expected\n`);
    expect(process.exitCode).toBeUndefined();
    expect(await printed(file(LOST('Never')))).toBe(`${LOST_OUTPUT}Result expected Never, found Sometimes\n`);
    expect(process.exitCode).toBe(1);
  });

  it('one file that disagrees is enough for status 1', async () => {
    const wrong = join(folder, 'wrong.litmus');
    writeFileSync(wrong, LOST('Always'));
    const output = await printed(wrong, file(LOST('Sometimes')));
    expect(output.split('\n\n')).toHaveLength(2);
    expect(process.exitCode).toBe(1);
  });

  it('says of several CPUs that stores are not delayed', async () => {
    const output = await printed(
      file('X86_64 two\n{ x=0; }\n P0 | P1 ;\n movq $1, x | mov x, %rax ;\nforall (1:rax=0 \\/ x=1)'),
    );
    expect(output).toBe(
      `Test two Required
States 2
1 :> 1:rax=0; x=1;
1 :> 1:rax=1; x=1;
Ok
Witnesses
Positive: 2 Negative: 0
Condition forall (1:rax=0 \\/ x=1)
Observation two Always 2 0
Model sequentially consistent: stores are not delayed, an x86 allows these states and perhaps more
`.replaceAll(':>', '*>'),
    );
  });

  it('shows a run to each state that the condition speaks of', async () => {
    const output = await printed('--witness', file(LOST('Sometimes')));
    expect(output).toContain(`Witness x=1;
  P0      mov x, %eax
  P0      inc %eax
  P0.NMI strikes
  P0.NMI  incl x
  P0.NMI  iretq
  P0      mov %eax, x
`);
    expect(output.match(/Witness /g)).toHaveLength(1);
  });

  it('shows the halves of a read-modify-write without LOCK', async () => {
    const output = await printed(
      '-w',
      file('X86_64 h\n{ x=0; }\n P0 | P1 ;\n incq x | incq x ;\nexists (x=1)'),
    );
    expect(output).toContain(`Witness x=1;
  P0  incq x  (load)
  P1  incq x  (load)
  P0  incq x  (store)
  P1  incq x  (store)
`);
  });

  it('shows an interrupt that is never taken', async () => {
    const output = await printed(
      '-w',
      file(
        'X86_64 h\n{ x=0; }\n P0 | P0.IRQ ;\n end: cli | incq x ;\nforall (x=0)\n'.replace(
          'forall',
          'strikes P0.IRQ 1\nforall',
        ),
      ),
    );
    expect(output).toContain('  P0.IRQ strikes\n  P0  waits at its end\n');
  });

  it('marks faults and hangs', async () => {
    const output = await printed(
      file(
        'X86_64 f\n{ x=0; }\n P0 | P1 | P2 ;\n ud2 | stay: jmp stay | hlt ;\nbound 3\n~exists (fault(P0) /\\ hang(P1) /\\ hang(P2))',
      ),
    );
    expect(output).toContain('*> fault(P0); hang(P1); hang(P2);\nNo\n');
    expect(output).toContain('Test f Forbidden\nStates 1\n');
  });

  it('writes one JSON object a file', async () => {
    const path = file(LOST('Sometimes'));
    const lines = (await printed('--json', path, path)).trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0]!)).toEqual({
      file: path,
      name: 'lost',
      kind: 'Allowed',
      states: [
        { runs: 2, positive: true, values: { x: '1' }, faults: [], hangs: [], witness: expect.any(Array) },
        { runs: 2, positive: false, values: { x: '2' }, faults: [], hangs: [], witness: expect.any(Array) },
      ],
      ok: true,
      positive: 2,
      negative: 2,
      condition: 'exists (x=1)',
      observation: 'Sometimes',
      expected: 'Sometimes',
      agrees: true,
      sequential: false,
      steps: 17,
    });
  });

  it('gives up at the budget, and says so', async () => {
    await expect(printed('--budget', '16', file(LOST('Sometimes')))).rejects.toThrow(LitmusLimit);
    expect(await printed('--budget', '17', file(LOST('Sometimes')))).toContain('States 2');
    await expect(printed('--budget', 'x', file(''))).rejects.toThrow(UsageError);
  });

  it('names a file that is not there, and the line of a mistake', async () => {
    await expect(printed(join(folder, 'none'))).rejects.toThrow(FileError);
    const path = file('X86_64 t\n{}\n P0 ;\n bad ;\nforall (true)\n');
    await expect(printed(path)).rejects.toThrow(LitmusError);
    await expect(printed(path)).rejects.toThrow(`${path}:4: expected a statement that keystone assembles`);
  });
});
