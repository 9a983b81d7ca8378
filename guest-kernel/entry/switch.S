/* SPDX-License-Identifier: GPL-2.0-only */
#include "asm.h"

	.text

# switch_to - leave one task, go on in another.
#   In:       rdi = prev = current, rsi = next; sched_lock held, IF = 0
#   Out:      returns in next, where it once called switch_to (a new task: in ret_from_fork)
#   Clobbers: all but callee-saved
#   The page tables, the stack, `current` and the stack that entries will use change one after the
#   other; an NMI between them sees either task as current, each with a valid pt_regs.
#   Linux:    arch/x86/entry/entry_64.S __switch_to_asm, arch/x86/kernel/process_64.c __switch_to()
FUNC switch_to
WINDOW_BEGIN switch_to
	pushq	%rbp			/* SWITCH_bp */
	pushq	%rbx			/* SWITCH_bx */
	pushq	%r12			/* SWITCH_r12 */
	pushq	%r13			/* SWITCH_r13 */
	pushq	%r14			/* SWITCH_r14 */
	pushq	%r15			/* SWITCH_r15 */
	testl	$PF_KTHREAD, TASK_flags(%rdi)
	jnz	1f
	fxsave64 TASK_fpu(%rdi)
1:	movq	TASK_cr3(%rsi), %rax
	cmpq	%rax, TASK_cr3(%rdi)
	je	2f
	movq	%rax, %cr3
2:	movq	%rsp, TASK_rsp(%rdi)
	movq	TASK_rsp(%rsi), %rsp
	movq	%rsi, %gs:current_task
	movl	$0, TASK_on_cpu(%rdi)
	movl	$1, TASK_on_cpu(%rsi)
	movq	TASK_stack(%rsi), %rax
	addq	$THREAD_SIZE, %rax
	movq	%rax, %gs:kernel_stack
	movq	%rax, %gs:cpu_tss + TSS_sp0
	testl	$PF_KTHREAD, TASK_flags(%rsi)
	jnz	3f
	fxrstor64 TASK_fpu(%rsi)
	movl	$MSR_FS_BASE, %ecx
	movl	TASK_fs_base(%rsi), %eax
	movl	TASK_fs_base + 4(%rsi), %edx
	wrmsr
	movl	$MSR_KERNEL_GS_BASE, %ecx	/* the user's, while the kernel runs */
	movl	TASK_gs_base(%rsi), %eax
	movl	TASK_gs_base + 4(%rsi), %edx
	wrmsr
3:	popq	%r15			/* SWITCH_r15 */
	popq	%r14			/* SWITCH_r14 */
	popq	%r13			/* SWITCH_r13 */
	popq	%r12			/* SWITCH_r12 */
	popq	%rbx			/* SWITCH_bx */
	popq	%rbp			/* SWITCH_bp */
	ret
WINDOW_END switch_to
END switch_to
