import { KINDS, type Kind } from './syscall-args.js';
import { syscallName } from './syscall-names.js';

/** One argument of a system call, in the order in which it is printed. */
export interface Parameter {
  readonly name: string;
  /** Its place among the six registers. */
  readonly index: number;
  readonly kind: Kind;
}

export interface Signature {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  /** How the result is printed when it is no error; `none`: the call does not return. */
  readonly result: 'int' | 'address' | 'none';
}

/**
 * `name:kind` for each argument, then `-> result` where it is no number. These are the calls of this project's kernel
 * and others that are common; every other call prints its arguments as hexadecimal numbers.
 */
const ROWS: Readonly<Record<string, string>> = {
  read: 'fd:int buf:out count:size',
  write: 'fd:int buf:in count:size',
  writev: 'fd:int iov:buffers count:size',
  pread64: 'fd:int buf:out count:size offset:long',
  pwrite64: 'fd:int buf:in count:size offset:long',
  open: 'path:path flags:open mode:open-mode',
  openat: 'dirfd:dirfd path:path flags:open mode:open-mode',
  creat: 'path:path mode:mode',
  access: 'path:path mode:access',
  unlink: 'path:path',
  mkdir: 'path:path mode:mode',
  rmdir: 'path:path',
  chdir: 'path:path',
  close: 'fd:int',
  lseek: 'fd:int offset:long whence:whence',
  dup: 'fd:int',
  dup2: 'fd:int newfd:int',
  pipe: 'fds:fd-pair',
  fsync: 'fd:int',
  ftruncate: 'fd:int length:long',
  ioctl: 'fd:int request:hex argument:hex',
  mmap: 'addr:address length:size prot:prot flags:map fd:int offset:hex -> address',
  mprotect: 'addr:address length:size prot:prot',
  munmap: 'addr:address length:size',
  brk: 'addr:address -> address',
  sched_yield: '',
  sched_setaffinity: 'pid:int length:uint mask:cpus',
  sched_getaffinity: 'pid:int length:uint mask:cpus-out',
  getcpu: 'cpu:uint-out node:uint-out cache:address',
  nanosleep: 'request:timespec remain:timespec-rest',
  clock_nanosleep: 'clock:clock flags:timer request:timespec remain:timespec-rest',
  clock_gettime: 'clock:clock time:timespec-out',
  clock_getres: 'clock:clock time:timespec-out',
  fork: '',
  vfork: '',
  execve: 'path:path argv:address envp:address',
  exit: 'status:int -> none',
  exit_group: 'status:int -> none',
  wait4: 'pid:int status:wait-status options:wait rusage:address',
  kill: 'pid:int signal:signal',
  tkill: 'tid:int signal:signal',
  tgkill: 'tgid:int tid:int signal:signal',
  futex: 'uaddr:address op:futex-op val:futex timeout:futex uaddr2:futex val3:futex',
  set_tid_address: 'tidptr:address',
  set_robust_list: 'head:address length:size',
  arch_prctl: 'code:arch-prctl addr:arch-prctl-addr',
  rt_sigreturn: '',
  pause: '',
  alarm: 'seconds:uint',
  getpgid: 'pid:int',
  setpgid: 'pid:int pgid:int',
  umask: 'mask:mode',
};

/** clone prints its arguments in an order of its own: the stack before the flags, tls before child_tidptr. */
const CLONE: Signature = {
  name: 'clone',
  parameters: [
    { name: 'child_stack', index: 1, kind: KINDS['child-stack'] },
    { name: 'flags', index: 0, kind: KINDS.clone },
    { name: 'parent_tid', index: 2, kind: KINDS['parent-tid'] },
    { name: 'tls', index: 4, kind: KINDS.tls },
    { name: 'child_tidptr', index: 3, kind: KINDS['child-tid'] },
  ],
  result: 'int',
};

const KNOWN: ReadonlyMap<string, Signature> = new Map([
  ...Object.entries(ROWS).map(([name, row]): [string, Signature] => [name, parse(name, row)]),
  ['clone', CLONE],
]);

function parse(name: string, row: string): Signature {
  const [list = '', result = 'int'] = row.split(/ *-> */);
  const parameters = list
    .split(' ')
    .filter((entry) => entry !== '')
    .map((entry, index): Parameter => {
      const [parameter, kind] = entry.split(':');
      return { name: parameter!, index, kind: KINDS[kind as keyof typeof KINDS] };
    });
  return { name, parameters, result: result as Signature['result'] };
}

/** Everything that is known of the system call `nr`. */
export function signatureOf(nr: number): Signature {
  const { name, arity } = syscallName(nr);
  const known = KNOWN.get(name);
  if (known !== undefined) return known;
  const parameters = Array.from({ length: arity }, (_, index) => ({
    name: `arg${index}`,
    index,
    kind: KINDS.hex,
  }));
  return { name, parameters, result: 'int' };
}
