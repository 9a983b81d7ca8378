/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deferred user-space unwinding, version v6.19: kernel/unwind/deferred.c of Linux 6.19, the newest here.
 *
 * Against v6.17: a request in NMI queues the work with TWA_NMI_CURRENT, which sets TIF_NOTIFY_RESUME and
 * sends an interrupt to the own CPU; it is taken as soon as interrupts are on, at the latest at the
 * first boundary in user mode, and its way out runs the work (a38a64712e, with ef1ea98c8fff in
 * entry/task_work.S). The mask is an atomic type throughout (639214f65b), the reset reads it once
 * (52a1ec718b), and the walk by frame pointers is enabled (49cf34c081).
 * Why: an NMI after the exit loop's last look at the flags, or in user mode, left the work to the next
 * entry, where another stack was delivered with the old cookie (race J).
 *
 * State per task (struct unwind_task_info, unwind/v6.19.h)
 *   mask      one bit per tracer that has asked in this entry, called or not; PENDING: the work is claimed
 *             and has not begun; USED: the cache is filled
 *   id        the cookie of this entry: high half count (odd), low half CPU + 1. 0: nobody has asked yet
 *   cache     the walk of this entry; nr_entries = 0: not walked yet; completed: whom it has been given to
 * State for all
 *   callbacks, guarded by callback_mutex and read under SRCU: the registered tracers, newest first
 *   unwind_mask, guarded by callback_mutex: the bits that are given away
 *   unwind_ctx_ctr, per CPU: the last count given out
 *
 * Not here: function-entry frames, which Linux takes only while it handles a uprobe (ae25884ad7), and
 * 32-bit tasks (c79dd946e3); this kernel has neither.
 * Known weaknesses: the refusal of a cancelled work never happens, and its request claims bit 63, which
 * may be another tracer's; without a cache `completed` is lost, and race F is back; a callback that cancels
 * its own tracer waits for itself; a request after the exit loop's last look at the flags that is not an
 * NMI's is served in the next entry (race I); an NMI between the steps of unwind_reset_info finds the old
 * id, which is then set to 0, and its callback gets the cookie 0.
 */
#include "asm.h"

	.section .rodata
OBJECT kernel_version, 1
	.asciz	UNWIND_VERSION
END kernel_version

	.data
OBJECT callback_mutex			# struct mutex: guards adding to and removing from the list of callbacks
	.quad	0			# MUTEX_owner
	.quad	callback_mutex + MUTEX_waiters, callback_mutex + MUTEX_waiters
END callback_mutex

OBJECT callbacks			# struct list_head of struct unwind_work
	.quad	callbacks		# LIST_next
	.quad	callbacks		# LIST_prev
END callbacks

OBJECT unwind_mask			# u64: the bits that are given to tracers, and the reserved ones
	.quad	UNWIND_RESERVED_BITS
END unwind_mask

/* The stack of process_unwind_deferred. */
#define FRAME_trace	0		/* struct unwind_stacktrace */
#define FRAME_bits	16		/* u64: the mask as the work began */
#define FRAME_SIZE	24

	.text

# get_cookie - the cookie of this entry context; the first request of a context makes it.
#   In:       rdi = unwind_task_info of the current task
#   Out:      rax = cookie, never 0
#   Clobbers: rdx                           Context: any, NMI too; IF = 0; kernel GS
#   The cmpxchg decides who advances the counter; with interrupts off counter and CPU number are
#   of the same CPU.
#   Linux:    kernel/unwind/deferred.c get_cookie()
FUNC get_cookie
WINDOW_BEGIN get_cookie
	cmpl	$0, UNWIND_INFO_id_cpu(%rdi)
	jne	2f
	movl	%gs:unwind_ctx_ctr, %edx
	addl	$2, %edx
	orl	$1, %edx			/* odd, so never 0 */
	xorl	%eax, %eax
	lock cmpxchgl %edx, UNWIND_INFO_id_cnt(%rdi)
	jne	1f
	movl	%edx, %gs:unwind_ctx_ctr
1:	movl	%gs:cpu_number, %eax
	incl	%eax				/* 1-based, so never 0 */
	movl	%eax, UNWIND_INFO_id_cpu(%rdi)
2:	movq	UNWIND_INFO_id(%rdi), %rax
	ret
WINDOW_END get_cookie
END get_cookie

# unwind_user_faultable - the user stack of this entry, walked at most once.
#   In:       rdi = trace
#   Out:      eax = 0, trace filled in, its entries in the task's cache; or -EINVAL: no user memory;
#             or -ENOMEM; on both the trace is as it was
#   Clobbers: what a C call clobbers        Context: task, IF = 1; may fault pages in and sleep
#   Sets USED, so that the exit to user mode empties the cache.
#   Linux:    kernel/unwind/deferred.c unwind_user_faultable()
FUNC unwind_user_faultable
WINDOW_BEGIN unwind_user_faultable
	FRAME_BEGIN
	pushq	%rbx				/* rbx = trace */
	pushq	%r12				/* r12 = current, later the cache */
	movq	%rdi, %rbx
	movq	%gs:current_task, %r12
	cmpq	$0, TASK_mm(%r12)
	je	.Lno_mm
	movq	(TASK_unwind_info + UNWIND_INFO_cache)(%r12), %rax
	testq	%rax, %rax
	jnz	1f
	movl	$UNWIND_CACHE_SIZE, %edi
	call	kzalloc
	testq	%rax, %rax
	jz	.Lno_memory
	movq	%rax, (TASK_unwind_info + UNWIND_INFO_cache)(%r12)
1:	movq	%rax, %r12
	leaq	UNWIND_CACHE_entries(%r12), %rax
	movq	%rax, TRACE_entries(%rbx)
	movq	UNWIND_CACHE_nr_entries(%r12), %rax
	movq	%rax, TRACE_nr(%rbx)
	testq	%rax, %rax
	jnz	3f				/* walked already in this entry */
	movq	%rbx, %rdi
	movl	$UNWIND_MAX_ENTRIES, %esi
	call	unwind_user
	movq	TRACE_nr(%rbx), %rax
	movq	%rax, UNWIND_CACHE_nr_entries(%r12)
	movq	%gs:current_task, %r12
	lock orq $UNWIND_USED, (TASK_unwind_info + UNWIND_INFO_mask)(%r12)
3:	xorl	%eax, %eax
4:	popq	%r12
	popq	%rbx
	FRAME_END
	ret
.Lno_mm:
	movl	$-EINVAL, %eax
	jmp	4b
.Lno_memory:
	movl	$-ENOMEM, %eax
	jmp	4b
WINDOW_END unwind_user_faultable
END unwind_user_faultable

# process_unwind_deferred - walk the stack and call every tracer that asked and was not called.
#   In:       rdi = task = current
#   Clobbers: what a C call clobbers        Context: task, IF = 1; may sleep
#   PENDING is cleared first: a request of another tracer from here on queues the work again, with
#   the same cookie. From there on the callbacks must be called, if only with an empty trace. The
#   tracers' bits stay set until the exit to user mode. The test of a cancelled work, whose bit is
#   -1, reads the top bit of the word below FRAME_bits, as Linux's test_bit does; which word that is,
#   is each compiler's choice, and ours.
#   Linux:    kernel/unwind/deferred.c process_unwind_deferred()
FUNC process_unwind_deferred
WINDOW_BEGIN process_unwind_deferred
	FRAME_BEGIN
	pushq	%rbx				/* rbx = info */
	pushq	%r12				/* r12 = cookie */
	pushq	%r13				/* r13 = work */
	pushq	%r14				/* r14 = phase of the readers */
	subq	$FRAME_SIZE, %rsp
	leaq	TASK_unwind_info(%rdi), %rbx
	btq	$UNWIND_PENDING_BIT, UNWIND_INFO_mask(%rbx)
	jnc	.Lnot_pending
	movq	UNWIND_INFO_mask(%rbx), %rax
5:	movq	%rax, %rcx
	btrq	$UNWIND_PENDING_BIT, %rcx
	lock cmpxchgq %rcx, UNWIND_INFO_mask(%rbx)
	jne	5b
	movq	%rax, FRAME_bits(%rsp)
	movq	$0, (FRAME_trace + TRACE_nr)(%rsp)
	movq	$0, (FRAME_trace + TRACE_entries)(%rsp)
	leaq	FRAME_trace(%rsp), %rdi
	call	unwind_user_faultable
	movq	UNWIND_INFO_cache(%rbx), %rax
	testq	%rax, %rax
	jz	6f
	movq	UNWIND_CACHE_completed(%rax), %rax
	notq	%rax
	andq	%rax, FRAME_bits(%rsp)
6:	movq	UNWIND_INFO_id(%rbx), %r12
	call	srcu_read_lock
	movl	%eax, %r14d
	movq	callbacks + LIST_next(%rip), %r13
1:	cmpq	$callbacks, %r13
	je	2f
	leaq	-WORK_list(%r13), %rdi
	movslq	WORK_bit(%rdi), %rcx
	btq	%rcx, FRAME_bits(%rsp)
	jnc	4f				/* it did not ask */
	leaq	FRAME_trace(%rsp), %rsi
	movq	%r12, %rdx
	call	*WORK_func(%rdi)		/* func(work, trace, cookie) */
	movq	UNWIND_INFO_cache(%rbx), %rax
	testq	%rax, %rax
	jz	4f
	movl	(WORK_bit - WORK_list)(%r13), %ecx
	movl	$1, %edx
	shlq	%cl, %rdx
	orq	%rdx, UNWIND_CACHE_completed(%rax)
4:	movq	LIST_next(%r13), %r13
	jmp	1b
2:	movl	%r14d, %edi
	call	srcu_read_unlock
3:	addq	$FRAME_SIZE, %rsp
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	FRAME_END
	ret
.Lnot_pending:
	WARN_ONCE "process_unwind_deferred", "!pending"
	jmp	3b
WINDOW_END process_unwind_deferred
END process_unwind_deferred

# unwind_deferred_task_work - the task work.
#   In:       rdi = the task's UNWIND_INFO_work, which is the current task's
#   Clobbers: what a C call clobbers        Context: task work, IF = 1; may sleep
#   Linux:    kernel/unwind/deferred.c unwind_deferred_task_work()
FUNC unwind_deferred_task_work
WINDOW_BEGIN unwind_deferred_task_work
	movq	%gs:current_task, %rdi
	jmp	process_unwind_deferred
WINDOW_END unwind_deferred_task_work
END unwind_deferred_task_work

# unwind_deferred_request - ask for the user stack of this entry.
#   In:       rdi = unwind_work of the tracer, rsi = u64 *cookie
#   Out:      eax = 0: it will be called; 1, or the low half of the tracer's bit if an NMI was faster:
#             that was so already, or it was called in this entry; *cookie = the entry's cookie.
#             -EINVAL, *cookie = 0: kernel thread, exiting task, or no user registers.
#             -ESRCH from task_work_add (warns); the cookie is given out all the same
#   Clobbers: what a C call clobbers        Context: any, NMI too; kernel GS
#   Who sets PENDING queues the work, and sets it first. The same locked OR sets the tracer's bit;
#   x86 has none that gives the old value, so it is a loop. A cancelled work is not refused: Linux
#   puts its bit -1 into an unsigned variable, where `< 0` is never true, and shifts by 63. In an
#   NMI the work is queued with TWA_NMI_CURRENT, whose interrupt brings the task into the exit loop.
#   Linux:    kernel/unwind/deferred.c unwind_deferred_request()
FUNC unwind_deferred_request
WINDOW_BEGIN unwind_deferred_request
	FRAME_BEGIN
	pushq	%rbx				/* rbx = current */
	pushq	%r12				/* r12 = where the cookie goes */
	pushq	%r13				/* r13 = 1 << bit of the tracer */
	pushq	%r14				/* r14 = notify mode */
	movq	$0, (%rsi)
	movq	%gs:current_task, %rbx
	testl	$(PF_KTHREAD | PF_EXITING), TASK_flags(%rbx)
	jnz	.Lrefuse
	movq	TASK_stack(%rbx), %rax
	testb	$3, (THREAD_SIZE - PT_SIZE + PT_cs)(%rax)	/* user_mode(task_pt_regs(current)) */
	jz	.Lrefuse
	movl	$TWA_RESUME, %r14d
	testl	$NMI_MASK, %gs:preempt_count
	jz	1f
	movl	$TWA_NMI_CURRENT, %r14d
1:	movl	WORK_bit(%rdi), %ecx
	movl	$1, %r13d
	shlq	%cl, %r13
	pushfq
	cli
	movq	%rsi, %r12
	leaq	TASK_unwind_info(%rbx), %rdi
	call	get_cookie
	movq	%rax, (%r12)
	movq	(TASK_unwind_info + UNWIND_INFO_mask)(%rbx), %rax
	testq	%r13, %rax
	jnz	.Lasked_before
	movq	(TASK_unwind_info + UNWIND_INFO_mask)(%rbx), %rax
1:	movq	%rax, %rcx
	orq	%r13, %rcx
	orq	$UNWIND_PENDING, %rcx
	lock cmpxchgq %rcx, (TASK_unwind_info + UNWIND_INFO_mask)(%rbx)
	jne	1b
	testb	$UNWIND_PENDING, %al
	jnz	.Lqueued_before
	testq	%r13, %rax
	jnz	.Lnot_queued
	movq	%rbx, %rdi
	leaq	(TASK_unwind_info + UNWIND_INFO_work)(%rbx), %rsi
	movl	%r14d, %edx
	call	task_work_add
	testl	%eax, %eax
	jnz	.Lnot_added
.Lrequested:
	popfq
.Lrequest_out:
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	FRAME_END
	ret
.Lnot_queued:
	movq	%rax, %rbx			/* current is not needed any more */
	WARN_ONCE "unwind_deferred_request", "!(old & UNWIND_PENDING)"
	movq	%rbx, %rax
.Lqueued_before:
	andq	%r13, %rax			/* as an int: its low half */
	jmp	.Lrequested
.Lasked_before:
	movl	$1, %eax
	jmp	.Lrequested
.Lnot_added:
	movl	%eax, %r12d			/* the cookie has gone where it goes */
	WARN_ONCE "unwind_deferred_request", "task_work_add"
	movq	$0, (TASK_unwind_info + UNWIND_INFO_mask)(%rbx)
	movl	%r12d, %eax
	jmp	.Lrequested
.Lrefuse:
	movl	$-EINVAL, %eax
	jmp	.Lrequest_out
WINDOW_END unwind_deferred_request
END unwind_deferred_request

# unwind_deferred_task_exit - a task is exiting and still has its memory.
#   In:       rdi = task = current          Context: task, IF = 1, PF_EXITING
#   Clobbers: what a C call clobbers
#   Work that is pending runs now, and is taken off the list.
#   Linux:    kernel/unwind/deferred.c unwind_deferred_task_exit(), called before exit_mm()
FUNC unwind_deferred_task_exit
WINDOW_BEGIN unwind_deferred_task_exit
	btq	$UNWIND_PENDING_BIT, (TASK_unwind_info + UNWIND_INFO_mask)(%rdi)
	jnc	1f
	FRAME_BEGIN
	pushq	%rbx				/* rbx = task */
	movq	%rdi, %rbx
	call	process_unwind_deferred
	movq	%rbx, %rdi
	leaq	(TASK_unwind_info + UNWIND_INFO_work)(%rbx), %rsi
	call	task_work_cancel
	popq	%rbx
	FRAME_END
1:	ret
WINDOW_END unwind_deferred_task_exit
END unwind_deferred_task_exit

# unwind_reset_info - forget this entry's cookie and walk, at the exit to user mode.
#   Clobbers: rax, rcx, rdx                 Context: IF = 0, after the exit loop; kernel GS
#   If PENDING is set the work is still to run for this entry, and all is left as it is. One
#   condition in the common case: who fills the cache sets USED.
#   Linux:    include/linux/unwind_deferred.h unwind_reset_info()
FUNC unwind_reset_info
WINDOW_BEGIN unwind_reset_info
	movq	%gs:current_task, %rcx
	movq	(TASK_unwind_info + UNWIND_INFO_mask)(%rcx), %rax
	testq	%rax, %rax
	jz	3f
1:	btq	$UNWIND_PENDING_BIT, %rax
	jc	3f
	xorl	%edx, %edx
	lock cmpxchgq %rdx, (TASK_unwind_info + UNWIND_INFO_mask)(%rcx)
	jne	1b
	movq	$0, (TASK_unwind_info + UNWIND_INFO_id)(%rcx)
	movq	(TASK_unwind_info + UNWIND_INFO_cache)(%rcx), %rax
	testq	%rax, %rax
	jz	3f
	movq	$0, UNWIND_CACHE_nr_entries(%rax)
	movq	$0, UNWIND_CACHE_completed(%rax)
3:	ret
WINDOW_END unwind_reset_info
END unwind_reset_info

# unwind_deferred_init - register a tracer.
#   In:       rdi = work, rsi = func(work, trace, cookie)
#   Out:      eax = 0, WORK_bit = the lowest free bit; or -EBUSY: all bits are given away
#   Clobbers: what a C call clobbers        Context: task; may sleep
#   Linux:    kernel/unwind/deferred.c unwind_deferred_init()
FUNC unwind_deferred_init
WINDOW_BEGIN unwind_deferred_init
	FRAME_BEGIN
	pushq	%rbx				/* rbx = work */
	pushq	%r12				/* r12 = func */
	movq	%rdi, %rbx
	movq	%rsi, %r12
	movq	$0, WORK_list + LIST_next(%rbx)
	movq	$0, WORK_list + LIST_prev(%rbx)
	movq	$0, WORK_func(%rbx)
	movl	$0, WORK_bit(%rbx)
	movq	$callback_mutex, %rdi
	call	mutex_lock
	movq	unwind_mask(%rip), %rcx
	notq	%rcx
	bsfq	%rcx, %rcx			/* ZF: no bit is free */
	jz	.Lno_bit
	movl	%ecx, WORK_bit(%rbx)
	btsq	%rcx, unwind_mask(%rip)
	leaq	WORK_list(%rbx), %rdx
	movq	callbacks + LIST_next(%rip), %rax	/* rax = the newest so far */
	movq	%rdx, LIST_prev(%rax)
	movq	%rax, LIST_next(%rdx)
	movq	$callbacks, LIST_prev(%rdx)
	movq	%rdx, callbacks + LIST_next(%rip)
	movq	%r12, WORK_func(%rbx)
	xorl	%r12d, %r12d			/* r12 = result */
.Linit_out:
	movq	$callback_mutex, %rdi
	call	mutex_unlock
	movl	%r12d, %eax
	popq	%r12
	popq	%rbx
	FRAME_END
	ret
.Lno_bit:
	movl	$-EBUSY, %r12d
	jmp	.Linit_out
WINDOW_END unwind_deferred_init
END unwind_deferred_init

# unwind_deferred_cancel - take a tracer off the list; it is not called after the return.
#   In:       rdi = work, or 0: nothing to do
#   Clobbers: what a C call clobbers        Context: task, not in a callback; may sleep
#   Who is in a callback of the work is waited for. Then the bit is cleared in every task that has it
#   set, since the next tracer may get it.
#   Linux:    kernel/unwind/deferred.c unwind_deferred_cancel()
FUNC unwind_deferred_cancel
WINDOW_BEGIN unwind_deferred_cancel
	testq	%rdi, %rdi
	jz	1f
	FRAME_BEGIN
	pushq	%rbx				/* rbx = work */
	pushq	%r12				/* r12 = its bit */
	movq	%rdi, %rbx
	movslq	WORK_bit(%rbx), %r12
	movl	$UNWIND_RESERVED_BITS, %eax
	btq	%r12, %rax
	jc	.Lreserved_bit
	movq	$callback_mutex, %rdi
	call	mutex_lock
	movq	WORK_list + LIST_next(%rbx), %rax
	movq	WORK_list + LIST_prev(%rbx), %rdx
	movq	%rax, LIST_next(%rdx)		/* next of the work stays: somebody may stand on it */
	movq	%rdx, LIST_prev(%rax)
	movl	$-1, WORK_bit(%rbx)		/* no more requests, no more callbacks */
	btrq	%r12, unwind_mask(%rip)
	call	synchronize_srcu
	movq	$unwind_clear_bit, %rdi
	movq	%r12, %rsi
	call	for_each_task
	movq	$callback_mutex, %rdi
	call	mutex_unlock
.Lcancel_out:
	popq	%r12
	popq	%rbx
	FRAME_END
1:	ret
.Lreserved_bit:
	WARN_ONCE "unwind_deferred_cancel", "reserved bit"
	jmp	.Lcancel_out
WINDOW_END unwind_deferred_cancel
END unwind_deferred_cancel

# unwind_clear_bit - a tracer is gone: this task has not asked for it, and not called it.
#   In:       rdi = task, rsi = bit         Clobbers: rax
FUNC unwind_clear_bit
	lock btrq %rsi, (TASK_unwind_info + UNWIND_INFO_mask)(%rdi)
	movq	(TASK_unwind_info + UNWIND_INFO_cache)(%rdi), %rax
	testq	%rax, %rax
	jz	1f
	lock btrq %rsi, UNWIND_CACHE_completed(%rax)
1:	ret
END unwind_clear_bit

# unwind_task_init - the state of a new task.
#   In:       rdi = task                    Clobbers: none
#   Linux:    kernel/unwind/deferred.c unwind_task_init()
FUNC unwind_task_init
	movq	$0, (TASK_unwind_info + UNWIND_INFO_cache)(%rdi)
	movq	$0, (TASK_unwind_info + UNWIND_INFO_work + CALLBACK_next)(%rdi)
	movq	$unwind_deferred_task_work, (TASK_unwind_info + UNWIND_INFO_work + CALLBACK_func)(%rdi)
	movq	$0, (TASK_unwind_info + UNWIND_INFO_mask)(%rdi)
	movq	$0, (TASK_unwind_info + UNWIND_INFO_id)(%rdi)
	ret
END unwind_task_init

# unwind_task_free - a task is about to be freed.
#   In:       rdi = task, off every CPU     Clobbers: what a C call clobbers
#   Linux:    kernel/unwind/deferred.c unwind_task_free()
FUNC unwind_task_free
	FRAME_BEGIN
	pushq	%rbx				/* rbx = task */
	movq	%rdi, %rbx
	movq	(TASK_unwind_info + UNWIND_INFO_cache)(%rbx), %rdi
	call	kfree
	movq	%rbx, %rdi
	leaq	(TASK_unwind_info + UNWIND_INFO_work)(%rbx), %rsi
	call	task_work_cancel
	popq	%rbx
	FRAME_END
	ret
END unwind_task_free
