import { ATTR_FLAG, CONTEXT, MISC, RECORD } from './perf-abi.js';
import { type PerfLayout, type PerfSample, perfDecoder, sampleIdSize } from './perf-record.js';
import type { RawRecord } from './raw-record.js';

export interface Recording {
  readonly layout: PerfLayout;
  /** What took the samples: the clock, or the counter of instructions. */
  readonly source: 'cpu-clock' | 'instructions';
  /** Nanoseconds or instructions between two samples. */
  readonly period: bigint;
  /** As they were read, in any order: the reader sorts by time. */
  readonly records: Iterable<RawRecord>;
  /** Where the kernel's code lies, so that `perf script -k kernel.elf` can name its frames. */
  readonly kernel?: { readonly start: bigint; readonly end: bigint };
  /**
   * The deferred user stack of a sample. Where it is given, samples carry their user stacks as they do without
   * deferring, and deferred records are left out, so that every perf can read the file. Otherwise the records go in as they
   * are: perf 7.x stitches them, older ones stop at the first.
   */
  readonly userStack?: (sample: PerfSample) => readonly bigint[] | undefined;
}

const HEADER_SIZE = 0x68;
const ATTR_SIZE = 128; // PERF_ATTR_SIZE_VER7
/** type and config of perf_event_attr. */
const SOURCES = { 'cpu-clock': [1, 0], instructions: [0, 1] } as const;

/**
 * A perf.data file with one event, for the perf of other machines: `perf script -i FILE`, with `--symfs` where the
 * user images lie elsewhere.
 */
export function writePerfData(recording: Recording): Uint8Array {
  const { kernel, layout, userStack } = recording;
  const plain = [...recording.records];
  const records = (userStack === undefined ? plain : withStacks(plain, layout, userStack)).map(encode);
  if (kernel !== undefined) records.unshift(kernelMap(kernel, layout));
  const data = Buffer.concat(records);
  const attr = encodeAttr(recording);
  const dataAt = HEADER_SIZE + attr.length;
  const header = Buffer.alloc(HEADER_SIZE);
  header.write('PERFILE2');
  const words = [HEADER_SIZE, attr.length, HEADER_SIZE, attr.length, dataAt, data.length];
  for (const [index, word] of words.entries()) header.writeBigUInt64LE(BigInt(word), 8 + 8 * index);
  return Buffer.concat([header, attr, data]);
}

/** perf_event_attr, and after it the empty section of its ids. */
function encodeAttr({ layout, source, period }: Recording): Buffer {
  const attr = Buffer.alloc(ATTR_SIZE + 16);
  const [type, config] = SOURCES[source];
  const flags =
    ATTR_FLAG.MMAP |
    ATTR_FLAG.COMM |
    ATTR_FLAG.TASK |
    ATTR_FLAG.EXCLUDE_GUEST |
    ATTR_FLAG.DEFER_CALLCHAIN |
    ATTR_FLAG.DEFER_OUTPUT |
    (layout.sampleIdAll ? ATTR_FLAG.SAMPLE_ID_ALL : 0n);
  attr.writeUInt32LE(type);
  attr.writeUInt32LE(ATTR_SIZE, 4);
  const words = [BigInt(config), period, layout.sampleType, 0n, flags];
  for (const [index, word] of words.entries()) attr.writeBigUInt64LE(word, 8 + 8 * index);
  return attr;
}

/** Puts the user stacks into the samples, whose last field the chain is, and leaves the deferred records out. */
function withStacks(
  records: readonly RawRecord[],
  layout: PerfLayout,
  userStack: NonNullable<Recording['userStack']>,
): RawRecord[] {
  const decode = perfDecoder(layout);
  return records.flatMap((raw) => {
    const record = decode(raw);
    if (record.type === 'deferred') return [];
    if (record.type !== 'sample' || record.callchain.at(-2) !== CONTEXT.USER_DEFERRED) return [raw];
    const ips = userStack(record);
    const user = ips === undefined ? [] : [CONTEXT.USER, ...ips];
    const chain = [...record.callchain.slice(0, -2), ...user];
    const words = Buffer.alloc(8 * (1 + chain.length));
    for (const [index, word] of [BigInt(chain.length), ...chain].entries())
      words.writeBigUInt64LE(word, 8 * index);
    const before = raw.body.subarray(0, raw.body.length - 8 * (1 + record.callchain.length));
    return [{ ...raw, body: Buffer.concat([before, words]) }];
  });
}

function encode({ type, misc, body }: Omit<RawRecord, 'at'>): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(type);
  header.writeUInt16LE(misc, 4);
  header.writeUInt16LE(8 + body.length, 6);
  return Buffer.concat([header, body]);
}

/** The mapping by which perf knows the kernel; a sample_id of zeros puts it before all else. */
function kernelMap({ start, end }: { start: bigint; end: bigint }, layout: PerfLayout): Buffer {
  const name = '[kernel.kallsyms]_text';
  const body = Buffer.alloc(32 + 8 * Math.ceil((name.length + 1) / 8) + sampleIdSize(layout));
  body.writeInt32LE(-1);
  for (const [index, word] of [start, end - start, start].entries())
    body.writeBigUInt64LE(word, 8 + 8 * index);
  body.write(name, 32);
  return encode({ type: RECORD.MMAP, misc: MISC.KERNEL, body });
}
