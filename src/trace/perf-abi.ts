/** Numbers of perf's ABI (Linux: include/uapi/linux/perf_event.h). */

/** Bits of `perf_event_attr.sample_type`, in the order in which the fields stand in a sample where it matters. */
export const SAMPLE = {
  IP: 1n << 0n,
  TID: 1n << 1n,
  TIME: 1n << 2n,
  ADDR: 1n << 3n,
  READ: 1n << 4n,
  CALLCHAIN: 1n << 5n,
  ID: 1n << 6n,
  CPU: 1n << 7n,
  PERIOD: 1n << 8n,
  STREAM_ID: 1n << 9n,
  IDENTIFIER: 1n << 16n,
} as const;

export const RECORD = {
  MMAP: 1,
  LOST: 2,
  COMM: 3,
  EXIT: 4,
  FORK: 7,
  SAMPLE: 9,
  MMAP2: 10,
  CALLCHAIN_DEFERRED: 22,
} as const;

/** Records of this type and above are the tool's own notes in a file; they carry no sample_id. */
export const RECORD_USER_TYPE_START = 64;

export const MISC = {
  CPUMODE_MASK: 7,
  KERNEL: 1,
  USER: 2,
  /** Of COMM: the name comes from execve. Of MMAP: the mapping is not executable. */
  BIT_13: 1 << 13,
} as const;

const negative = (value: bigint): bigint => BigInt.asUintN(64, -value);

/** Entries of a call chain that are no addresses: what follows is of this kind. */
export const CONTEXT = {
  KERNEL: negative(128n),
  USER: negative(512n),
  /** The last entry but one; the last one is the cookie of the user stack. */
  USER_DEFERRED: negative(640n),
} as const;

/** Bits of the attr's flag word. */
export const ATTR_FLAG = {
  MMAP: 1n << 8n,
  COMM: 1n << 9n,
  TASK: 1n << 13n,
  SAMPLE_ID_ALL: 1n << 18n,
  /** perf record always sets it; perf script spells the event's name differently without it. */
  EXCLUDE_GUEST: 1n << 20n,
  DEFER_CALLCHAIN: 1n << 38n,
  DEFER_OUTPUT: 1n << 39n,
} as const;
