/**
 * Joins samples with the user stacks that the kernel delivered later, by task and cookie.
 *
 * A cookie names one user stack: that of one task in one entry to the kernel. Samples taken in that entry carry the cookie; the record
 * that follows carries the cookie and the stack. Cookies count per CPU and a task keeps the one it was given when it
 * migrates, so the pair (tid, cookie) is the key.
 *
 * Two ways, one interface:
 * - {@link stitchComplete} is ours. A sample gets its stack wherever the record stands in the stream, before or after: a
 *   sample taken after the kernel's callback, and a record that another CPU's buffer delivered first, are stitched
 *   as well. What has no partner is told by name. Memory grows with the number of records, since a late sample may
 *   always come.
 * - {@link stitchAsPerf} does what perf 7.2 does (tools/perf/util/session.c, evlist__deliver_deferred_callchain()): only
 *   forward. It is there to compare with the tool that everyone has.
 *
 * Both are streams: feed them in the order of time, and print what they return in the order in which it comes.
 */

/** What stitching needs to know of a sample. Without a cookie the sample is complete as it is. */
export interface StitchableSample {
  readonly tid: number;
  readonly cookie?: bigint | undefined;
}

/** What stitching needs to know of a deferred record. */
export interface StitchableRecord {
  readonly tid: number;
  readonly cookie: bigint;
  /** The user stack, innermost first. May be empty. */
  readonly ips: readonly bigint[];
}

/** What became of one sample or record. */
export type Stitched<S, R> =
  /** The sample asked for no deferred stack, or was refused one. */
  | { readonly kind: 'plain'; readonly sample: S }
  /** `late`: the sample came after its record. */
  | { readonly kind: 'stitched'; readonly sample: S; readonly record: R; readonly late: boolean }
  /**
   * The sample is left without its stack. `passed-over`: a record of its task with another cookie came, and perf waits
   * no longer; `no-record`: the stream ended.
   */
  | { readonly kind: 'unstitched'; readonly sample: S; readonly why: 'passed-over' | 'no-record' }
  /** The stream ended and no sample carries the record's cookie. */
  | { readonly kind: 'orphan'; readonly record: R }
  /** A second record for one task and cookie; `same` tells whether the stacks are equal. The first one counts. */
  | { readonly kind: 'duplicate'; readonly record: R; readonly same: boolean };

/** Each method returns what can be told now; each sample comes out exactly once. */
export interface Stitcher<S, R> {
  sample(sample: S): Stitched<S, R>[];
  record(record: R): Stitched<S, R>[];
  /** The stream has ended. */
  end(): Stitched<S, R>[];
}

const keyOf = (of: { tid: number; cookie?: bigint | undefined }): string => `${of.tid} ${of.cookie}`;

/**
 * Stitches in both directions. The set of outcomes does not depend on the order of the stream, but for `late` and for which of
 * two duplicates is the first.
 */
export function stitchComplete<S extends StitchableSample, R extends StitchableRecord>(): Stitcher<S, R> {
  const waiting = new Map<string, S[]>();
  const records = new Map<string, { record: R; used: boolean }>();
  return {
    sample(sample) {
      if (sample.cookie === undefined) return [{ kind: 'plain', sample }];
      const key = keyOf(sample);
      const known = records.get(key);
      if (known !== undefined) {
        known.used = true;
        return [{ kind: 'stitched', sample, record: known.record, late: true }];
      }
      const others = waiting.get(key);
      if (others === undefined) waiting.set(key, [sample]);
      else others.push(sample);
      return [];
    },
    record(record) {
      const key = keyOf(record);
      const known = records.get(key);
      if (known !== undefined)
        return [{ kind: 'duplicate', record, same: equalStacks(known.record.ips, record.ips) }];
      const samples = waiting.get(key) ?? [];
      waiting.delete(key);
      records.set(key, { record, used: samples.length > 0 });
      return samples.map((sample) => ({ kind: 'stitched', sample, record, late: false }));
    },
    end() {
      const lonely = [...waiting.values()].flat();
      const orphans = [...records.values()].filter(({ used }) => !used);
      waiting.clear();
      records.clear();
      return [
        ...lonely.map((sample) => ({ kind: 'unstitched', sample, why: 'no-record' }) as const),
        ...orphans.map(({ record }) => ({ kind: 'orphan', record }) as const),
      ];
    },
  };
}

/**
 * Stitches as `perf script` and `perf report` of 7.2 do. A sample with a cookie is held back. A record takes all held samples of its
 * task out: those with its cookie are stitched, the others are given up. At the end the rest is given up as well. So a
 * sample that comes after its record is never stitched, and samples leave in the order of records, not of time. Records that
 * no sample waits for, and duplicates, leave no trace, as in perf.
 */
export function stitchAsPerf<S extends StitchableSample, R extends StitchableRecord>(): Stitcher<S, R> {
  let held: S[] = [];
  return {
    sample(sample) {
      if (sample.cookie === undefined) return [{ kind: 'plain', sample }];
      held.push(sample);
      return [];
    },
    record(record) {
      const taken = held.filter((sample) => sample.tid === record.tid);
      held = held.filter((sample) => sample.tid !== record.tid);
      return taken.map((sample) =>
        sample.cookie === record.cookie
          ? { kind: 'stitched', sample, record, late: false }
          : { kind: 'unstitched', sample, why: 'passed-over' },
      );
    },
    end() {
      const rest = held;
      held = [];
      return rest.map((sample) => ({ kind: 'unstitched', sample, why: 'no-record' }));
    },
  };
}

function equalStacks(a: readonly bigint[], b: readonly bigint[]): boolean {
  return a.length === b.length && a.every((ip, index) => ip === b[index]);
}
