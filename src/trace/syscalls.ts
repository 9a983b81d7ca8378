import { errorText } from './errno.js';
import { signalName } from './flag-names.js';
import { address, type CallView } from './syscall-args.js';
import { type Parameter, type Signature, signatureOf } from './syscall-signatures.js';

interface Where {
  /** Process. */
  readonly pid: number;
  /** Thread. */
  readonly tid: number;
  /** Nanoseconds. */
  readonly time: bigint;
}
/** What an observer of the guest sees, before any meaning. Words are unsigned but for `result`. */
export type RawCallEvent =
  | (Where & { readonly kind: 'enter'; readonly nr: number; readonly args: readonly bigint[] })
  | (Where & { readonly kind: 'leave'; readonly nr: number; readonly result: bigint })
  /** A task is gone; `status` as wait4 encodes it. */
  | (Where & { readonly kind: 'end'; readonly status: number });

/** Memory of a process; undefined where a byte of the range cannot be read. Asked while the guest stands at the event. */
export type ReadUser = (
  where: { pid: number; tid: number },
  at: bigint,
  length: number,
) => Uint8Array | undefined;

export interface Argument {
  readonly name: string;
  readonly value: bigint;
  /** As strace prints it. */
  readonly text: string;
}
export interface Result {
  /** What the call returned, negative for an error. */
  readonly returned: bigint;
  /** The name of the error, such as `EFAULT`. */
  readonly error?: string;
  /** As strace prints it. */
  readonly text: string;
}
interface Call extends Where {
  readonly nr: number;
  readonly name: string;
}
export interface CallEnter extends Call {
  readonly kind: 'enter';
  /** Those that are known before the call has run. */
  readonly args: readonly Argument[];
  /** Whether more arguments are to come. */
  readonly more: boolean;
}
export interface CallLeave extends Call {
  readonly kind: 'leave';
  /** All of them; the first `told` were told on entry. */
  readonly args: readonly Argument[];
  readonly told: number;
  readonly result: Result;
  /** Nanoseconds since the entry. */
  readonly duration: bigint;
}
/** A task ended in a system call, which does not return: exit, or one that was cut short. */
export interface CallAbandoned extends Call {
  readonly kind: 'abandoned';
  readonly args: readonly Argument[];
  /** Whether arguments were to come that never will. */
  readonly more: boolean;
}
export interface TaskExited extends Where {
  readonly kind: 'exited';
  readonly code: number;
}
export interface TaskKilled extends Where {
  readonly kind: 'killed';
  readonly signal: string;
  readonly core: boolean;
}
export type CallEvent = CallEnter | CallLeave | CallAbandoned | TaskExited | TaskKilled;

interface Open {
  readonly enter: CallEnter;
  readonly signature: Signature;
  readonly args: readonly bigint[];
  /** The first parameter that is printed on return. */
  readonly next: number;
}

const MAX_ERRNO = 4095n;
/** A signal has come before the call, which will be made again (Linux: include/linux/errno.h); strace prints no -1 before it. */
const ERESTARTSYS = {
  number: 512n,
  name: 'ERESTARTSYS',
  text: '? ERESTARTSYS (To be restarted if SA_RESTART is set)',
} as const;

/**
 * Gives system calls their meaning: names, arguments, results. One decoder for all writers. A call that returns without having
 * been entered is dropped: a new task leaves the call that its parent made.
 */
export class SyscallDecoder {
  readonly #readUser: ReadUser;
  readonly #open = new Map<number, Open>();

  constructor(readUser: ReadUser) {
    this.#readUser = readUser;
  }

  decode(event: RawCallEvent): CallEvent[] {
    switch (event.kind) {
      case 'enter':
        return [this.#enter(event)];
      case 'leave':
        return this.#leave(event);
      case 'end':
        return this.#end(event);
    }
  }

  #enter(event: RawCallEvent & { kind: 'enter' }): CallEnter {
    const { pid, tid, time, nr, args } = event;
    const signature = signatureOf(nr);
    const { printed, next } = this.#early(event, signature, args);
    const more = next < signature.parameters.length;
    const enter: CallEnter = { kind: 'enter', pid, tid, time, nr, name: signature.name, args: printed, more };
    this.#open.set(tid, { enter, signature, args, next });
    return enter;
  }

  /**
   * Prints arguments up to the first that has to wait for the return: what the kernel will write, and what lies in
   * memory that is not there yet, since the kernel brings pages in when it reads them.
   */
  #early(
    where: { pid: number; tid: number },
    { parameters }: Signature,
    args: readonly bigint[],
  ): { printed: Argument[]; next: number } {
    let missing = false;
    const view: CallView = {
      args,
      read: (at, length) => {
        const bytes = this.#readUser(where, at, length);
        missing ||= bytes === undefined;
        return bytes;
      },
    };
    const printed: Argument[] = [];
    for (const [next, parameter] of parameters.entries()) {
      if (parameter.kind.late === true) return { printed, next };
      const argument = print([parameter], view);
      if (missing) return { printed, next };
      printed.push(...argument);
    }
    return { printed, next: parameters.length };
  }

  #leave(event: RawCallEvent & { kind: 'leave' }): CallEvent[] {
    const { pid, tid, time, result } = event;
    const open = this.#open.get(tid);
    this.#open.delete(tid);
    if (open === undefined || open.enter.nr !== event.nr) return [];
    const { enter, signature, args, next } = open;
    const told = enter.args.length;
    const read: CallView['read'] = (at, length) => this.#readUser(event, at, length);
    const rest = print(signature.parameters.slice(next), { args, result, read });
    const { nr, name } = enter;
    return [
      {
        kind: 'leave',
        pid,
        tid,
        time,
        nr,
        name,
        args: [...enter.args, ...rest],
        told,
        result: describe(result, signature),
        duration: time - enter.time,
      },
    ];
  }

  #end({ pid, tid, time, status }: RawCallEvent & { kind: 'end' }): CallEvent[] {
    const where = { pid, tid, time };
    const open = this.#open.get(tid);
    this.#open.delete(tid);
    const signal = status & 0x7f;
    const end: CallEvent =
      signal === 0
        ? { kind: 'exited', ...where, code: (status >> 8) & 0xff }
        : { kind: 'killed', ...where, signal: signalName(signal), core: (status & 0x80) !== 0 };
    if (open === undefined) return [end];
    const { nr, name, args, more } = open.enter;
    return [{ kind: 'abandoned', ...where, nr, name, args, more }, end];
  }
}

function print(parameters: readonly Parameter[], view: CallView): Argument[] {
  return parameters.flatMap(({ name, index, kind }) => {
    const value = view.args[index]!;
    const text = kind.text(value, view, index);
    return text === undefined ? [] : [{ name, value, text }];
  });
}

function describe(value: bigint, signature: Signature): Result {
  if (value < 0n && value >= -MAX_ERRNO) {
    if (value === -ERESTARTSYS.number)
      return { returned: value, error: ERESTARTSYS.name, text: ERESTARTSYS.text };
    const error = errorText(Number(-value));
    if (error === undefined) return { returned: value, text: `-1 (errno ${-value})` };
    return { returned: value, error: error.name, text: `-1 ${error.name} (${error.message})` };
  }
  const text = signature.result === 'address' ? address(BigInt.asUintN(64, value)) : String(value);
  return { returned: value, text };
}
