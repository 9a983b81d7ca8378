/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Task works: functions that a task calls on its way back to user mode.
 *
 * TASK_task_works heads a singly linked list. Anyone pushes with one cmpxchg; only the task itself
 * takes, and it takes the whole list with one cmpxchg to NULL, or to work_exited when the task is
 * exiting and the list is empty: from then on a push is refused. A work may be pushed again as soon
 * as its function is called, because its next pointer was read before.
 * Linux: kernel/task_work.c
 */
#include "asm.h"

	.section .rodata
OBJECT work_exited			# struct callback_head: the list is closed
	.quad	0			# CALLBACK_next
	.quad	0			# CALLBACK_func
END work_exited

	.text

# Take and release the spinlock at TASK_pi_lock(\task). Clobbers ecx.
.macro PI_LOCK task
97:	movl	$1, %ecx
	xchgl	%ecx, TASK_pi_lock(\task)
	testl	%ecx, %ecx
	jz	98f
	pause
	jmp	97b
98:
.endm

.macro PI_UNLOCK task
	movl	$0, TASK_pi_lock(\task)
.endm

# task_work_add - queue a work of a task and say how the task learns of it.
#   In:       rdi = task, rsi = work (callback_head), edx = TWA_NONE, TWA_RESUME or TWA_NMI_CURRENT
#   Out:      eax = 0; -ESRCH: the task is past its last run; -EINVAL: TWA_NMI_CURRENT for another
#             task (warns)
#   Clobbers: what a C call clobbers        Context: any; kernel GS
#   The list is LIFO. The caller must know that the work is not queued already: a second
#   push of the same work makes it its own successor. TWA_RESUME sets the flag that the exit loop
#   looks at, which is too late in an NMI that came after the last look. TWA_NMI_CURRENT also sends an
#   interrupt to the own CPU: it is taken at the first boundary with IF = 1, at the latest in user
#   mode, and its way out is an exit loop.
#   Linux:    kernel/task_work.c task_work_add(), set_notify_resume()
FUNC task_work_add
WINDOW_BEGIN task_work_add
	cmpl	$TWA_NMI_CURRENT, %edx
	jne	.Lpush
	cmpq	%gs:current_task, %rdi
	jne	.Lnot_current
.Lpush:
	movq	TASK_task_works(%rdi), %rax
1:	cmpq	$work_exited, %rax
	je	3f
	movq	%rax, CALLBACK_next(%rsi)
	lock cmpxchgq %rsi, TASK_task_works(%rdi)	/* rax = the head as it is, if it changed */
	jne	1b
	cmpl	$TWA_NMI_CURRENT, %edx
	je	4f
	cmpl	$TWA_RESUME, %edx
	jne	2f
	lock btsl $TIF_NOTIFY_RESUME, TASK_ti_flags(%rdi)
	jc	2f			/* set already: whoever set it has kicked */
	FRAME_BEGIN
	call	kick_process
	FRAME_END
2:	xorl	%eax, %eax
	ret
3:	movl	$-ESRCH, %eax
	ret
4:
#if TWA_NMI_SETS_FLAG
	lock btsl $TIF_NOTIFY_RESUME, TASK_ti_flags(%rdi)
#endif
	FRAME_BEGIN
	movl	$TASK_WORK_VECTOR, %edi
	call	apic_send_ipi_self
	FRAME_END
	jmp	2b
.Lnot_current:
	FRAME_BEGIN
	WARN_ONCE "task_work_add", "task != current"
	FRAME_END
	movl	$-EINVAL, %eax
	ret
WINDOW_END task_work_add
END task_work_add

# task_work_interrupt - TASK_WORK_VECTOR: what TWA_NMI_CURRENT sent has come.
#   Clobbers: rax                           Context: IRQ, kernel GS
#   Coming is all that it is for, where the NMI itself set the flag. Until Linux 6.18 it was set here,
#   for the task that is current now: not the right one if a switch came between (race K).
#   Linux:    kernel/task_work.c irq_work_NMI_resume, task_work_set_notify_irq(); mended by ef1ea98c8fff
FUNC task_work_interrupt
#if !TWA_NMI_SETS_FLAG
	movq	%gs:current_task, %rax
	lock btsl $TIF_NOTIFY_RESUME, TASK_ti_flags(%rax)
#endif
	ret
END task_work_interrupt

# task_work_cancel - take one work off a task's list, if it is still there.
#   In:       rdi = task, rsi = work
#   Out:      eax = 1: it was queued and is not any more; 0: it was not queued
#   Clobbers: rcx, rdx, r8                  Context: task or IRQ
#   pi_lock keeps the works of the list alive while it is walked: task_work_run takes it once
#   between taking the list and calling the first function. The cmpxchg decides against a concurrent
#   push or take.
#   Linux:    kernel/task_work.c task_work_cancel_match()
FUNC task_work_cancel
WINDOW_BEGIN task_work_cancel
	cmpq	$0, TASK_task_works(%rdi)
	je	4f
	pushfq
	cli
	PI_LOCK %rdi
	leaq	TASK_task_works(%rdi), %rdx	/* rdx = pprev: the pointer that names rax */
1:	movq	(%rdx), %rax
2:	testq	%rax, %rax
	jz	3f
	cmpq	%rsi, %rax
	je	5f
	leaq	CALLBACK_next(%rax), %rdx
	jmp	1b
5:	movq	CALLBACK_next(%rax), %r8
	lock cmpxchgq %r8, (%rdx)
	jne	2b
	movl	$1, %eax
3:	PI_UNLOCK %rdi
	popfq
	ret
4:	xorl	%eax, %eax
	ret
WINDOW_END task_work_cancel
END task_work_cancel

# task_work_run - call every queued work of the current task, until none is left.
#   Clobbers: what a C call clobbers        Context: task, IF = 1; may sleep
#   Linux:    kernel/task_work.c task_work_run()
FUNC task_work_run
WINDOW_BEGIN task_work_run
	FRAME_BEGIN
	pushq	%rbx			/* rbx = current */
	pushq	%r12			/* r12 = work */
	pushq	%r13			/* r13 = next */
	movq	%gs:current_task, %rbx
.Ltake_list:
	movq	TASK_task_works(%rbx), %rax
1:	xorl	%edx, %edx		/* leave an empty list ... */
	testq	%rax, %rax
	jnz	2f
	testl	$PF_EXITING, TASK_flags(%rbx)
	jz	.Lrun_done
	movq	$work_exited, %rdx	/* ... or, for good, a closed one */
2:	lock cmpxchgq %rdx, TASK_task_works(%rbx)
	jne	1b
	testq	%rax, %rax
	jz	.Lrun_done
	movq	%rax, %r12
	cli
	PI_LOCK %rbx			/* a task_work_cancel that walks this list ends first */
	PI_UNLOCK %rbx
	sti
3:	movq	CALLBACK_next(%r12), %r13	/* before the call: the work may be pushed again in it */
	movq	%r12, %rdi
	call	*CALLBACK_func(%r12)
	call	cond_resched
	movq	%r13, %r12
	testq	%r12, %r12
	jnz	3b
	jmp	.Ltake_list
.Lrun_done:
	popq	%r13
	popq	%r12
	popq	%rbx
	FRAME_END
	ret
WINDOW_END task_work_run
END task_work_run
