/* SPDX-License-Identifier: GPL-2.0-only */
/* Places where a host may stop and look (docs/guest-abi.md). All run with the kernel's GS. */
#include "asm.h"

	.text

# trace_syscall_enter - a system call begins.
#   In:       rdi = pt_regs, complete; PT_orig_ax = its number
#   Clobbers: what a C call clobbers        Context: task, IF = 1
FUNC trace_syscall_enter
	cmpb	$0, ftrace_enabled(%rip)
	jne	ftrace_sys_enter
	ret
END trace_syscall_enter

# trace_syscall_leave - a system call is done, before the exit work.
#   In:       rdi = pt_regs, PT_ax = the result
#   Clobbers: what a C call clobbers        Context: task, IF = 1
FUNC trace_syscall_leave
	cmpb	$0, ftrace_enabled(%rip)
	jne	ftrace_sys_exit
	ret
END trace_syscall_leave

# Call a C function of one argument, the routine's return address, where any register may be in use.
.macro CALL_FROM_ANYWHERE function
	cld				/* C expects it; an entry's first instructions have the user's DF */
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	8(%rbp), %rdi		/* the return address */
	call	\function
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
.endm

# trace_probe - a tracepoint that is in no code path: a host puts a call of it before any instruction.
#   In:       at 0(%rsp) where it was called
#   Out:      every register and flag as it was, IF too; memory below the caller's rsp is overwritten
#   Context:  any, NMI too: IF = 0 or 1; kernel GS and a kernel stack of any alignment, of which it takes
#             less than 512 bytes. A call between sti and the instruction after it lets interrupts in before that
#   The frame makes the place of the call the next entry of a kernel call chain.
FUNC trace_probe
	FRAME_BEGIN			/* changes no flag */
	pushfq				/* the caller's flags */
	cmpb	$0, ftrace_enabled(%rip)
	je	1f
	CALL_FROM_ANYWHERE ftrace_probe
1:	popfq
	FRAME_END
	ret
END trace_probe

# reschedule_probe - asks for a switch of tasks, as the tick and other CPUs do: a host calls it anywhere, too.
#   In, Out, Context: as trace_probe
#   The current task is flagged, and RESCHEDULE_VECTOR comes as soon as interrupts are on.
FUNC reschedule_probe
	FRAME_BEGIN
	pushfq				/* the caller's flags */
	cli
	CALL_FROM_ANYWHERE reschedule_current
	popfq
	FRAME_END
	ret
END reschedule_probe

# trace_task_exit - a user task is gone but for its kernel stack.
#   In:       rdi = task, esi = exit status as wait4 encodes it
FUNC trace_task_exit
	ret
END trace_task_exit

# trace_record - one or more records were just committed to a ring buffer.
#   In:       rdi = the buffer's header     Context: any, NMI too
FUNC trace_record
	ret
END trace_record
