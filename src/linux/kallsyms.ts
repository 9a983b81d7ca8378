/**
 * The names that a Linux kernel carries in its own read-only data (CONFIG_KALLSYMS), found without any map of it.
 *
 * Six tables lie there behind one another; each begins at the next multiple of 8, since 7.0 of 4. The names are packed: each is a
 * length and that many codes, and a code stands for a short string, its token. In front of a name stands its type, a letter as nm
 * prints it. The names are in the order of their addresses.
 *
 *     up to 6.3    addresses, count, names, markers, (sequence numbers,) tokens, token index
 *     since 6.4    count, names, markers, tokens, token index, addresses, sequence numbers
 *
 * Nothing says where they are, but they bear each other out. The token index is an array of 256 offsets that fit the tokens before
 * it; the count tells where names and markers begin, and each marker is the offset of the 256th name after the one before; the
 * addresses are sorted. So all of it is found for certain, or nothing.
 *
 * Source: Linux, scripts/kallsyms.c write_src() and kernel/kallsyms.c.
 */
import type { VirtAddr } from '../../emu/memory/address.js';
import { addressTable } from './kallsyms-addresses.js';
import { type Alignment, alignUp, type Memory, MemoryView } from './kernel-memory.js';
import { LinuxError } from './linux-error.js';

/** A name of the kernel. */
export interface KernelSymbol {
  readonly name: string;
  /** nm's letter: small for a local symbol. */
  readonly type: string;
  /** As linked, or as relocated in memory that is of a running kernel; of per-CPU variables before 6.15 the offset in each CPU's area. */
  readonly address: VirtAddr;
}

const CODES = 256;
/** Every kernel has names with each of the digits, so each digit is its own token: "0", NUL, "1", NUL, … */
const FIRST_DIGIT = '0'.charCodeAt(0);
const DIGITS = Buffer.from(Array.from('0123456789', (digit) => `${digit}\0`).join(''));
const isPrintable = (byte: number): boolean => byte > 0x20 && byte < 0x7f;
/** KSYM_NAME_LEN; the type counts too. */
const MAX_NAME = 512;
/** A marker for each group of so many names. */
const GROUP = 256;
/** No kernel has so few, and the forms of so small a table could be mistaken for each other. */
const MIN_COUNT = 16;
/** More than any kernel has, by far. */
const MAX_COUNT = 1 << 22;
/** Names that are walked in vain before the search is given up; a kernel's own tables are found after some hundreds. */
const MAX_WALKED = 1 << 24;

interface Tokens {
  readonly tokens: readonly Uint8Array[];
  readonly at: number;
  /** Behind the token index. */
  readonly end: number;
}

interface Names {
  readonly count: number;
  readonly countAt: number;
  readonly namesAt: number;
}

/**
 * The kernel's names in the order of their addresses.
 * @param memory stretches of the kernel's memory, each whole: the segments of its image, or memory that has been read
 * @throws LinuxError where no stretch has the tables
 */
export function readKallsyms(memory: readonly Memory[]): KernelSymbol[] {
  for (const stretch of memory) {
    const view = new MemoryView(stretch);
    for (const tokens of findTokens(view)) {
      const names = findNames(view, tokens);
      if (names === undefined) continue;
      const addresses = addressTable(view, { ...names, tablesEnd: tokens.end });
      const symbols = addresses && decode(view, names, tokens.tokens, addresses);
      if (symbols !== undefined) return symbols;
    }
  }
  throw new LinuxError(
    'expected the names of a Linux kernel (kallsyms) in its memory, found none that are whole: ' +
      'it is damaged or was built without CONFIG_KALLSYMS',
  );
}

/** Token tables whose index fits. */
function* findTokens(view: MemoryView): Generator<Tokens> {
  const { buffer } = view;
  for (let digits = buffer.indexOf(DIGITS); digits >= 0; digits = buffer.indexOf(DIGITS, digits + 1)) {
    let end = digits;
    for (let code = FIRST_DIGIT; code < CODES && end > 0; code++) end = buffer.indexOf(0, end) + 1;
    if (end === 0) return;
    for (const alignment of [8, 4] as const) {
      const found = tokensBefore(view, digits, end, alignment);
      if (found === undefined) continue;
      yield found;
      break;
    }
  }
}

/** The tokens that end at `end`, if the index behind them fits. @param digits where the token of the digit 0 is */
function tokensBefore(
  view: MemoryView,
  digits: number,
  end: number,
  alignment: Alignment,
): Tokens | undefined {
  const index = view.alignUp(end, alignment);
  if (index + 2 * CODES > view.length) return undefined;
  const at = digits - view.u16(index + 2 * FIRST_DIGIT);
  if (at < 0) return undefined;
  const tokens: Uint8Array[] = [];
  let next = at;
  for (let code = 0; code < CODES; code++) {
    if (next >= end || view.u16(index + 2 * code) !== next - at) return undefined;
    const nul = view.buffer.indexOf(0, next);
    const token = view.buffer.subarray(next, nul);
    if (token.length > MAX_NAME || !token.every(isPrintable)) return undefined;
    tokens.push(token);
    next = nul + 1;
  }
  return next === end ? { tokens, at, end: index + 2 * CODES } : undefined;
}

/** How the tables between the count and the tokens were laid out over the releases. */
interface Layout {
  readonly alignment: Alignment;
  /** Bytes of a marker. */
  readonly marker: 4 | 8;
  /** Bytes of a sequence number between markers and tokens; 0 where those lie elsewhere or are not there. */
  readonly sequence: 0 | 3;
}

const LAYOUTS: readonly Layout[] = [
  { alignment: 4, marker: 4, sequence: 0 }, // since 7.0
  { alignment: 8, marker: 4, sequence: 0 }, // 5.0 to 6.1, and since 6.4
  { alignment: 8, marker: 4, sequence: 3 }, // 6.2, 6.3 and later patch levels of 6.1
  { alignment: 8, marker: 8, sequence: 0 }, // up to 4.20
];

/** Every word before the tokens is taken for the count, from the last one on, until one is found with which all the rest fits. */
function findNames(view: MemoryView, { at }: Tokens): Names | undefined {
  let left = MAX_WALKED;
  for (let countAt = view.alignDown(at, 4) - 4; countAt >= 0 && left > 0; countAt -= 4) {
    const count = view.u32(countAt);
    if (count < MIN_COUNT || count > MAX_COUNT) continue;
    for (const layout of LAYOUTS) {
      const namesAt = countAt + layout.alignment;
      const markersAt = markersBefore(at, count, layout);
      if (markersAt < namesAt + 2 * count || !view.isAligned(countAt, layout.alignment)) continue;
      const walked = walkNames(view, { count, countAt, namesAt }, markersAt, layout);
      if (walked === count) return { count, countAt, namesAt };
      left -= walked;
    }
  }
  return undefined;
}

const markersBefore = (tokensAt: number, count: number, { alignment, marker, sequence }: Layout): number =>
  tokensAt - alignUp(sequence * count, alignment) - alignUp(marker * Math.ceil(count / GROUP), alignment);

/** @returns how many names agree with the markers; all of them where they also end at the markers. */
function walkNames(
  view: MemoryView,
  { count, namesAt }: Names,
  markersAt: number,
  { alignment, marker }: Layout,
): number {
  let at = namesAt;
  for (let index = 0; index < count; index++) {
    if (index % GROUP === 0 && view.u32(markersAt + marker * (index / GROUP)) !== at - namesAt) return index;
    const length = view.nameLength(at);
    if (length === 0) return index;
    at += length < 0x80 ? 1 + length : 2 + length;
    if (at > markersAt) return index;
  }
  return view.alignUp(at, alignment) === markersAt ? count : count - 1;
}

/** @returns undefined where a name is too short or too long to be one */
function decode(
  view: MemoryView,
  { namesAt }: Names,
  tokens: readonly Uint8Array[],
  addresses: readonly VirtAddr[],
): KernelSymbol[] | undefined {
  const text = Buffer.alloc(2 * MAX_NAME);
  const symbols: KernelSymbol[] = [];
  let at = namesAt;
  for (const address of addresses) {
    const length = view.nameLength(at);
    at += length < 0x80 ? 1 : 2;
    let size = 0;
    for (const end = at + length; at < end && size <= MAX_NAME; at++)
      for (const byte of tokens[view.buffer[at]!]!) text[size++] = byte;
    if (size < 2 || size > MAX_NAME) return undefined;
    symbols.push({ type: String.fromCharCode(text[0]!), name: text.toString('latin1', 1, size), address });
  }
  return symbols;
}
