import type { Location } from './maps.js';
import type { SampleStack, StackEvent } from './stacks.js';

/**
 * Samples as collapsed stacks, which flamegraph.pl, speedscope and others read: one line for each different stack, outermost
 * frame first, semicolons between, and the number of samples. The first frame is the task's name; kernel frames end with
 * `_[k]`. `[no user stack]` stands where one was promised and never came. Lines are in the order of the alphabet.
 */
export function collapsed(events: Iterable<StackEvent>): string {
  const counts = new Map<string, number>();
  for (const event of events) {
    if (event.kind !== 'sample') continue;
    const stack = stackOf(event).join(';');
    counts.set(stack, (counts.get(stack) ?? 0) + 1);
  }
  return [...counts.keys()]
    .sort()
    .map((stack) => `${stack} ${counts.get(stack)}\n`)
    .join('');
}

function stackOf({ comm, kernel, user, cookie, userHalf }: SampleStack): string[] {
  const missing = cookie !== undefined && userHalf !== 'stitched' && userHalf !== 'late';
  return [
    comm,
    ...(missing ? ['[no user stack]'] : user.map(frameName).reverse()),
    ...kernel.map((frame) => `${frameName(frame)}_[k]`).reverse(),
  ].map((name) => name.replaceAll(';', ':'));
}

/** A frame without a symbol is named by its image. */
const frameName = ({ symbol, image }: Location): string => symbol ?? image ?? '[unknown]';
