import { describe, expect, it } from 'vitest';
import { locationName } from '../../src/litmus/condition.js';
import { litmus, litmusSource, runLitmusSource } from '../../src/litmus/litmus.js';
import { parseLitmus } from '../../src/litmus/parse.js';
import { LitmusError } from '../../src/litmus/test.js';

const FILE = `X86_64 everything
"A line of text"
(* Some words.
 * Result: Sometimes
 *)
{
  x=1; u32 y = -1; uint16_t z; u8 a[3]={1, 0x2};
  percpu u64 n=&x;
  0:rax=7; 1:edi=x; 1:rsi=&a
}
 P0             | P1      | P1.NMI ;
 mov x, %rax    |         | nop    ;
 again: inc %rax | nop    |        ; (* a comment in the table *)
 jnz *x(,%rax)  | nop     |        ;
strikes P1.NMI 0..2 in from..to
locations [x; 0:n; a[2];]
bound 17
~exists (0:rax=1 /\\ ~(x != 0x2) \\/
         (y=0:n /\\ not hang(P1) /\\ 1:r8=&a))
`;

describe('parseLitmus', () => {
  it('reads every part of a file', () => {
    const test = parseLitmus(FILE, 'file.litmus');
    expect(test).toMatchObject({
      name: 'everything',
      expected: 'Sometimes',
      bound: 17,
      quantifier: '~exists',
      condition: '~exists (0:rax=1 /\\ ~(x != 0x2) \\/ (y=0:n /\\ not hang(P1) /\\ 1:r8=&a))',
      variables: [
        { name: 'x', size: 8, values: [1n], perCpu: false },
        { name: 'y', size: 4, values: [-1n], perCpu: false },
        { name: 'z', size: 2, values: [0n], perCpu: false },
        { name: 'a', size: 1, values: [1n, 2n, 0n], perCpu: false },
        { name: 'n', size: 8, values: [{ addressOf: 'x' }], perCpu: true },
      ],
      registers: [
        { cpu: 0, name: 'rax', value: 7n },
        { cpu: 1, name: 'edi', value: { addressOf: 'x' } },
        { cpu: 1, name: 'rsi', value: { addressOf: 'a' } },
      ],
      strikes: [{ column: 'P1.NMI', least: 0, most: 2, window: { from: 'from', to: 'to' } }],
      columns: [
        {
          name: 'P0',
          cpu: 0,
          kind: 'code',
          cells: [{ text: 'mov x, %rax' }, { text: 'again: inc %rax' }, { text: 'jnz *x(,%rax)' }],
        },
        { name: 'P1', cpu: 1, kind: 'code', cells: [{ line: 13 }, { line: 14 }] },
        { name: 'P1.NMI', cpu: 1, kind: 'nmi', cells: [{ line: 12 }] },
      ],
      proposition: {
        kind: 'or',
        of: [
          { kind: 'and', of: [{ kind: 'equal' }, { kind: 'not', of: { kind: 'not' } }] },
          {
            kind: 'and',
            of: [
              { right: { kind: 'memory', name: 'n', cpu: 0 } },
              { kind: 'not' },
              { right: { addressOf: 'a' } },
            ],
          },
        ],
      },
    });
    expect(test.locations.map(locationName)).toEqual(['x', '0:n', 'a[2]']);
  });

  it('lets a handler strike once and anywhere where nothing else is said', () => {
    const test = parseLitmus('X86_64 t\n{}\n P0 | P0.IRQ ;\n nop | nop ;\nforall (true)', 't');
    expect(test.strikes).toEqual([{ column: 'P0.IRQ', least: 1, most: 1 }]);
    expect(test.expected).toBeUndefined();
  });

  const HEAD = 'X86_64 t\n{ x=0; u32 y=0; percpu u64 n=0; u8 a[2]; }\n';
  const TABLE = ' P0 | P1 | P0.NMI ;\n nop | nop | nop ;\n';
  it.each([
    ['', '1: expected X86_64 and a name, found nothing'],
    ['X86 t', '1: expected X86_64 and a name, found X86 t'],
    ['X86_64 t\n\n P0 ;', '3: expected the initial state in { }, found P0 ;'],
    ['X86_64 t\n{ x=0;\n', '2: expected } behind the initial state, found the end of the file'],
    ['X86_64 t\n{ x=0; } y', '2: expected the line to end behind }, found y'],
    ['X86_64 t\n{ x=0; x=1; }', '2: expected each variable once, found x again'],
    ['X86_64 t\n{\n u32 = 1; }', '3: expected a variable behind u32, found ='],
    ['X86_64 t\n{ x y }', '2: expected ;, found y'],
    ['X86_64 t\n{ x[1]={1, 2}; }', '2: expected 1 values for x, found 2'],
    ['X86_64 t\n{ x=abc; }', '2: expected a number, found abc'],
    ['X86_64 t\n(* Result: Maybe *)\n', '2: expected Result: Never, Sometimes or Always, found Maybe'],
    ['X86_64 t\n(* words', '2: expected *) behind this comment, found the end of the file'],
    [HEAD, '2: expected a table of columns such as P0 | P1 ;, found nothing'],
    [`${HEAD} P0 | P0 ;\n nop | nop ;\n`, '3: expected each column once, found P0 twice'],
    [`${HEAD} P1 ;\n nop ;\n`, '3: expected a column P0, found P1'],
    [`${HEAD} P0 | P1.NMI ;\n nop | nop ;\n`, '3: expected a column P1, found P0, P1.NMI'],
    [`${HEAD} P0 | P8 ;\n`, '3: expected a column named P0 to P7, P0.NMI or P0.IRQ, found P8'],
    [`${HEAD} P0 | P0.SMI ;\n`, '3: expected a column named P0 to P7, P0.NMI or P0.IRQ, found P0.SMI'],
    [`${HEAD} P0 | P1 ;\n nop ;\n`, '4: expected 2 cells as in the head, found 1'],
    [`${HEAD} P0 | P1 ;\n nop | nop\n`, '4: expected a row that ends in ;, found nop | nop'],
    [`${HEAD} P0 ;\n nop; nop ;\n`, '4: expected one statement in a cell, found nop; nop'],
    [`${HEAD} P0 | P1 ;\n nop | ;\nexists (x=1)`, '3: expected an instruction in column P1, found none'],
    [`${HEAD}${TABLE}`, '4: expected exists, ~exists or forall, found nothing more'],
    [`${HEAD}${TABLE}exists`, '5: expected a register such as 0:rax or a variable, found nothing more'],
    [`${HEAD}${TABLE}exists (x=1`, '5: expected ), found nothing more'],
    [`${HEAD}${TABLE}exists (x 1)`, '5: expected =, found 1'],
    [`${HEAD}${TABLE}exists (x=1) y`, '5: expected the file to end behind the condition, found more'],
    [
      `${HEAD}${TABLE}exists (q=1)`,
      '5: expected a register or a variable of the initial state (x, y, n, a), found q',
    ],
    [
      `${HEAD}${TABLE}exists (0:raxx=1)`,
      '5: expected a register or a variable of the initial state (x, y, n, a), found raxx',
    ],
    [`${HEAD}${TABLE}exists (2:rax=1)`, '5: expected a CPU from 0 to 1, found 2'],
    [`${HEAD}${TABLE}exists (hang(P2))`, '5: expected a CPU from 0 to 1, found 2'],
    [`${HEAD}${TABLE}exists (n=1)`, '5: expected 0:n, each CPU has its own, found n'],
    [`${HEAD}${TABLE}exists (0:x=1)`, '5: expected x, all CPUs share it, found 0:x'],
    [`${HEAD}${TABLE}exists (a[2]=1)`, '5: expected an index below 2, found a[2]'],
    [
      `${HEAD}${TABLE}locations [x q]\nexists (x=1)`,
      '5: expected a register or a variable of the initial state (x, y, n, a), found q',
    ],
    [`${HEAD}${TABLE}bound 0\nexists (x=1)`, '5: expected a bound from 1 to 10000, found 0'],
    [`${HEAD}${TABLE}strikes P0 1\nexists (x=1)`, '5: expected .NMI or .IRQ behind P0, found 1'],
    [
      `${HEAD}${TABLE}strikes P1.NMI 1\nexists (x=1)`,
      '5: expected a handler column of the table, found P1.NMI',
    ],
    [`${HEAD}${TABLE}strikes P0.NMI 2..1\nexists (x=1)`, '5: expected how often it strikes, found 2..1'],
    [
      `${HEAD}${TABLE}strikes P0.NMI\nstrikes P0.NMI 2\nexists (x=1)`,
      '6: expected one strikes for P0.NMI, found two',
    ],
    [
      'X86_64 t\n{ 0:rbp=y; }\n P0 ;\n nop ;\nexists (0:rbp=1)',
      '2: expected a register or a variable of the initial state (none is declared), found y',
    ],
    [
      'X86_64 t\n{ 0:al=1; }\n P0 ;\n nop ;\nexists (0:rbp=1)',
      '2: expected a register such as rax or eax, found al',
    ],
  ])('%j', (source, message) => {
    const parse = () => parseLitmus(source, 'f');
    expect(parse).toThrow(LitmusError);
    expect(parse).toThrow(new LitmusError(`f:${message}`));
  });

  it.each([
    ['movq $1, q', 'f:4: expected names that the snippet or the image defines'],
    ['frobnicate', 'f:4: expected a statement that keystone assembles, found `frobnicate`'],
    ['1: nop', 'f:4: expected a named label, found the numeric one 1:'],
  ])('a mistake in a cell is told with its line: %s', async (text, message) => {
    const source = `X86_64 t\n{ x=0; }\n P0 | P1 ;\n nop | ${text} ;\n nop | nop ;\nexists (x=1)`;
    await expect(runLitmusSource(source, 'f')).rejects.toThrow(message);
  });

  it.each([
    ['in here', 'expected the labels here and here in column P0 or P0.NMI, found not both'],
    ['in b..a', 'expected the window b..a to go forward, found a before b'],
  ])('a window that is not there: %s', async (window, message) => {
    const source = `X86_64 t\n{}\n P0 | P0.NMI ;\n a: nop | nop ;\n b: nop | ;\nstrikes P0.NMI 1 ${window}\nforall (true)`;
    await expect(runLitmusSource(source, 'f')).rejects.toThrow(`f: ${message}`);
  });
});

describe('litmusSource', () => {
  it('is a file that says the same', () => {
    const source = litmusSource({
      name: 'both',
      init: 'x=0',
      columns: { P0: 'movq $1, x; nop', 'P0.NMI': 'mov x, %r8\n' },
      strikes: ['P0.NMI 0..1'],
      condition: 'exists (0:r8=1)',
      locations: 'x',
      bound: 9,
    });
    expect(source).toBe(
      [
        'X86_64 both',
        '{ x=0 }',
        ' P0         | P0.NMI     ;',
        ' movq $1, x | mov x, %r8 ;',
        ' nop        |            ;',
        'strikes P0.NMI 0..1',
        'locations [x]',
        'bound 9',
        'exists (0:r8=1)',
        '',
      ].join('\n'),
    );
    expect(parseLitmus(source, 'both')).toMatchObject({ name: 'both', bound: 9 });
  });

  it('mistakes are told with the lines of that file', async () => {
    await expect(litmus({ columns: { P0: 'nop' }, condition: 'exists (x=1)' })).rejects.toThrow(
      'litmus:5: expected',
    );
  });
});
