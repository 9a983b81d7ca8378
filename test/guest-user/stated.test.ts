import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseStack, parseStated, STATED_REASONS, statedRuns, withinLimit } from './stated.js';

describe('the notation of guest-user/README.md', () => {
  test.each([
    ['getpid(1): leaf main; ends: fp-below-sp', ['leaf', 'main']],
    ['getpid(1): down*3 main; ends: limit', ['down', 'down', 'down', 'main']],
    ['getpid(1): (a b)*2 c 0x0; ends: return-address-unreadable', ['a', 'b', 'a', 'b', 'c', '0x0']],
    ['getpid(1): leaf ?', ['leaf']],
  ])('%s', (text, entries) => {
    expect(parseStack(text).entries).toEqual(entries);
  });

  test('an argument is the 64-bit value of the register', () => {
    expect(parseStack('wait4(-1): main; ends: limit').argument).toBe(0xffff_ffff_ffff_ffffn);
  });

  test.each([
    ['getpid: main; ends: limit', 'expected "SYSCALL(ARGUMENT)'],
    ['getpid(1): main', 'expected "SYSCALL(ARGUMENT)'],
    ['getpid(1): main; ends: luck', 'expected one of fp-below-sp'],
    ['getpid(1): (main; ends: limit', 'expected NAME'],
  ])('%s is refused', (text, message) => {
    expect(() => parseStack(text)).toThrow(message);
  });

  test('a source states its runs', () => {
    const source = `/* p\n * RUN p 1\n * INPUT in\n * OUTPUT a\n * OUTPUT b\n * STACK getpid(1): x \\
      y; ends: limit\n * EXIT 3\n *\n * RUN q\n * EXIT 0\n */ RUN not read`;
    const stack = { syscall: 'getpid', argument: 1n, entries: ['x', 'y'], ends: 'limit' };
    expect(parseStated(source)).toEqual([
      { image: 'p', arguments: ['1'], input: 'in\n', output: 'a\nb\n', exit: 3, stacks: [stack] },
      { image: 'q', arguments: [], input: '', output: '', exit: 0, stacks: [] },
    ]);
  });

  test('a run without an exit status is refused', () => {
    expect(() => parseStated('/*\n * RUN p\n */')).toThrow('expected EXIT');
  });

  test('a stack of as many entries as the limit ends by it', () => {
    const stack = parseStack('getpid(1): a*5; ends: fp-below-sp');
    expect(withinLimit(stack, 6)).toEqual(stack);
    expect(withinLimit(stack, 5)).toEqual({ ...stack, ends: 'limit' });
    expect(withinLimit(stack, 4)).toEqual({ ...stack, entries: ['a', 'a', 'a', 'a'], ends: 'limit' });
  });
});

test('every program states a run', () => {
  for (const name of readdirSync('guest-user').filter((file) => /\.[cS]$/.test(file)))
    expect(parseStated(readFileSync(`guest-user/${name}`, 'utf8')), name).not.toHaveLength(0);
});

test('each stop condition of the walk is stated by some program', () => {
  const stated = new Set(statedRuns().flatMap((run) => run.stacks.map((stack) => stack.ends)));
  expect(STATED_REASONS.filter((reason) => !stated.has(reason))).toEqual([]);
});
