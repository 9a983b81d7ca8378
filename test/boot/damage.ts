/** Damaged copies of files: cut short, or with bits turned. */
import fc from 'fast-check';
import { ImageError } from '../../emu/boot/image-error.js';
import type { Outcome } from '../../emu/machine.js';

/** How a guest may end, whatever it was given. */
export const ENDS: readonly Outcome['kind'][] = [
  'poweroff',
  'debug-exit',
  'reset',
  'budget',
  'triple-fault',
  'hang',
  'bus-error',
];

export interface Damage {
  /** Bytes that are left. */
  readonly length: number;
  /** Bits that are turned. */
  readonly bits: readonly number[];
}

export function damaged(file: Uint8Array, { length, bits }: Damage): Buffer {
  const copy = Buffer.from(file.subarray(0, length));
  for (const bit of bits) if (bit >> 3 < copy.length) copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** A stretch of a file in which most bits matter. */
export interface Stretch {
  readonly at: number;
  readonly bytes: number;
}

/** Half of the turned bits lie in headers: by default those at the file's start and end. */
export function damages(
  { length }: Uint8Array,
  headers: readonly Stretch[] = [
    { at: 0, bytes: 512 },
    { at: length - 2048, bytes: 2048 },
  ],
): fc.Arbitrary<Damage> {
  const within = ({ at, bytes }: Stretch): fc.Arbitrary<number> =>
    fc.nat(8 * bytes - 1).map((bit) => 8 * at + bit);
  const anywhere = within({ at: 0, bytes: length });
  const bit = fc.oneof(...headers.map(within), ...headers.map(() => anywhere));
  return fc.oneof(
    { weight: 1, arbitrary: fc.record({ length: fc.nat(length - 1), bits: fc.constant([]) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        length: fc.constant(length),
        bits: fc.array(bit, { minLength: 1, maxLength: 8 }),
      }),
    },
  );
}

/** The sentence that refuses an image; `undefined` where none does. Any other error is passed on. */
export function refusalOf(body: () => void): ImageError | undefined {
  try {
    body();
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
  return undefined;
}
