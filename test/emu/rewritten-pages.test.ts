/** Which pages of code are taken to have been rewritten, and what is known of their blocks. */
import { beforeEach, describe, expect, test } from 'vitest';
import { RewrittenPages } from '../../emu/engine/rewritten-pages.js';

const PAGE = 0x3000;
const BLOCK = PAGE + 0x100;
const SIZE = 16;
const VARIANT = 0xb0;

let ram: Buffer;
let pages: RewrittenPages;
let kept: number[];
/** What the engine says when it is to keep the marks of a page. */
let canKeep: boolean;
const isSuspect = (address: number, variant: number | undefined): boolean =>
  pages.look(address, variant) === 'suspect';
beforeEach(() => {
  ram = Buffer.alloc(0x8000);
  kept = [];
  canKeep = true;
  pages = new RewrittenPages(ram, (page) => {
    kept.push(page);
    return canKeep;
  });
  expect(pages.look(BLOCK, VARIANT)).toBe('new');
  pages.note(BLOCK, SIZE, VARIANT);
});

describe('a page with a block', () => {
  test.each<[string, () => boolean, boolean]>([
    ['is not suspect for another block', () => isSuspect(BLOCK + 4, VARIANT), false],
    ['nor for the same one in another state of the CPU', () => isSuspect(BLOCK, VARIANT + 3), false],
    ['nor for one that will not stay', () => isSuspect(BLOCK, undefined), false],
    ['is suspect for the same one again', () => isSuspect(BLOCK, VARIANT), true],
    [
      'is not when it has been forgotten on purpose, by a block that overlaps it',
      () => {
        pages.forgotten(BLOCK + SIZE - 1, 1);
        return isSuspect(BLOCK, VARIANT);
      },
      false,
    ],
    [
      'is when only its neighbour has been',
      () => {
        pages.forgotten(BLOCK + SIZE, 8);
        return isSuspect(BLOCK, VARIANT);
      },
      true,
    ],
    [
      'is suspect when any byte of it has changed',
      () => {
        ram[PAGE + 0xfff] = 1;
        return isSuspect(BLOCK + 4, VARIANT);
      },
      true,
    ],
    [
      'is not for a byte of the next page',
      () => {
        ram[PAGE + 0x1000] = 1;
        return isSuspect(BLOCK + 4, VARIANT);
      },
      false,
    ],
  ])('%s', (_name, ask, expected) => {
    expect(ask()).toBe(expected);
  });

  test('begins anew once it has been suspect', () => {
    ram[PAGE] = 1;
    expect(isSuspect(BLOCK, VARIANT)).toBe(true);
    expect(isSuspect(BLOCK, VARIANT)).toBe(false);
  });
});

test('a block in which nothing traps stays one as long as its page is what it was', () => {
  const isPlain = (): boolean => pages.isPlain(BLOCK, SIZE, VARIANT);
  expect(isPlain()).toBe(false);
  pages.notePlain(BLOCK, SIZE, VARIANT);
  expect(isPlain()).toBe(true);
  expect([pages.isPlain(BLOCK, SIZE - 1, VARIANT), pages.isPlain(BLOCK, SIZE, VARIANT + 1)]).toEqual([
    false,
    false,
  ]);
  ram[PAGE] = 1;
  isSuspect(BLOCK + 4, VARIANT);
  expect(isPlain()).toBe(false);
});

describe('a page that has been suspect twice', () => {
  const suspectAgain = (): boolean => {
    pages.note(BLOCK, SIZE, VARIANT);
    return isSuspect(BLOCK, VARIANT);
  };
  test('has its marks kept, and is suspect no more', () => {
    expect([suspectAgain(), kept]).toEqual([true, []]);
    expect([suspectAgain(), kept]).toEqual([true, [PAGE]]);
    expect([suspectAgain(), kept]).toEqual([false, [PAGE]]);
    ram[PAGE] = 1;
    expect(isSuspect(BLOCK, VARIANT)).toBe(false);
  });
  test('also when all blocks have been forgotten in between', () => {
    suspectAgain();
    pages.clear();
    expect(pages.look(BLOCK, VARIANT)).toBe('new');
    expect([suspectAgain(), suspectAgain(), kept]).toEqual([true, false, [PAGE]]);
  });
  test('stays suspect where they cannot be', () => {
    canKeep = false;
    suspectAgain();
    expect([suspectAgain(), suspectAgain()]).toEqual([true, true]);
  });
  test('does not vouch for what does not trap in it', () => {
    suspectAgain();
    suspectAgain();
    isSuspect(BLOCK, VARIANT);
    pages.notePlain(BLOCK, SIZE, VARIANT);
    ram[PAGE] = 1;
    isSuspect(BLOCK, VARIANT);
    expect(pages.isPlain(BLOCK, SIZE, VARIANT)).toBe(false);
  });
});
