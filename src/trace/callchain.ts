import { CONTEXT } from './perf-abi.js';

/** A recorded call chain, taken apart. Addresses are innermost first. */
export interface Chain {
  readonly kernel: readonly bigint[];
  /** The user part where the kernel walked it at once; a deferred one comes in a record of its own. */
  readonly user: readonly bigint[];
  /** Names the user stack that comes later. */
  readonly cookie?: bigint;
}

/**
 * Reads a chain by its context markers. The marker USER_DEFERRED and the cookie are the last two entries of a chain;
 * anywhere else the value is taken for an address, as is every other value that only looks like a marker: a garbage
 * return address must not hide the frames around it. Addresses before the first marker are the kernel's if they are in the
 * upper half.
 */
export function splitChain(callchain: readonly bigint[]): Chain {
  const kernel: bigint[] = [];
  const user: bigint[] = [];
  const deferred = callchain.length >= 2 && callchain.at(-2) === CONTEXT.USER_DEFERRED;
  const addresses = deferred ? callchain.slice(0, -2) : callchain;
  let into: bigint[] | undefined;
  for (const ip of addresses) {
    if (ip === CONTEXT.KERNEL) into = kernel;
    else if (ip === CONTEXT.USER) into = user;
    else (into ?? (ip >> 63n === 1n ? kernel : user)).push(ip);
  }
  return deferred ? { kernel, user, cookie: callchain.at(-1)! } : { kernel, user };
}
