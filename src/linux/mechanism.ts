/** Where deferred unwinding lies in a Linux kernel that has it. */
import type { SymbolTable } from '../../emu/boot/symbols.js';
import type { VirtAddr } from '../../emu/memory/address.js';
import type { Btf } from './btf.js';
import { LinuxError } from './linux-error.js';

/** kernel/unwind/deferred.c; it is inlined nowhere, since tracers live in other files. */
const REQUEST = 'unwind_deferred_request';
/** Functions that tracers give to unwind_deferred_init(): perf's (kernel/events/core.c) is the only one in Linux 7.2. */
const CALLBACKS = ['perf_unwind_deferred_callback'] as const;

export interface Mechanism {
  /** unwind_deferred_request(work, &cookie) */
  readonly request: VirtAddr;
  /** A tracer's function, called as f(work, trace, cookie). */
  readonly callbacks: readonly { readonly name: string; readonly address: VirtAddr }[];
  /** Bytes from the start of an unwind_stacktrace. */
  readonly trace: { readonly nr: number; readonly entries: number };
}

/** @throws LinuxError for a kernel without the mechanism */
export function mechanismOf(btf: Btf, symbols: SymbolTable): Mechanism {
  const request = symbols.lookup(REQUEST);
  if (request === undefined)
    throw new LinuxError(
      `expected a Linux kernel with deferred unwinding (${REQUEST}; 6.17 or later, CONFIG_UNWIND_USER), found one without`,
    );
  return {
    request,
    callbacks: CALLBACKS.flatMap((name) => {
      const address = symbols.lookup(name);
      return address === undefined ? [] : [{ name, address }];
    }),
    trace: {
      nr: btf.offsetOf('unwind_stacktrace.nr'),
      entries: btf.offsetOf('unwind_stacktrace.entries'),
    },
  };
}
