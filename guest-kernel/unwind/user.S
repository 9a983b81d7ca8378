/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frame-pointer walk of the current task's user stack. The same for all versions of the
 * mechanism.
 */
#include "asm.h"

/* A frame as `push %rbp; mov %rsp, %rbp` leaves it, seen from the CFA, the rsp before the call. */
#define USER_FRAME_SIZE		16	/* CFA = rbp + this */
#define USER_FRAME_ra		-8	/* return address */
#define USER_FRAME_fp		-16	/* caller's rbp */
#define USER_WORD		8

	.text

# unwind_user - walk the user stack of the current task by frame pointers.
#   In:       rdi = trace: entries has room for esi addresses; esi = max
#   Out:      eax = 0, TRACE_nr = addresses stored; or -EINVAL if max = 0
#   Clobbers: rcx, rdx, r8, r9, r10, r11
#   Context:  task; may fault user pages in. With IF = 0 a page that is not there ends the walk.
#   Entry 0 is the user rip. A kernel thread or a task that never was in user mode gives none. After
#   each stored address the walk stops, in this order, if
#     (1) max is reached   (2) rbp < rsp            (3) CFA <= rsp, also by wrap-around
#     (4) CFA not aligned  (5) the return address   (6) the saved rbp cannot be read.
#   rsp := CFA grows at every step, so the walk ends. A return address is not judged.
#   Linux:    kernel/unwind/user.c unwind_user(), unwind_user_next()
FUNC unwind_user
WINDOW_BEGIN unwind_user
	movq	$0, TRACE_nr(%rdi)
	testl	%esi, %esi
	jz	.Leinval
	movq	%gs:current_task, %rax
	testl	$PF_KTHREAD, TASK_flags(%rax)
	jnz	.Lwalked
	movq	TASK_stack(%rax), %rax
	addq	$(THREAD_SIZE - PT_SIZE), %rax	/* rax = task_pt_regs(current) */
	testb	$3, PT_cs(%rax)
	jz	.Lwalked
	movq	PT_ip(%rax), %r8		/* r8 = ip */
	movq	PT_sp(%rax), %r9		/* r9 = sp */
	movq	PT_bp(%rax), %r10		/* r10 = fp */
	movq	TRACE_entries(%rdi), %r11
	xorl	%ecx, %ecx			/* ecx = nr */
.Lnext_frame:
	movq	%r8, (%r11,%rcx,8)
	incl	%ecx
	movq	%rcx, TRACE_nr(%rdi)
	cmpl	%esi, %ecx			/* (1) */
	jae	.Lwalked
	cmpq	%r9, %r10			/* (2) */
	jb	.Lwalked
	leaq	USER_FRAME_SIZE(%r10), %rdx	/* rdx = CFA */
	cmpq	%r9, %rdx			/* (3) */
	jbe	.Lwalked
	testb	$(USER_WORD - 1), %dl		/* (4) */
	jnz	.Lwalked
	movabsq	$(TASK_SIZE_MAX - USER_WORD), %rax
	leaq	USER_FRAME_ra(%rdx), %r8
	cmpq	%rax, %r8			/* (5) a kernel address, or ... */
	ja	.Lwalked
.Lread_ra:
	movq	(%r8), %r8			/* ... no page */
	EXTABLE	.Lread_ra, .Lwalked
	leaq	USER_FRAME_fp(%rdx), %r10
	cmpq	%rax, %r10			/* (6) likewise */
	ja	.Lwalked
.Lread_fp:
	movq	(%r10), %r10
	EXTABLE	.Lread_fp, .Lwalked
	movq	%rdx, %r9			/* sp = CFA */
	jmp	.Lnext_frame
.Lwalked:
	xorl	%eax, %eax
	ret
.Leinval:
	movl	$-EINVAL, %eax
	ret
WINDOW_END unwind_user
END unwind_user
