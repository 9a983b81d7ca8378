/**
 * Mutants: the newest kernel with one mistake each, as patched sites. Each shows that an invariant can be broken, and is broken alone:
 * the runs of its sweep break exactly what `breaks` says, or nothing. docs/invariants.md has the table.
 */
import type { PatchText } from '../schedule/schedule.js';

/** Of the mechanism: which of the kernels. */
export const MUTATED_VERSION = 'v6.19';

/** A patched site, and what stands there: the mnemonics, so that a site that has moved is noticed. */
export interface MutantPatch extends PatchText {
  readonly was: string;
}

/** Where a mutant is swept by NMIs: a guest, and a window of its run. */
export interface MutantSweep {
  /** `PROGRAM` or `PROGRAM,ARGS`. */
  readonly program: string;
  readonly commandLine: string;
  readonly from: string;
  /** Undefined: the return of the function that the window begins in. */
  readonly to?: string;
  /** Which arrival at `from`. */
  readonly occurrence: number;
}

export interface Mutant {
  readonly name: string;
  /** Ids of all invariants that runs of the sweep break. */
  readonly breaks: readonly string[];
  /** What has been done to the code, and what comes of it. */
  readonly story: string;
  readonly patches: readonly MutantPatch[];
  /** The function in which the last NMI that shows it comes, or `user code`; undefined: it shows without one. */
  readonly shownIn: string | undefined;
  readonly sweep: MutantSweep;
}

/** NMIs are samples, and only those of the sweep: the counter's come after more instructions than a run has. */
const BY_NMI = 'perf.source=nmi perf.period=2000000000';
/** Only NMIs ask. */
const NMI_ALONE = `trace=perf ${BY_NMI}`;
/** System calls ask too, at their begin and end. */
const WITH_SYSCALLS = `trace=perf,ftrace ${BY_NMI}`;

const patch = (at: string, bytes: number, was: string, code: string): MutantPatch => ({
  ...{ at, bytes, was },
  with: code,
});

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'pending-plain-store',
    breaks: ['answered'],
    story:
      'The task work clears PENDING by a plain store in place of the cmpxchg: the bit of a tracer that asks in an NMI between load and store is lost, and it is never called',
    patches: [
      patch('process_unwind_deferred+0x2e', 8, 'lock cmpxchgq; jne', 'movq %rcx, UNWIND_INFO_mask(%rbx)'),
    ],
    shownIn: 'process_unwind_deferred',
    sweep: {
      program: 'roundtrip,20',
      commandLine: WITH_SYSCALLS,
      from: 'process_unwind_deferred',
      occurrence: 2,
    },
  },
  {
    name: 'completed-ignored',
    breaks: ['once'],
    story:
      'The task work does not take those who were called off its list: an NMI that asks after the first pass has everybody called again',
    patches: [patch('process_unwind_deferred+0x60', 8, 'notq; andq', 'nop')],
    shownIn: 'process_unwind_deferred',
    sweep: {
      program: 'roundtrip,20',
      commandLine: WITH_SYSCALLS,
      from: 'process_unwind_deferred',
      occurrence: 2,
    },
  },
  {
    name: 'bits-of-all',
    breaks: ['asked'],
    story: 'A request sets the bits of all tracers: those that were silent are called as well',
    patches: [patch('unwind_deferred_request+0x89', 3, 'orq', 'or $-1, %ecx')],
    shownIn: undefined,
    sweep: {
      program: 'roundtrip,20',
      commandLine: WITH_SYSCALLS,
      from: 'unwind_deferred_request',
      occurrence: 3,
    },
  },
  {
    name: 'count-plain-store',
    breaks: ['cookie-names-entry'],
    story:
      'get_cookie stores the count in place of its cmpxchg: an NMI before the counter is read has made a cookie, which is then replaced',
    patches: [patch('get_cookie+0x16', 7, 'lock cmpxchgl; jne', 'movl %edx, UNWIND_INFO_id_cnt(%rdi)')],
    shownIn: 'get_cookie',
    sweep: { program: 'roundtrip,20', commandLine: WITH_SYSCALLS, from: 'get_cookie', occurrence: 3 },
  },
  {
    name: 'id-before-pending',
    breaks: ['cookie-not-zero'],
    story:
      'The reset clears the id before it looks at PENDING: an NMI that asked after the last look at the flags has its work kept and its cookie forgotten',
    patches: [
      patch(
        'unwind_reset_info+0x15',
        31,
        'btq; jb; xorl; lock cmpxchgq; jne; movq',
        `xorl %edx, %edx
         movq %rdx, TASK_unwind_info+UNWIND_INFO_id(%rcx)
       again:
         testb $UNWIND_PENDING, %al
         jnz unwind_reset_info+0x4f
         lock cmpxchgq %rdx, TASK_unwind_info+UNWIND_INFO_mask(%rcx)
         jne again`,
      ),
    ],
    shownIn: 'syscall_exit',
    sweep: {
      program: 'roundtrip,20',
      commandLine: WITH_SYSCALLS,
      from: 'syscall_exit.begin',
      to: 'unwind_reset_info',
      occurrence: 3,
    },
  },
  {
    name: 'counter-not-stored',
    breaks: ['counts-never-repeat'],
    story: 'get_cookie does not store the counter: the next entry is given the same cookie',
    patches: [patch('get_cookie+0x1d', 8, 'movl', 'nop')],
    shownIn: undefined,
    sweep: { program: 'roundtrip,20', commandLine: WITH_SYSCALLS, from: 'get_cookie', occurrence: 1 },
  },
  {
    name: 'exiting-not-refused',
    breaks: ['trace-of-entry'],
    story:
      'A request does not refuse exiting tasks: one that an NMI makes after the last service is served when the memory is gone, with an empty trace',
    patches: [patch('unwind_deferred_request+0x1b', 7, 'testl', 'testl $PF_KTHREAD, TASK_flags(%rbx)')],
    shownIn: 'do_exit',
    sweep: {
      program: 'hello',
      commandLine: NMI_ALONE,
      from: 'do_exit',
      to: 'task_work_run',
      occurrence: 1,
    },
  },
  {
    name: 'pending-once',
    breaks: ['no-work-in-user'],
    story:
      'The task work tries once to clear PENDING and does not look whether it could: where an NMI changed the mask, PENDING stays with nothing queued',
    patches: [patch('process_unwind_deferred+0x34', 2, 'jne', 'nop')],
    shownIn: 'process_unwind_deferred',
    sweep: {
      program: 'roundtrip,20',
      commandLine: WITH_SYSCALLS,
      from: 'process_unwind_deferred',
      occurrence: 2,
    },
  },
  {
    name: 'r15-not-restored',
    breaks: ['user-registers'],
    story:
      'The way out of an NMI from the kernel does not restore r15: where the entry code has popped the register already, the task loses it',
    patches: [patch('asm_exc_nmi+0x101', 2, 'popq', 'pop %rcx')], // of r15; rcx is popped again
    shownIn: 'syscall_exit',
    sweep: {
      program: 'registers',
      commandLine: NMI_ALONE,
      from: 'syscall_exit.begin',
      to: 'user',
      occurrence: 3,
    },
  },
  {
    name: 'gs-by-cs',
    breaks: ['kernel-gs'],
    story:
      "An NMI from the kernel takes GS for the kernel's without reading it: before the swapgs of SYSCALL and behind that of SYSRET it is the user's",
    patches: [patch('asm_exc_nmi+0xd7', 2, 'js', 'jmp asm_exc_nmi+0xde')],
    shownIn: 'entry_SYSCALL_64',
    sweep: {
      program: 'roundtrip,20',
      commandLine: NMI_ALONE,
      from: 'entry_SYSCALL_64',
      to: 'syscall_entry.end',
      occurrence: 3,
    },
  },
  {
    name: 'nmi-stays-on-ist',
    breaks: ['kernel-stack'],
    story: 'An NMI from user mode stays on the IST stack: its registers are not task_pt_regs(current)',
    patches: [patch('asm_exc_nmi+0x15', 9, 'movq', 'nop')],
    shownIn: 'user code',
    sweep: {
      program: 'roundtrip,20',
      commandLine: NMI_ALONE,
      from: 'user',
      to: 'entry_SYSCALL_64',
      occurrence: 20,
    },
  },
  {
    name: 'sp0-not-switched',
    breaks: ['kernel-stack'],
    story:
      'A switch leaves TSS.sp0 alone: the next interrupt from user mode finds the stack of the task before',
    patches: [patch('switch_to+0x56', 9, 'movq', 'nop')],
    shownIn: undefined,
    sweep: {
      program: 'roundtrip,20',
      commandLine: NMI_ALONE,
      from: 'switch_to',
      to: 'ret_from_fork',
      occurrence: 1,
    },
  },
  {
    name: 'no-back-link',
    breaks: ['lists'],
    story: 'The registration of a tracer does not link the older one back to it',
    patches: [patch('unwind_deferred_init+0x5c', 4, 'movq', 'nop')],
    shownIn: undefined,
    sweep: { program: 'roundtrip,20', commandLine: WITH_SYSCALLS, from: 'unwind_reset_info', occurrence: 1 },
  },
  {
    name: 'work-not-cancelled',
    breaks: ['no-splat'],
    story:
      'An exiting task that served a request leaves the work in its list: it runs once more, with nothing pending, and warns',
    patches: [patch('unwind_deferred_task_exit+0x22', 5, 'callq', 'nop')],
    shownIn: 'do_exit_group',
    sweep: { program: 'hello', commandLine: NMI_ALONE, from: 'do_exit_group', to: 'do_exit', occurrence: 1 },
  },
  {
    name: 'flag-not-cleared',
    breaks: ['exit-reached'],
    story:
      'TIF_NOTIFY_RESUME is not cleared before the task works run: once an NMI has set it, the exit loop never ends',
    patches: [patch('resume_user_mode_work+0xd', 5, 'lock andl', 'nop')],
    shownIn: 'syscall_exit',
    sweep: {
      program: 'roundtrip,20',
      commandLine: NMI_ALONE,
      from: 'syscall_leave',
      to: 'unwind_reset_info',
      occurrence: 3,
    },
  },
  {
    name: 'no-self-interrupt',
    breaks: ['answered', 'no-work-in-user'],
    story:
      'An NMI queues the work without the interrupt to its own CPU: after the last look at the flags it waits for the next entry',
    patches: [patch('task_work_add+0x5b', 5, 'callq', 'nop')],
    shownIn: 'syscall_exit',
    sweep: {
      program: 'roundtrip,20',
      commandLine: NMI_ALONE,
      from: 'unwind_reset_info',
      to: 'user',
      occurrence: 3,
    },
  },
  {
    name: 'last-look-with-interrupts',
    breaks: ['answered', 'no-work-in-user'],
    story:
      'The exit loop looks at the flags with interrupts on: that of an NMI is taken behind the last look, in the kernel, where it does no exit work',
    patches: [patch('exit_to_user_loop+0x2f', 1, 'cli', 'nop')],
    shownIn: 'exit_to_user_loop',
    sweep: { program: 'roundtrip,20', commandLine: WITH_SYSCALLS, from: 'exit_to_user_loop', occurrence: 2 },
  },
];
