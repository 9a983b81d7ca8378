/** Writes kallsyms tables as Linux's scripts/kallsyms.c does, in the forms that they had over the releases. */
import type { Memory } from '../../src/linux/kernel-memory.js';

export interface NamedAddress {
  readonly name: string;
  readonly type: string;
  readonly address: bigint;
}

/** Of a release: where each table stands and how wide its entries are. */
export interface Release {
  readonly alignment: 4 | 8;
  readonly marker: 4 | 8;
  /** Whether the addresses come before all other tables or behind them. */
  readonly addresses: 'first' | 'last';
  readonly form: 'absolute' | 'relative' | 'relative, per-CPU absolute' | 'from their place';
  /** kallsyms_seqs_of_names, of three bytes each. */
  readonly sequences: 'none' | 'before the tokens' | 'last';
}

export const RELEASES: Readonly<Record<string, Release>> = {
  '4.4': { alignment: 8, marker: 8, addresses: 'first', form: 'absolute', sequences: 'none' },
  '4.19': {
    alignment: 8,
    marker: 8,
    addresses: 'first',
    form: 'relative, per-CPU absolute',
    sequences: 'none',
  },
  '5.10': {
    alignment: 8,
    marker: 4,
    addresses: 'first',
    form: 'relative, per-CPU absolute',
    sequences: 'none',
  },
  '5.10 for one CPU': { alignment: 8, marker: 4, addresses: 'first', form: 'relative', sequences: 'none' },
  "Debian's 6.1": {
    alignment: 8,
    marker: 4,
    addresses: 'first',
    form: 'relative, per-CPU absolute',
    sequences: 'before the tokens',
  },
  '6.4': {
    alignment: 8,
    marker: 4,
    addresses: 'last',
    form: 'relative, per-CPU absolute',
    sequences: 'last',
  },
  '6.4 without a base': {
    alignment: 8,
    marker: 4,
    addresses: 'last',
    form: 'absolute',
    sequences: 'last',
  },
  '6.15': { alignment: 8, marker: 4, addresses: 'last', form: 'relative', sequences: 'last' },
  '7.0': { alignment: 4, marker: 4, addresses: 'last', form: 'from their place', sequences: 'last' },
};

const GROUP = 256;
export const isPerCpu = ({ address }: NamedAddress): boolean => address < 1n << 63n;

/** The strings that the codes stand for: each character that is in use for itself, the others for what is given. */
function tokensFor(texts: readonly string[], strings: readonly string[]): Map<number, string> {
  const used = new Set(Buffer.from(texts.join('')));
  const left = [...new Set(strings.filter((text) => text !== ''))];
  const tokens = new Map([...used].map((code) => [code, String.fromCharCode(code)]));
  for (let code = 255; code >= 0 && left.length > 0; code--)
    if (!used.has(code)) tokens.set(code, left.shift()!);
  return tokens;
}

/** Always the longest token that fits. */
function encode(text: string, byLength: readonly (readonly [code: number, token: string])[]): number[] {
  const codes: number[] = [];
  for (let at = 0; at < text.length; ) {
    const [code, token] = byLength.find(([, each]) => text.startsWith(each, at))!;
    codes.push(code);
    at += token.length;
  }
  return codes;
}

const word = (value: bigint | number, size: 2 | 4 | 8): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes.subarray(0, size);
};

export interface Encoding {
  readonly release: Release;
  /** In the order of their addresses. */
  readonly symbols: readonly NamedAddress[];
  /** Strings that shall be tokens. */
  readonly strings?: readonly string[];
  /** Where the tables begin; a multiple of 8. */
  readonly address?: bigint;
}

/** The tables of these symbols. Some of the names must have digits in them, as a kernel's have. */
export function kallsymsOf({
  release,
  symbols,
  strings = [],
  address = 0xffff_ffff_8200_0000n,
}: Encoding): Memory {
  const { alignment, marker, form } = release;
  const texts = symbols.map(({ type, name }) => type + name);
  const tokens = tokensFor(texts, strings);
  const byLength = [...tokens].sort(([, a], [, b]) => b.length - a.length);
  const tables: Buffer[] = [];
  let size = 0;
  const put = (...pieces: Buffer[]): void => {
    const table = Buffer.concat(pieces);
    const padded = Buffer.alloc(Math.ceil(table.length / alignment) * alignment);
    table.copy(padded);
    tables.push(padded);
    size += padded.length;
  };
  const sequences = (): void =>
    put(...symbols.map((_, index) => Buffer.of(index >> 16, (index >> 8) & 0xff, index & 0xff)));
  const putAddresses = (): void => {
    const base = symbols.find((symbol) => !isPerCpu(symbol))!.address;
    if (form === 'absolute') put(...symbols.map((symbol) => word(symbol.address, 8)));
    else if (form === 'from their place')
      put(...symbols.map((symbol, index) => word(symbol.address - address - BigInt(size + 4 * index), 4)));
    else {
      const areAbsolute = form === 'relative, per-CPU absolute';
      const offset = (symbol: NamedAddress): bigint => {
        if (!areAbsolute) return symbol.address - base;
        return isPerCpu(symbol) ? symbol.address : base - symbol.address - 1n;
      };
      put(...symbols.map((symbol) => word(offset(symbol), 4)));
      put(word(base, 8));
    }
  };

  if (release.addresses === 'first') putAddresses();
  put(word(symbols.length, 4));
  const names: Buffer[] = [];
  const markers: Buffer[] = [];
  let offset = 0;
  for (const [index, text] of texts.entries()) {
    if (index % GROUP === 0) markers.push(word(offset, marker));
    const codes = encode(text, byLength);
    const length = codes.length < 0x80 ? [codes.length] : [(codes.length & 0x7f) | 0x80, codes.length >> 7];
    names.push(Buffer.of(...length, ...codes));
    offset += length.length + codes.length;
  }
  put(...names);
  put(...markers);
  if (release.sequences === 'before the tokens') sequences();
  const table = Array.from({ length: 256 }, (_, code) =>
    Buffer.from(`${tokens.get(code) ?? ''}\0`, 'latin1'),
  );
  put(...table);
  let start = 0;
  put(
    ...table.map((token) => {
      const index = word(start, 2);
      start += token.length;
      return index;
    }),
  );
  if (release.addresses === 'last') putAddresses();
  if (release.sequences === 'last') sequences();
  return { address, bytes: Buffer.concat(tables) };
}
