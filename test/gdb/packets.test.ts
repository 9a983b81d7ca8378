/** The framing of the remote serial protocol. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/gdb/connection.js';
import { type Arrival, framed, fromHex, MAX_BODY, PacketReader } from '../../src/gdb/packets.js';
import { REGISTERS, TARGET_XML } from '../../src/gdb/registers.js';

const read = (...pieces: (string | Uint8Array)[]): Arrival[] => {
  const reader = new PacketReader();
  return pieces.flatMap((piece) =>
    reader.feed(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece),
  );
};
const bodies = (arrivals: readonly Arrival[]): string[] =>
  arrivals.map((arrival) => (arrival.kind === 'packet' ? arrival.body.toString('latin1') : arrival.kind));

describe('PacketReader', () => {
  it.each([
    ['a packet', '$qC#b4', ['qC']],
    ['an empty one', '$#00', ['']],
    ['the sum in capitals', '$qC#B4', ['qC']],
    ['signs between packets', '+$g#67-\x03', ['ack', 'g', 'nak', 'interrupt']],
    ['what means nothing between packets', 'xyz\r\n$g#67', ['g']],
    ['a wrong sum', '$g#68', ['damaged']],
    ['a sum that is no number', '$g#zz', ['damaged']],
    ['a packet that was cut off by the next', '$gggg$g#67', ['g']],
    ['escaped bytes', '$X0,1:}\x03}]#79', ['X0,1:#}']],
    ['Ctrl-C within a packet is a byte', '$\x03#03', ['\x03']],
  ])('reads %s', (_what, bytes, found) => {
    expect(bodies(read(bytes))).toEqual(found);
  });

  it('refuses a packet that is too long, and reads the next', () => {
    const long = framed('a'.repeat(MAX_BODY + 1));
    expect(bodies(read(long, '$g#67'))).toEqual(['damaged', 'g']);
  });

  it('reads what `framed` writes, in whatever pieces it comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        (sent, lengths) => {
          const stream = Buffer.concat(sent.map(framed));
          const pieces: Buffer[] = [];
          for (let at = 0; at < stream.length; at += pieces.at(-1)!.length)
            pieces.push(stream.subarray(at, at + lengths.next().value!));
          expect(read(...pieces)).toEqual(sent.map((body) => ({ kind: 'packet', body: Buffer.from(body) })));
        },
      ),
    );
  });

  it('bears any bytes, and is at its place again with the next packet', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(bodies(read(noise, '$#00$?#3f')).at(-1)).toBe('?');
      }),
    );
  });
});

describe('hexadecimal bytes', () => {
  it.each([
    ['', ''],
    ['00fF', '\x00\xff'],
  ])('reads %j', (text, bytes) => {
    expect(fromHex(text)?.toString('latin1')).toBe(bytes);
  });
  it.each(['0', '0g', ' 0', '0x'])('refuses %j', (text) => {
    expect(fromHex(text)).toBeUndefined();
  });
});

describe('where to listen', () => {
  it.each([
    ['1234', { host: '127.0.0.1', port: 1234 }],
    [':1234', { host: '127.0.0.1', port: 1234 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['0.0.0.0:65535', { host: '0.0.0.0', port: 65535 }],
    ['[::1]:1234', { host: '::1', port: 1234 }],
    ['unix:a b', { path: 'a b' }],
  ])('reads %s', (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });
  it.each(['', 'host', 'host:', '1:2:3', '65536', '-1', '0x10', 'unix:', ' 1', '[::1]'])(
    'refuses %j',
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );
});

it('describes each register once, with types that are gdb’s or defined before', () => {
  const names = REGISTERS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  const defined = new Set([
    ...['int', 'int32', 'int64', 'data_ptr', 'code_ptr', 'i387_ext'],
    ...[...TARGET_XML.matchAll(/ id="(\w+)"/g)].map(([, id]) => id!),
  ]);
  for (const { type } of REGISTERS) expect(defined).toContain(type);
  expect(TARGET_XML.match(/<reg /g)).toHaveLength(names.length);
});
