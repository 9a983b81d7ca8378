/** The samples of a run as stacks: kernel frames over user frames, joined by cookie, each tracer with its own half. */

import { splitChain } from '../trace/callchain.js';
import type { FtraceRecord } from '../trace/ftrace-record.js';
import { Maps } from '../trace/maps.js';
import { CONTEXT } from '../trace/perf-abi.js';
import { byTime } from '../trace/perf-data.js';
import { writePerfData } from '../trace/perf-data-writer.js';
import { GUEST_LAYOUT, type PerfDeferred, type PerfRecord, type PerfSample } from '../trace/perf-record.js';
import type { RawRecord } from '../trace/raw-record.js';
import { type StackEvent, stacks } from '../trace/stacks.js';
import { syscallName } from '../trace/syscall-names.js';
import { stitchComplete } from '../unwind/stitch.js';
import type { RunningKernel } from './kernel.js';
import type { LoadedGuest } from './open.js';

/** All that the tracers wrote, in the order of commits. */
export interface Samples {
  readonly perf: PerfRecord[];
  readonly ftrace: FtraceRecord[];
  /** perf's records as they lay in the rings. */
  readonly raw: RawRecord[];
}

/** Starts to collect; the arrays grow while the machine runs. */
export function collectSamples(kernel: RunningKernel): Samples {
  const samples: Samples = { perf: [], ftrace: [], raw: [] };
  kernel.tap({
    perf: (record, raw) => {
      samples.perf.push(record);
      samples.raw.push(raw);
    },
    ftrace: (record) => samples.ftrace.push(record),
  });
  return samples;
}

export interface StackOptions {
  /** Join the halves by task and cookie; otherwise they stay apart, as `perf script --no-merge-callchains` shows them. */
  readonly merge: boolean;
  /** How perf names the event that takes its samples. */
  readonly perfEvent: 'cpu-clock' | 'instructions';
}

/** The stacks of both tracers in the order of time. */
export function sampleStacks(
  { perf, ftrace }: Samples,
  guest: LoadedGuest,
  options: StackOptions,
): StackEvent[] {
  const names = new Map<PerfSample, string>();
  const sideBand = perf.filter(({ type }) => type === 'comm' || type === 'mmap' || type === 'fork');
  const asPerf = ftrace.map((record) => perfLike(record, names));
  const events = [perf, [...sideBand, ...asPerf]].flatMap((records) => [
    ...stacks(byTime(records), {
      maps: new Maps({ kernel: guest.machine.symbols, symbolsOf: (image) => guest.program(image)?.symbols }),
      eventName: (sample) => names.get(sample) ?? options.perfEvent,
      ...(options.merge && { stitcher: stitchComplete() }),
    }),
  ]);
  return byTime(events);
}

/** An ftrace record in the shape of perf's, so that one stitcher serves both; only a probe has a kernel half: its place. */
function perfLike(record: FtraceRecord, names: Map<PerfSample, string>): PerfSample | PerfDeferred {
  const { at, pid, tid, time, cookie } = record;
  if (record.type === 'user_unwind_stack')
    return { type: 'deferred', at, pid, tid, time, cookie, ips: record.ips };
  const probe = record.type === 'probe';
  const callchain = [
    ...(probe ? [CONTEXT.KERNEL, record.ip] : []),
    ...(cookie === 0n ? [] : [CONTEXT.USER_DEFERRED, cookie]),
  ];
  const sample: PerfSample = {
    type: 'sample',
    mode: probe ? 'kernel' : 'user',
    at,
    pid,
    tid,
    time,
    callchain,
  };
  names.set(sample, probe ? 'probe' : `syscalls:${record.type}_${syscallName(record.nr).name}`);
  return sample;
}

/**
 * perf's records as a perf.data file. Merged, samples carry their user stacks as they do without deferring, and every perf can
 * read them; otherwise the records go in as they are, which needs perf 7.
 */
export function perfDataOf(
  { perf, raw }: Samples,
  guest: LoadedGuest,
  { merge, perfEvent }: StackOptions,
): Uint8Array {
  const { symbols } = guest.machine;
  const period = perf.find((record) => record.type === 'sample')?.period ?? 0n;
  const kernel = { start: symbols.require('kernel_start'), end: symbols.require('text_end') };
  const key = (tid: number, cookie: bigint | undefined): string => `${tid} ${cookie}`;
  const deferred = perf.filter((record) => record.type === 'deferred');
  const stackOf = new Map(deferred.map(({ tid, cookie, ips }) => [key(tid, cookie), ips]));
  const userStack = ({ tid, callchain }: PerfSample) => stackOf.get(key(tid, splitChain(callchain).cookie));
  const recording = { layout: GUEST_LAYOUT, source: perfEvent, period, records: raw, kernel };
  return writePerfData(merge ? { ...recording, userStack } : recording);
}
