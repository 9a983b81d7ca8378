/** Names of flags and numbers as strace spells them, and the three shapes in which it prints them. */

/** Bits to names, in the order in which they are printed. */
export type Flags = readonly (readonly [number, string])[];
/** Numbers to names. */
export type Numbers = ReadonlyMap<number, string>;

const bits = (prefix: string, first: number, names: string): Flags =>
  names.split(' ').map((name, index) => [first * 2 ** index, `${prefix}${name}`]);
const numbers = (prefix: string, names: string): Numbers =>
  new Map(names.split(' ').map((name, index) => [index, `${prefix}${name}`]));

export const PROT = bits('PROT_', 1, 'READ WRITE EXEC SEM');
/** The low bits of mmap's flags, which are a number. */
export const MAP_TYPES = numbers('MAP_', 'FILE SHARED PRIVATE SHARED_VALIDATE');
export const MAP: Flags = [
  ...bits('MAP_', 0x10, 'FIXED ANONYMOUS 32BIT'),
  ...bits('MAP_', 0x4000, 'NORESERVE POPULATE NONBLOCK'),
  ...bits('MAP_', 0x100, 'GROWSDOWN'),
  ...bits('MAP_', 0x800, 'DENYWRITE EXECUTABLE LOCKED'),
  ...bits('MAP_', 0x20000, 'STACK HUGETLB SYNC FIXED_NOREPLACE'),
];
export const CLONE: Flags = [
  ...bits(
    'CLONE_',
    0x100,
    'VM FS FILES SIGHAND PIDFD PTRACE VFORK PARENT THREAD NEWNS SYSVSEM SETTLS PARENT_SETTID CHILD_CLEARTID',
  ),
  ...bits('CLONE_', 0x800000, 'UNTRACED CHILD_SETTID NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET IO'),
];
export const CLONE_SETTLS = 0x80000n;
export const CLONE_PARENT_SETTID = 0x100000n;
export const CLONE_CHILD_TID = 0x1200000n;

export const OPEN_MODES = numbers('O_', 'RDONLY WRONLY RDWR ACCMODE');
export const O_CREAT = 0x40n;
export const OPEN: Flags = [
  [0x40, 'O_CREAT'],
  [0x80, 'O_EXCL'],
  [0x100, 'O_NOCTTY'],
  [0x200, 'O_TRUNC'],
  [0x400, 'O_APPEND'],
  [0x800, 'O_NONBLOCK'],
  [0x101000, 'O_SYNC'],
  [0x1000, 'O_DSYNC'],
  [0x4000, 'O_DIRECT'],
  [0x8000, 'O_LARGEFILE'],
  [0x20000, 'O_NOFOLLOW'],
  [0x40000, 'O_NOATIME'],
  [0x80000, 'O_CLOEXEC'],
  [0x200000, 'O_PATH'],
  [0x410000, 'O_TMPFILE'],
  [0x10000, 'O_DIRECTORY'],
];
export const ACCESS = bits('', 1, 'X_OK W_OK R_OK').toReversed();
export const WAIT: Flags = [
  ...bits('', 1, 'WNOHANG WSTOPPED WEXITED WCONTINUED'),
  [0x0100_0000, 'WNOWAIT'],
  ...bits('__', 0x2000_0000, 'WNOTHREAD WALL WCLONE'),
];
export const SEEK = numbers('SEEK_', 'SET CUR END DATA HOLE');
export const CLOCKS = numbers(
  'CLOCK_',
  'REALTIME MONOTONIC PROCESS_CPUTIME_ID THREAD_CPUTIME_ID MONOTONIC_RAW REALTIME_COARSE MONOTONIC_COARSE BOOTTIME REALTIME_ALARM BOOTTIME_ALARM SGI_CYCLE TAI',
);
export const TIMER: Flags = [[1, 'TIMER_ABSTIME']];
export const FUTEX_OPS = numbers(
  'FUTEX_',
  'WAIT WAKE FD REQUEUE CMP_REQUEUE WAKE_OP LOCK_PI UNLOCK_PI TRYLOCK_PI WAIT_BITSET WAKE_BITSET WAIT_REQUEUE_PI CMP_REQUEUE_PI LOCK_PI2',
);
export const ARCH_PRCTL: Numbers = new Map([
  [0x1001, 'ARCH_SET_GS'],
  [0x1002, 'ARCH_SET_FS'],
  [0x1003, 'ARCH_GET_FS'],
  [0x1004, 'ARCH_GET_GS'],
]);

const SIGNALS = numbers(
  'SIG',
  'NONE HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN',
);

/** `SIGKILL`, `SIGRT_5`; the number itself where there is no such signal, and for 0. */
export function signalName(signal: number): string {
  if (signal > 32 && signal <= 64) return `SIGRT_${signal - 32}`;
  return (signal > 0 && SIGNALS.get(signal)) || String(signal);
}

/** The names of the set bits; what has none comes last, as one number. */
export function flagNames(value: bigint, names: Flags): string[] {
  const found: string[] = [];
  let rest = value;
  for (const [bits, name] of names) {
    const mask = BigInt(bits);
    if ((rest & mask) !== mask) continue;
    found.push(name);
    rest &= ~mask;
  }
  return rest === 0n ? found : [...found, `0x${rest.toString(16)}`];
}

/** `A|B|0x40`; `zero` where no bit is set; `0x40` and `unknown` in a comment where no bit has a name. */
export function flagsText(value: bigint, names: Flags, unknown: string, zero = '0'): string {
  const found = flagNames(value, names);
  if (found.length === 0) return zero;
  return found[0]!.startsWith('0x') ? `${found[0]} /* ${unknown} */` : found.join('|');
}

/** The name of a number; the number and `unknown` in a comment where it has none. */
export function numberText(value: bigint, names: Numbers, unknown: string): string {
  return names.get(Number(value)) ?? `0x${value.toString(16)} /* ${unknown} */`;
}
