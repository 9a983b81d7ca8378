import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { statedRuns } from './stated.js';

const PAGE = 4096n;
const PT_LOAD = 1;
const WRITE_EXECUTE = 3;

/** Loadable segments of an ELF64 file: first and last page, and flags (1 execute, 2 write, 4 read). */
function segments(image: Buffer) {
  const start = Number(image.readBigUInt64LE(32));
  return Array.from({ length: image.readUInt16LE(56) }, (_, i) => image.subarray(start + 56 * i))
    .filter((header) => header.readUInt32LE(0) === PT_LOAD)
    .map((header) => {
      const address = header.readBigUInt64LE(16);
      const end = address + header.readBigUInt64LE(40);
      return {
        address,
        firstPage: address / PAGE,
        lastPage: (end - 1n) / PAGE,
        flags: header.readUInt32LE(4),
      };
    });
}

describe.each([...new Set(statedRuns().map((run) => run.image))])('%s', (name) => {
  const image = readFileSync(`build/user/${name}.elf`);

  test('each segment begins a page and shares it with no other; none is writable code', () => {
    const found = segments(image);
    for (const [i, segment] of found.entries()) {
      expect(segment.address % PAGE).toBe(0n);
      expect(segment.flags & WRITE_EXECUTE).not.toBe(WRITE_EXECUTE);
      const next = found[i + 1];
      if (next) expect(next.firstPage > segment.lastPage).toBe(true);
    }
  });

  test('the place of the build is not in it', () => {
    expect(image.includes(process.cwd())).toBe(false);
  });

  test('a listing and a symbol map stand beside it', () => {
    expect(readFileSync(`build/user/${name}.lst`, 'utf8')).toContain('<_start>:');
    expect(readFileSync(`build/user/${name}.map.txt`, 'utf8')).toMatch(
      /^[0-9a-f]{16} [0-9a-f]{16} T _start$/m,
    );
  });
});

test('each source becomes an image of the same name', () => {
  for (const source of readdirSync('guest-user').filter((file) => /\.[cS]$/.test(file)))
    expect(existsSync(`build/user/${source.replace(/\.[cS]$/, '.elf')}`), source).toBe(true);
});
