/** All invariants of deferred unwinding, in the order of docs/invariants.md. */
import { cookieNamesEntry, cookieNotZero, countsNeverRepeat } from './cookies.js';
import { kernelGs, kernelStack, lists, noSplat } from './kernel.js';
import { answered, asked, once } from './requests.js';
import type { Invariant } from './rule.js';
import { noWorkInUser, traceOfEntry, userRegisters } from './user.js';

export const INVARIANTS: readonly Invariant[] = [
  ...[answered, once, asked],
  ...[cookieNamesEntry, cookieNotZero, countsNeverRepeat],
  ...[traceOfEntry, noWorkInUser, userRegisters],
  ...[kernelGs, kernelStack, lists, noSplat],
];
