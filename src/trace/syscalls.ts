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
}

const MAX_ERRNO = 4095n;

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
    const early = signature.parameters.slice(0, earlyCount(signature));
    const call = { pid, tid, time, nr, name: signature.name };
    const more = early.length < signature.parameters.length;
    const printed = print(early, this.#view(event, args));
    const enter: CallEnter = { kind: 'enter', ...call, args: printed, more };
    this.#open.set(tid, { enter, signature, args });
    return enter;
  }

  #leave(event: RawCallEvent & { kind: 'leave' }): CallEvent[] {
    const { pid, tid, time, result } = event;
    const open = this.#open.get(tid);
    this.#open.delete(tid);
    if (open === undefined || open.enter.nr !== event.nr) return [];
    const { enter, signature, args } = open;
    const told = enter.args.length;
    const view = { ...this.#view(event, args), result };
    const rest = print(signature.parameters.slice(earlyCount(signature)), view);
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

  #view(where: { pid: number; tid: number }, args: readonly bigint[]): CallView {
    return { args, read: (at, length) => this.#readUser(where, at, length) };
  }
}

/** How many parameters come before the first one that is known only afterwards. */
function earlyCount({ parameters }: Signature): number {
  const late = parameters.findIndex(({ kind }) => kind.late === true);
  return late < 0 ? parameters.length : late;
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
    const error = errorText(Number(-value));
    if (error === undefined) return { returned: value, text: `-1 (errno ${-value})` };
    return { returned: value, error: error.name, text: `-1 ${error.name} (${error.message})` };
  }
  const text = signature.result === 'address' ? address(BigInt.asUintN(64, value)) : String(value);
  return { returned: value, text };
}
