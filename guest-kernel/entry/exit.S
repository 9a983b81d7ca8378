/* SPDX-License-Identifier: GPL-2.0-only */
/* Work on the way back to user mode, for system calls, exceptions and interrupts alike. */
#include "asm.h"

	.text

# exit_to_user_loop - do the work that TIF flags ask for until none is left.
#   In:       edi = TIF flags, some of _TIF_EXIT_WORK set; IF = 0
#   Out:      no flag of _TIF_EXIT_WORK set, as read with IF = 0
#   Clobbers: all but callee-saved          Context: task, kernel GS, pt_regs complete
#   Each pass runs with interrupts on, so flags may be set again behind it: hence the loop. From
#   the last read on only an NMI comes between the task and its user code.
#   Linux:    kernel/entry/common.c exit_to_user_mode_loop()
FUNC exit_to_user_loop
WINDOW_BEGIN exit_to_user_loop
	FRAME_BEGIN
	pushq	%rbx
.Lpass:
	sti
	movl	%edi, %ebx
	testl	$_TIF_NEED_RESCHED, %ebx
	jz	1f
	call	schedule
1:	testl	$_TIF_SIGPENDING, %ebx
	jz	2f
	call	do_signal
2:	testl	$_TIF_NOTIFY_RESUME, %ebx
	jz	3f
	call	resume_user_mode_work
3:	cli
	movq	%gs:current_task, %rax
	movl	TASK_ti_flags(%rax), %edi
	testl	$_TIF_EXIT_WORK, %edi
	jnz	.Lpass
	popq	%rbx
	FRAME_END
	ret
WINDOW_END exit_to_user_loop
END exit_to_user_loop

# resume_user_mode_work - clear TIF_NOTIFY_RESUME, then run the task works.
#   Clobbers: all but callee-saved          Context: task, IF = 1
#   The locked AND is the full barrier between the flag and the list: whoever adds a work
#   after the list was taken sets the flag again.
#   Linux:    include/linux/resume_user_mode.h resume_user_mode_work()
FUNC resume_user_mode_work
	FRAME_BEGIN
	movq	%gs:current_task, %rax
	lock andl $~_TIF_NOTIFY_RESUME, TASK_ti_flags(%rax)
	call	task_work_run
	FRAME_END
	ret
END resume_user_mode_work
