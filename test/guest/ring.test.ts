import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Guest } from '../../src/guest/guest.js';
import { SyntheticGuest } from './synthetic.js';

const BUFFERS = 0xffff_ffff_8200_0000n;

/** One small buffer of 64 bytes of data, at CPU 2's place. */
function ring(head: bigint, tail: bigint, data: Uint8Array, lost = 0n) {
  const memory = new SyntheticGuest();
  memory.constants.set('BUFFER_DATA_SIZE', 64n).set('BUFFER_data', 32n).set('BUFFER_SIZE', 128n);
  memory.symbols.set('perf_buffers', BUFFERS);
  const base = BUFFERS + 256n;
  memory.zero(base, 32n);
  memory.field(base, 'BUFFER_head', head);
  memory.field(base, 'BUFFER_tail', tail);
  memory.field(base, 'BUFFER_lost', lost);
  memory.write(base + 32n, data);
  const decode = (bytes: Uint8Array, at: number) => [{ bytes: [...bytes], at }];
  return { base, reader: new Guest(memory, memory).ring('perf_buffers', 2, decode) };
}

test('what was written since the tail comes in one piece, wherever it lies', () => {
  const anyRing = fc.tuple(fc.nat({ max: 1000 }), fc.nat({ max: 64 }));
  fc.assert(
    fc.property(anyRing, ([tail, length]) => {
      const data = new Uint8Array(64);
      const written = Array.from({ length }, (_, index) => (index + 1) & 0xff);
      for (const [index, byte] of written.entries()) data[(tail + index) % 64] = byte;
      const { base, reader } = ring(BigInt(tail + length), BigInt(tail), data, 3n);
      expect(reader.drain()).toEqual({
        records: [{ bytes: written, at: tail }],
        tail: BigInt(tail + length),
        tailAddress: base + 8n,
        lost: 3n,
      });
    }),
  );
});

test.each([
  ['a head before the tail', 8n, 16n],
  ['a head more than the buffer after the tail', 100n, 16n],
])('%s is refused', (_, head, tail) => {
  const { reader } = ring(head, tail, new Uint8Array(64));
  expect(() => reader.drain()).toThrow(/^expected data_head of the ring buffer at 0x.* found -?\d+$/);
});
