import { Cursor, TraceError } from './bytes.js';
import { ATTR_FLAG, RECORD_USER_TYPE_START } from './perf-abi.js';
import { type PerfLayout, type PerfRecord, perfDecoder } from './perf-record.js';
import { rawRecords } from './raw-record.js';

/** One event of a recording. */
export interface PerfEvent {
  readonly name: string;
  readonly type: number;
  readonly config: bigint;
  readonly layout: PerfLayout;
  readonly ids: readonly bigint[];
}

export interface PerfData {
  readonly events: readonly PerfEvent[];
  /** In the order of the file: one CPU's buffer after the other. {@link byTime} sorts. */
  readonly records: readonly PerfRecord[];
}

const MAGIC = 'PERFILE2';
const HEADER_SIZE = 0x68;
/** Numbers of feature sections (Linux: tools/perf/util/header.h). */
const FEATURE_EVENT_DESC = 12;
const FEATURE_BITS = 256;
const COMPRESSED = 81;

/**
 * Reads a perf.data file as `perf record` writes it (Linux: tools/perf/Documentation/perf.data-file-format.txt).
 * @throws {TraceError} where the file is not one, is cut off, was written to a pipe, is compressed, or where its events
 * have sample fields of different or unknown kinds
 */
export function readPerfData(file: Uint8Array): PerfData {
  const header = new Cursor(file, 'the perf.data header', 0);
  const magic = header.text(8);
  if (magic !== MAGIC)
    throw new TraceError(
      0,
      `expected a perf.data file that begins with ${MAGIC}, found ${JSON.stringify(magic)}`,
    );
  const headerSize = header.count();
  if (headerSize !== HEADER_SIZE)
    throw new TraceError(8, `expected a header of ${HEADER_SIZE} bytes, found ${headerSize} (a pipe has 16)`);
  const attrSize = header.count();
  const attrs = readSection(header);
  const data = readSection(header);
  header.skip(16); // event types, unused for long
  const features = header.words(FEATURE_BITS / 64);

  const names = readNames(file, features, data);
  const events = readAttrs(file, attrs, attrSize, names);
  return { events, records: readRecords(file, data, events) };
}

/** Records in the order of time; records of one time stay as they were. What says no time comes first. */
export function byTime<T extends { readonly time: bigint }>(records: readonly T[]): T[] {
  return [...records].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

interface Section {
  readonly offset: number;
  readonly size: number;
}
const readSection = (cursor: Cursor): Section => ({ offset: cursor.count(), size: cursor.count() });

function bytesOf(file: Uint8Array, { offset, size }: Section, what: string): Uint8Array {
  if (offset + size > file.length)
    throw new TraceError(
      offset,
      `expected ${size} bytes of ${what}, found ${Math.max(0, file.length - offset)}`,
    );
  return file.subarray(offset, offset + size);
}

/** Reads the part of perf_event_attr that matters here; `size` bytes are consumed. */
function readAttr(cursor: Cursor, size: number): Omit<PerfEvent, 'name' | 'ids'> {
  const type = cursor.u32();
  cursor.skip(4); // size of the attr
  const config = cursor.u64();
  cursor.skip(8); // period or frequency
  const sampleType = cursor.u64();
  cursor.skip(8); // read_format
  const flags = cursor.u64();
  cursor.skip(size - 48);
  return { type, config, layout: { sampleType, sampleIdAll: (flags & ATTR_FLAG.SAMPLE_ID_ALL) !== 0n } };
}

function readAttrs(
  file: Uint8Array,
  section: Section,
  entrySize: number,
  names: ReadonlyMap<bigint, string>,
): PerfEvent[] {
  if (entrySize < 64 || section.size === 0 || section.size % entrySize !== 0)
    throw new TraceError(
      section.offset,
      `expected events of ${entrySize} bytes, found ${section.size} bytes`,
    );
  const cursor = new Cursor(bytesOf(file, section, 'events'), 'events', section.offset);
  return Array.from({ length: section.size / entrySize }, () => {
    const attr = readAttr(cursor, entrySize - 16);
    const idSection = readSection(cursor);
    const idCursor = new Cursor(bytesOf(file, idSection, 'event ids'), 'event ids', idSection.offset);
    const ids = idCursor.words(Math.floor(idSection.size / 8));
    const name = names.get(ids[0] ?? -1n) ?? SOFTWARE_EVENTS.get(`${attr.type}:${attr.config}`);
    return { name: name ?? `event ${attr.type}:0x${attr.config.toString(16)}`, ...attr, ids };
  });
}

/** Event names where the file does not tell them: PERF_TYPE_SOFTWARE's clocks and PERF_TYPE_HARDWARE's instructions. */
const SOFTWARE_EVENTS: ReadonlyMap<string, string> = new Map([
  ['1:0', 'cpu-clock'],
  ['1:1', 'task-clock'],
  ['0:0', 'cycles'],
  ['0:1', 'instructions'],
]);

/** Names by event id, from the EVENT_DESC section. Sections of features follow the data, in the order of their bits. */
function readNames(
  file: Uint8Array,
  features: readonly bigint[],
  data: Section,
): ReadonlyMap<bigint, string> {
  const names = new Map<bigint, string>();
  const has = (bit: number) => ((features[bit >> 6]! >> BigInt(bit & 63)) & 1n) === 1n;
  if (!has(FEATURE_EVENT_DESC)) return names;
  const before = Array.from({ length: FEATURE_EVENT_DESC }, (_, bit) => has(bit)).filter(Boolean).length;
  const tableAt = data.offset + data.size + 16 * before;
  const table = new Cursor(bytesOf(file, { offset: tableAt, size: 16 }, 'features'), 'features', tableAt);
  const section = readSection(table);
  const cursor = new Cursor(bytesOf(file, section, 'EVENT_DESC'), 'EVENT_DESC', section.offset);
  const count = cursor.u32();
  const attrSize = cursor.u32();
  for (let event = 0; event < count; event++) {
    cursor.skip(attrSize);
    const idCount = cursor.u32();
    const name = cursor.text(cursor.u32());
    for (const id of cursor.words(idCount)) names.set(id, name);
  }
  return names;
}

function readRecords(file: Uint8Array, data: Section, events: readonly PerfEvent[]): PerfRecord[] {
  const { layout } = events[0]!;
  for (const event of events)
    if (event.layout.sampleType !== layout.sampleType || event.layout.sampleIdAll !== layout.sampleIdAll)
      throw new TraceError(data.offset, 'expected events with the same sample_type, found different ones');
  const decode = perfDecoder(layout);
  const records: PerfRecord[] = [];
  for (const raw of rawRecords(bytesOf(file, data, 'records'), data.offset)) {
    if (raw.type === COMPRESSED)
      throw new TraceError(raw.at, 'expected plain records, found compressed ones: record without -z');
    if (raw.type < RECORD_USER_TYPE_START) records.push(decode(raw));
  }
  return records;
}

/** The event that wrote a record: by its id where the layout has one, otherwise the first. */
export function eventOf(data: PerfData, record: { readonly id?: bigint }): PerfEvent {
  const { id } = record;
  const byId = id === undefined ? undefined : data.events.find(({ ids }) => ids.includes(id));
  return byId ?? data.events[0]!;
}
