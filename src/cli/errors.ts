/** A command line that asks for something impossible. The message is one sentence: what was expected, what was found. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
