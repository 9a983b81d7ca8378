/** The two ways to ask Linux for the pages that have been written: each is the other's oracle. */
import fc from 'fast-check';
import koffi from 'koffi';
import { afterAll, expect, test } from 'vitest';
import { HostMemory, PAGE_SIZE } from '../../emu/engine/host-memory.js';
import { WrittenPages } from '../../emu/engine/written-pages.js';

const PAGES = 1024;
const memory = new HostMemory(PAGES * PAGE_SIZE);
const finders = [true, false].map(
  (mayScan) => new WrittenPages(koffi.address(memory.pointer as never), PAGES, PAGE_SIZE, mayScan),
);
afterAll(() => {
  for (const finder of finders) finder.close();
  memory.close();
});

const pagesOf = (finder: WrittenPages): number[] =>
  finder.find().flatMap(({ from, to }) => Array.from({ length: to - from }, (_, index) => from + index));

test('both find the pages that were written, and not those that were read', () => {
  const some = fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: 700 });
  fc.assert(
    fc.property(some, some, (written, read) => {
      memory.settle();
      for (const page of written) memory.bytes[page * PAGE_SIZE] = 1;
      expect(read.every((page) => memory.bytes[page * PAGE_SIZE + 1] === 0)).toBe(true);
      for (const finder of finders) expect(pagesOf(finder)).toEqual(written.toSorted((a, b) => a - b));
    }),
  );
});
