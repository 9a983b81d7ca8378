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
