import {
  ACCESS,
  ARCH_PRCTL,
  CLOCKS,
  CLONE,
  CLONE_CHILD_TID,
  CLONE_PARENT_SETTID,
  CLONE_SETTLS,
  FUTEX_OPS,
  flagNames,
  flagsText,
  MAP,
  MAP_TYPES,
  numberText,
  O_CREAT,
  OPEN,
  OPEN_MODES,
  PROT,
  SEEK,
  signalName,
  TIMER,
  WAIT,
} from './flag-names.js';

/** A call as the printing of an argument sees it. */
export interface CallView {
  readonly args: readonly bigint[];
  /** There once the call has returned; negative for an error. */
  readonly result?: bigint;
  /** Memory of the calling process; undefined where a byte of the range cannot be read. */
  read(address: bigint, length: number): Uint8Array | undefined;
}

/** How one kind of argument is printed. */
export interface Kind {
  /** What the kernel writes: it can be printed only when the call has returned. */
  readonly late?: boolean;
  /** The text, or undefined where this call does not take the argument. `index` is its place among the arguments. */
  readonly text: (value: bigint, call: CallView, index: number) => string | undefined;
}

/** Bytes of a buffer that are shown, as strace's -s is by default. */
const SHOWN = 32;
const PATH_MAX = 4096;
const EINTR = 4n;

const s32 = (value: bigint): bigint => BigInt.asIntN(32, value);
const u32 = (value: bigint): bigint => BigInt.asUintN(32, value);
const mode = (value: bigint): string => `0${u32(value).toString(8)}`.padStart(3, '0');
const hex = (value: bigint): string => (value === 0n ? '0' : `0x${value.toString(16)}`);
export const address = (value: bigint): string => (value === 0n ? 'NULL' : `0x${value.toString(16)}`);
const failed = ({ result }: CallView): boolean => result === undefined || result < 0n;

const ESCAPES: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};

/** A C string literal: octal where there is no letter, with three digits before a digit (strace: string_quote()). */
export function quote(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte, index) => {
    const letter = ESCAPES[byte];
    if (letter !== undefined) return letter;
    if (byte >= 32 && byte < 127) return String.fromCharCode(byte);
    const next = bytes[index + 1] ?? 0;
    const digits = next >= 48 && next <= 57 ? 3 : 1;
    return `\\${byte.toString(8).padStart(digits, '0')}`;
  });
  return `"${text.join('')}"`;
}

/** `length` bytes at `at`, the first 32 of them in full. */
function buffer(at: bigint, length: bigint, call: CallView): string {
  const shown = length > BigInt(SHOWN) ? SHOWN : Number(length);
  const bytes = at === 0n ? undefined : call.read(at, shown);
  if (bytes === undefined) return address(at);
  return length > BigInt(SHOWN) ? `${quote(bytes)}...` : quote(bytes);
}

/** A NUL-terminated text, read in pieces that do not cross a page so that its end may be the end of memory. */
function pathText(at: bigint, call: CallView): string {
  const bytes: number[] = [];
  while (at !== 0n && bytes.length < PATH_MAX) {
    const from = at + BigInt(bytes.length);
    const piece = call.read(from, Math.min(4096 - Number(from & 4095n), PATH_MAX - bytes.length));
    if (piece === undefined) return address(at);
    const end = piece.indexOf(0);
    bytes.push(...(end < 0 ? piece : piece.subarray(0, end)));
    if (end >= 0) return quote(Uint8Array.from(bytes));
  }
  return at === 0n ? 'NULL' : `${quote(Uint8Array.from(bytes))}...`;
}

/** A structure at `at`, printed by `print`; its address where it cannot be read. */
function struct(at: bigint, size: number, call: CallView, print: (view: DataView) => string): string {
  const bytes = at === 0n ? undefined : call.read(at, size);
  return bytes === undefined ? address(at) : print(new DataView(bytes.buffer, bytes.byteOffset, size));
}

const timespec = (at: bigint, call: CallView): string =>
  struct(at, 16, call, (view) => {
    const [seconds, nanos] = [view.getBigInt64(0, true), view.getBigInt64(8, true)];
    return `{tv_sec=${seconds}, tv_nsec=${nanos}}`;
  });

/** Elements of an array that are shown (strace: abbreviated printing). */
const SHOWN_ELEMENTS = 32n;

/** Buffers of writev, of which there are as many as the next argument says. */
function buffers(at: bigint, call: CallView, index: number): string {
  const count = call.args[index + 1]!;
  if (at === 0n) return 'NULL';
  const shown: string[] = [];
  for (let element = 0n; element < count; element++) {
    if (element === SHOWN_ELEMENTS) return `[${shown.join(', ')}, ...]`;
    const from = at + 16n * element;
    const bytes = call.read(from, 16);
    if (bytes === undefined)
      return element === 0n ? address(at) : `[${shown.join(', ')}, ... /* ${address(from)} */]`;
    const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
    const length = view.getBigUint64(8, true);
    shown.push(`{iov_base=${buffer(view.getBigUint64(0, true), length, call)}, iov_len=${length}}`);
  }
  return `[${shown.join(', ')}]`;
}

/** More CPUs than any kernel knows. */
const MAX_CPU_BYTES = 1024n;

/** A set of CPUs of `length` bytes: the numbers of its bits. */
function cpuSet(at: bigint, length: bigint, call: CallView): string {
  const bytes = at === 0n || length > MAX_CPU_BYTES ? undefined : call.read(at, Number(length));
  if (bytes === undefined) return address(at);
  const cpus = [...bytes].flatMap((byte, index) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * index + bit),
  );
  return `[${cpus.join(' ')}]`;
}

const unsignedOut = (at: bigint, call: CallView): string =>
  failed(call) ? address(at) : struct(at, 4, call, (view) => `[${view.getUint32(0, true)}]`);

const wordOut = (at: bigint, call: CallView): string =>
  failed(call) ? address(at) : struct(at, 8, call, (view) => `[${address(view.getBigUint64(0, true))}]`);

/** What wait4 tells of a child, in the words of the macros that take it apart. */
function waitStatus(status: number): string {
  const signal = status & 0x7f;
  if (signal === 0) return `[{WIFEXITED(s) && WEXITSTATUS(s) == ${(status >> 8) & 0xff}}]`;
  if (signal === 0x7f) return `[{WIFSTOPPED(s) && WSTOPSIG(s) == ${signalName((status >> 8) & 0xff)}}]`;
  const core = (status & 0x80) !== 0 ? ' && WCOREDUMP(s)' : '';
  return `[{WIFSIGNALED(s) && WTERMSIG(s) == ${signalName(signal)}${core}}]`;
}

/** mmap's low four bits are the type of the mapping. */
function mapFlags(value: bigint): string {
  const type = MAP_TYPES.get(Number(value & 15n));
  return type === undefined
    ? flagsText(value, MAP, 'MAP_???')
    : [type, ...flagNames(value & ~15n, MAP)].join('|');
}

/** open's low two bits are the access mode. */
const openFlags = (value: bigint): string =>
  [OPEN_MODES.get(Number(value & 3n))!, ...flagNames(u32(value) & ~3n, OPEN)].join('|');

/** clone's low byte is the signal that tells the parent of the child's end. */
function cloneFlags(value: bigint): string {
  const signal = Number(value & 0xffn);
  const names = flagNames(u32(value) & ~0xffn, CLONE);
  return [...names, ...(signal === 0 ? [] : [signalName(signal)])].join('|') || '0';
}

const ARCH_GET: ReadonlySet<bigint> = new Set([0x1003n, 0x1004n]);

const PRIVATE = 128n;
const CLOCK_REALTIME = 256n;

function futexOp(value: bigint): string {
  const op = u32(value);
  const name = FUTEX_OPS.get(Number(op & ~(PRIVATE | CLOCK_REALTIME)));
  if (name === undefined) return `0x${op.toString(16)} /* FUTEX_??? */`;
  return `${name}${op & PRIVATE ? '_PRIVATE' : ''}${op & CLOCK_REALTIME ? '|FUTEX_CLOCK_REALTIME' : ''}`;
}

type FutexArgument = 'value' | 'timeout' | 'address' | 'bitset' | 'hex';
/** Which arguments after the operation each futex operation takes, by place; the default is all, the second a timeout. */
const FUTEX_ARGUMENTS: Readonly<Record<number, readonly (FutexArgument | undefined)[]>> = {
  0: ['value', 'timeout'],
  1: ['value'],
  2: ['value'],
  3: ['value', 'value', 'address'],
  4: ['value', 'value', 'address', 'value'],
  6: [undefined, 'timeout'],
  7: [],
  8: [],
  9: ['value', 'timeout', undefined, 'bitset'],
  10: ['value', undefined, undefined, 'bitset'],
  11: ['value', 'timeout', 'address'],
  12: ['value', 'value', 'address', 'value'],
  13: [undefined, 'timeout'],
};
const FUTEX_DEFAULT: readonly FutexArgument[] = ['value', 'timeout', 'address', 'hex'];
const FUTEX_PRINTERS: Readonly<Record<FutexArgument, (value: bigint, call: CallView) => string>> = {
  value: (value) => String(u32(value)),
  timeout: timespec,
  address,
  hex: (value) => hex(u32(value)),
  bitset: (value) => (u32(value) === 0xffff_ffffn ? 'FUTEX_BITSET_MATCH_ANY' : hex(u32(value))),
};

function futexArgument(value: bigint, call: CallView, index: number): string | undefined {
  const op = Number(u32(call.args[1]!) & ~(PRIVATE | CLOCK_REALTIME));
  const kind = (FUTEX_ARGUMENTS[op] ?? FUTEX_DEFAULT)[index - 2];
  return kind && FUTEX_PRINTERS[kind](value, call);
}

/** An argument of clone that is taken only with one of `flags`, and printed with its name. */
const cloneOption = (
  flags: bigint,
  name: string,
  print: (value: bigint, call: CallView) => string,
): Kind => ({
  late: true,
  text: (value, call) => ((call.args[0]! & flags) === 0n ? undefined : `${name}=${print(value, call)}`),
});

/** Every kind of argument that signatures name. */
export const KINDS = {
  int: { text: (value) => String(s32(value)) },
  uint: { text: (value) => String(u32(value)) },
  long: { text: (value) => String(BigInt.asIntN(64, value)) },
  size: { text: (value) => String(value) },
  hex: { text: hex },
  address: { text: address },
  mode: { text: mode },
  dirfd: { text: (value) => (s32(value) === -100n ? 'AT_FDCWD' : String(s32(value))) },
  path: { text: pathText },
  /** Bytes that the call reads; the next argument is their number. */
  in: { text: (value, call, index) => buffer(value, call.args[index + 1]!, call) },
  /** Bytes that the call has written; the result is their number. */
  out: {
    late: true,
    text: (value, call) => (failed(call) ? address(value) : buffer(value, call.result!, call)),
  },
  buffers: { text: buffers },
  cpus: { text: (value, call, index) => cpuSet(value, call.args[index - 1]!, call) },
  /** The CPUs that the call has written; the result is the number of bytes. */
  'cpus-out': {
    late: true,
    text: (value, call) => (failed(call) ? address(value) : cpuSet(value, call.result!, call)),
  },
  'uint-out': { late: true, text: unsignedOut },
  prot: { text: (value) => flagsText(value, PROT, 'PROT_???', 'PROT_NONE') },
  map: { text: mapFlags },
  open: { text: openFlags },
  'open-mode': {
    text: (value, call, index) => ((call.args[index - 1]! & O_CREAT) === 0n ? undefined : mode(value)),
  },
  access: { text: (value) => flagsText(u32(value), ACCESS, '?_OK', 'F_OK') },
  whence: { text: (value) => numberText(u32(value), SEEK, 'SEEK_???') },
  signal: { text: (value) => signalName(Number(s32(value))) },
  clock: { text: (value) => numberText(u32(value), CLOCKS, 'CLOCK_???') },
  timer: { text: (value) => flagsText(u32(value), TIMER, 'TIMER_???') },
  'arch-prctl': { text: (value) => numberText(u32(value), ARCH_PRCTL, 'ARCH_???') },
  /** An address to set, or where to put the one that is asked for. */
  'arch-prctl-addr': {
    late: true,
    text: (value, call) => (ARCH_GET.has(call.args[0]!) ? wordOut(value, call) : hex(value)),
  },
  timespec: { text: timespec },
  'timespec-out': {
    late: true,
    text: (value, call) => (failed(call) ? address(value) : timespec(value, call)),
  },
  /** What is left of a sleep, told only when a signal ended it. */
  'timespec-rest': {
    late: true,
    text: (value, call) => (call.result === -EINTR ? timespec(value, call) : address(value)),
  },
  'fd-pair': {
    late: true,
    text: (value, call) =>
      failed(call)
        ? address(value)
        : struct(value, 8, call, (view) => `[${view.getInt32(0, true)}, ${view.getInt32(4, true)}]`),
  },
  'wait-status': {
    late: true,
    text: (value, call) =>
      (call.result ?? 0n) > 0n
        ? struct(value, 4, call, (view) => waitStatus(view.getInt32(0, true)))
        : address(value),
  },
  wait: { text: (value) => flagsText(u32(value), WAIT, 'W???') },
  'futex-op': { text: futexOp },
  futex: { text: futexArgument },
  clone: { text: (value) => `flags=${cloneFlags(value)}` },
  'child-stack': { text: (value) => `child_stack=${address(value)}` },
  'parent-tid': cloneOption(CLONE_PARENT_SETTID, 'parent_tid', (value, call) =>
    failed(call) ? address(value) : struct(value, 4, call, (view) => `[${view.getInt32(0, true)}]`),
  ),
  tls: cloneOption(CLONE_SETTLS, 'tls', address),
  'child-tid': cloneOption(CLONE_CHILD_TID, 'child_tidptr', address),
} satisfies Readonly<Record<string, Kind>>;
