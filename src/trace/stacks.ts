import type { Stitched, Stitcher } from '../unwind/stitch.js';
import { splitChain } from './callchain.js';
import type { Location, Maps } from './maps.js';
import type { CpuMode, PerfDeferred, PerfRecord, PerfSample } from './perf-record.js';

/** A sample, its chain taken apart. */
export interface ChainSample {
  readonly tid: number;
  readonly cookie: bigint | undefined;
  readonly sample: PerfSample;
  readonly kernel: readonly bigint[];
  /** The user part that the sample itself carries. */
  readonly user: readonly bigint[];
}

/** How samples and deferred records are joined; src/unwind/stitch.ts has two ways. */
export type SampleStitcher = Stitcher<ChainSample, PerfDeferred>;

/** What names the task and the moment, in all stack events. */
interface Moment {
  readonly comm: string;
  readonly pid: number;
  readonly tid: number;
  /** Nanoseconds. */
  readonly time: bigint;
  readonly cpu?: number;
}

/**
 * What became of the user half of a sample:
 * - `none`: the sample has none and none was promised; - `immediate`: it came with the sample; - `stitched`: it came in a
 *   deferred record; - `late`: likewise, and the sample came after it;
 * - `passed-over`, `no-record`: it was promised, and stitching gave up (see `Stitched`); - `apart`: nothing was stitched.
 */
export type UserHalf = 'none' | 'immediate' | 'stitched' | 'late' | 'passed-over' | 'no-record' | 'apart';

export interface SampleStack extends Moment {
  readonly kind: 'sample';
  readonly event: string;
  readonly mode: CpuMode;
  readonly ip?: bigint;
  readonly period?: bigint;
  readonly cookie?: bigint;
  readonly userHalf: UserHalf;
  /** Innermost first. */
  readonly kernel: readonly Location[];
  readonly user: readonly Location[];
}
/** A deferred record on its own: all of them where nothing is stitched, otherwise those without a sample of their own. */
export interface DeferredStack extends Moment {
  readonly kind: 'deferred';
  readonly cookie: bigint;
  readonly why: 'apart' | 'orphan' | 'duplicate';
  readonly user: readonly Location[];
}
export interface LostNote extends Moment {
  readonly kind: 'lost';
  /** How many records did not fit into the buffer. */
  readonly lost: bigint;
}
export type StackEvent = SampleStack | DeferredStack | LostNote;

export interface StacksOptions {
  /** Without one, samples and records stay apart, each in its place. */
  readonly stitcher?: SampleStitcher;
  readonly maps: Maps;
  /** The name of the event that took a sample. */
  readonly eventName: (sample: PerfSample) => string;
}

/**
 * Turns records, in the order of time, into stacks with names. One pass; events come as soon as the stitcher lets them.
 * Names are looked up when an event leaves, so a stack that waited is named by the mappings of that later moment, as in perf.
 */
export function* stacks(records: Iterable<PerfRecord>, options: StacksOptions): Generator<StackEvent> {
  const { stitcher, maps, eventName } = options;
  const moment = ({ pid, tid, time, cpu }: PerfSample | PerfDeferred): Moment => ({
    comm: maps.comm(tid),
    pid,
    tid,
    time,
    ...(cpu !== undefined && { cpu }),
  });
  const userFrames = (pid: number, ips: readonly bigint[]) => ips.map((ip) => maps.locateUser(pid, ip));

  const sampleStack = (from: ChainSample, half?: UserHalf, record?: PerfDeferred): SampleStack => {
    const { sample, kernel, user, cookie } = from;
    const { ip, period, mode } = sample;
    return {
      kind: 'sample',
      ...moment(sample),
      event: eventName(sample),
      mode,
      ...(ip !== undefined && { ip }),
      ...(period !== undefined && { period }),
      ...(cookie !== undefined && { cookie }),
      userHalf: half ?? (user.length > 0 ? 'immediate' : 'none'),
      kernel: kernel.map((address) => maps.locateKernel(address)),
      user: userFrames(sample.pid, record?.ips ?? user),
    };
  };
  const deferredStack = (record: PerfDeferred, why: DeferredStack['why']): DeferredStack => ({
    kind: 'deferred',
    ...moment(record),
    cookie: record.cookie,
    why,
    user: userFrames(record.pid, record.ips),
  });
  const named = (outcome: Stitched<ChainSample, PerfDeferred>): StackEvent => {
    switch (outcome.kind) {
      case 'plain':
        return sampleStack(outcome.sample);
      case 'stitched':
        return sampleStack(outcome.sample, outcome.late ? 'late' : 'stitched', outcome.record);
      case 'unstitched':
        return sampleStack(outcome.sample, outcome.why);
      default:
        return deferredStack(outcome.record, outcome.kind);
    }
  };

  for (const record of records) {
    maps.apply(record);
    if (record.type === 'sample') {
      const { cookie, ...chain } = splitChain(record.callchain);
      const sample: ChainSample = { tid: record.tid, cookie, sample: record, ...chain };
      if (stitcher !== undefined) yield* stitcher.sample(sample).map(named);
      else yield sampleStack(sample, cookie === undefined ? undefined : 'apart');
    } else if (record.type === 'deferred') {
      if (stitcher !== undefined) yield* stitcher.record(record).map(named);
      else yield deferredStack(record, 'apart');
    } else if (record.type === 'lost') {
      const { pid, tid, time, cpu, lost } = record;
      yield { kind: 'lost', comm: maps.comm(tid), pid, tid, time, ...(cpu !== undefined && { cpu }), lost };
    }
  }
  if (stitcher !== undefined) yield* stitcher.end().map(named);
}
