/**
 * How a command ends. Even statuses above 0 are unwindlab's own; odd ones are the guest's, as QEMU's debug-exit device makes
 * them: `(value << 1) | 1`.
 */
export const EXIT_STATUS = {
  ok: 0,
  /** A litmus file's `Result:` is not what was observed, or a run is not the one that it should repeat. */
  disagrees: 1,
  usage: 2,
  badImage: 4,
  noEngine: 6,
  tripleFault: 8,
  budget: 10,
  hang: 12,
  reset: 14,
  busError: 16,
  io: 18,
  internal: 70,
} as const;

/** A command line that asks for something impossible. The message is one sentence: what was expected, what was found. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
