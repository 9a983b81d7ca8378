/** The kernel inside a bzImage: packed by the commands that pack kernels, and by Node. */
import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, it, test } from 'vitest';
import { LinuxError } from '../../src/linux/linux-error.js';
import { unpackKernel } from '../../src/linux/payload.js';
import { damaged, damages, refusalOf } from '../boot/damage.js';
import { linuxImage } from '../boot/linux-guest.js';

const KERNEL = Buffer.from(
  Array.from({ length: 3000 }, (_, index) => `line ${index} of a kernel\n`).join(''),
);
/** Where the packed kernel begins in the code that `linuxImage` is given, and from the start of the protected-mode code. */
const AT = 0x40;
const ENTRY = 0x200;

/** A bzImage with this payload. */
function imageOf(payload: Uint8Array): Buffer {
  const image = linuxImage(Buffer.concat([Buffer.alloc(AT), payload]));
  image.writeUInt32LE(ENTRY + AT, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  return image;
}

const withSize = (packed: Uint8Array, size = KERNEL.length): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(size);
  return Buffer.concat([packed, bytes]);
};

/** Linux, scripts/Makefile.lib: how each kind of payload is made. */
const PACKERS: readonly (readonly [command: string, ...args: string[]])[] = [
  ['zstd', '-q', '-19', '-c'],
  ['lz4', '-l', '-9', '-c', '-q'],
  ['xz', '--check=crc32', '--x86', '--lzma2=', '-c'],
  ['lzma', '-9', '-c'],
  ['bzip2', '-9', '-c'],
  ['lzop', '-9', '-c'],
];

const isMissing = (command: string): boolean => spawnSync(command, ['--version']).error !== undefined;

const { PATH } = process.env;
afterEach(() => {
  process.env['PATH'] = PATH;
});

it('is unpacked from gzip, whose trailer has its size', () => {
  expect(unpackKernel(imageOf(gzipSync(KERNEL))).toString()).toBe(KERNEL.toString());
});

describe.each(PACKERS)('%s', (command, ...args) => {
  it.skipIf(isMissing(command))(`packs what is unpacked again (skipped without ${command})`, () => {
    const { stdout } = spawnSync(command, args, { input: KERNEL });
    expect(unpackKernel(imageOf(withSize(stdout))).toString()).toBe(KERNEL.toString());
  });
});

test.skipIf(isMissing('lz4'))(
  'a command that is missing is named, and what else can be done (skipped without lz4)',
  () => {
    const { stdout } = spawnSync('lz4', ['-l', '-c', '-q'], { input: KERNEL });
    process.env['PATH'] = '/nowhere';
    expect(() => unpackKernel(imageOf(withSize(stdout)))).toThrow(
      'expected the command lz4, which unpacks this kernel, found none on this machine; ' +
        "install it (Debian's package lz4), or give the unpacked kernel, vmlinux",
    );
  },
);

test.each<[name: string, image: () => Buffer, sentence: RegExp]>([
  [
    'no payload',
    () => linuxImage(Uint8Array.of(0xf4)),
    /^expected a kernel packed by gzip, zstd, .* in the image, found none$/,
  ],
  [
    'another payload',
    () => imageOf(Buffer.from('a kernel as it is')),
    /found one that begins with 61206b65$/,
  ],
  ['a payload that is cut short', () => imageOf(gzipSync(KERNEL).subarray(0, 100)), /it is damaged$/],
  ['a payload of more than its size', () => imageOf(gzipLying(KERNEL.length - 1)), /it is damaged$/],
  ['a payload of less than its size', () => imageOf(gzipLying(KERNEL.length + 1)), /it is damaged$/],
  [
    'a payload that says it is huge',
    () => imageOf(gzipLying(0xffff_ffff)),
    /^expected 4294967295 bytes packed by gzip in the image/,
  ],
])('%s is told in one sentence', (_, image, sentence) => {
  expect(() => unpackKernel(image())).toThrow(LinuxError);
  expect(() => unpackKernel(image())).toThrow(sentence);
});

function gzipLying(size: number): Buffer {
  const packed = gzipSync(KERNEL);
  packed.writeUInt32LE(size, packed.length - 4);
  return packed;
}

test('a thousand damaged images are refused in one sentence or unpacked', () => {
  const image = imageOf(gzipSync(KERNEL));
  let refused = 0;
  fc.assert(
    fc.property(damages(image, [{ at: 0x1f1, bytes: 0x7b }]), (damage) => {
      const refusal = refusalOf(() => unpackKernel(damaged(image, damage)));
      if (refusal === undefined) return;
      expect(refusal.message).toMatch(/^expected [^\n]*$/);
      refused++;
    }),
    { numRuns: 1000, seed: 248 },
  );
  expect(refused).toBeGreaterThan(500);
  expect(refused).toBeLessThan(1000);
});

test.skipIf(isMissing('zstd'))('damaged contents of a command are refused (skipped without zstd)', () => {
  const { stdout } = spawnSync('zstd', ['-q', '-c'], { input: KERNEL });
  for (let at = 4; at < stdout.length; at += 997) {
    const copy = Buffer.from(stdout);
    copy[at]! ^= 0xff;
    const refusal = refusalOf(() => unpackKernel(imageOf(withSize(copy))));
    expect(refusal?.message, `${at}`).toMatch(
      /^expected \d+ bytes packed by zstd in the image, found [^\n]*: it is damaged$/,
    );
  }
});
