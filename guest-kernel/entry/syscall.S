/* SPDX-License-Identifier: GPL-2.0-only */
#include "entry.h"

	.text

# entry_SYSCALL_64 - where SYSCALL lands.
#   In:       rax = number; rdi, rsi, rdx, r10, r8, r9 = arguments; rcx = user rip, r11 = user rflags;
#             rsp and GS still the user's; IF = DF = TF = AC = 0 by SYSCALL_MASK
#   Out:      user mode, rax = result, rcx and r11 lost, all else kept
#   Until pt_regs is complete task_pt_regs(current) holds words of the previous entry.
#   Linux:    arch/x86/entry/entry_64.S entry_SYSCALL_64; SDM 2B, SYSCALL
FUNC entry_SYSCALL_64
WINDOW_BEGIN syscall_entry
	swapgs
	movq	%rsp, %gs:syscall_rsp
	movq	%gs:kernel_stack, %rsp
	pushq	$USER_DS		/* PT_ss */
	pushq	%gs:syscall_rsp		/* PT_sp */
	pushq	%r11			/* PT_flags */
	pushq	$USER_CS		/* PT_cs */
	pushq	%rcx			/* PT_ip */
	pushq	%rax			/* PT_orig_ax */
	PUSH_AND_CLEAR_REGS rax=$-ENOSYS
WINDOW_END syscall_entry
	sti
	movq	%rsp, %rdi
	call	trace_syscall_enter
	movl	PT_orig_ax(%rsp), %eax	/* the number is an int, as on Linux */
	cmpl	$NR_SYSCALLS, %eax
	jae	1f
	movq	sys_call_table(,%rax,8), %rax
	testq	%rax, %rax
	jz	1f			/* no such call: PT_ax is -ENOSYS already */
	movq	PT_di(%rsp), %rdi
	movq	PT_si(%rsp), %rsi
	movq	PT_dx(%rsp), %rdx
	movq	PT_r10(%rsp), %rcx
	movq	PT_r8(%rsp), %r8
	movq	PT_r9(%rsp), %r9
	call	*%rax
	movq	%rax, PT_ax(%rsp)
1:	jmp	syscall_leave
END entry_SYSCALL_64

# ret_from_fork - the first instruction of every new task, reached by switch_to's ret.
#   In:       rbx = function of a kernel thread or 0, r12 = its argument; rsp = pt_regs; sched_lock held
#   A kernel thread whose function returns has become a user program: pt_regs says where it starts.
#   Linux:    arch/x86/entry/entry_64.S ret_from_fork_asm
FUNC ret_from_fork
	xorl	%ebp, %ebp		/* no caller */
	call	schedule_tail
	testq	%rbx, %rbx
	jz	syscall_leave		/* the child of a clone returns from that call */
	movq	%r12, %rdi
	call	*%rbx
	jmp	syscall_exit
END ret_from_fork

# syscall_leave - a system call is done: report it, then return to the user.
#   In:       rsp = pt_regs with the result in PT_ax; IF = 1; kernel GS
FUNC syscall_leave
	movq	%rsp, %rdi
	call	trace_syscall_leave
	/* fall through */
END syscall_leave

# syscall_exit - exit work, then SYSRET where it is legal and IRET where it is not.
#   In:       rsp = pt_regs; kernel GS
#   SYSRET takes rip from rcx and rflags from r11 and cannot set RF or TF. It faults in the
#   kernel on a rip that is not canonical; no user rip is at or above TASK_SIZE_MAX.
#   Linux:    arch/x86/entry/entry_64.S, arch/x86/entry/syscall_64.c do_syscall_64()
FUNC syscall_exit
	cli
	movq	%gs:current_task, %rax
WINDOW_BEGIN syscall_exit
	movl	TASK_ti_flags(%rax), %edi
	testl	$_TIF_EXIT_WORK, %edi
	jnz	.Lsyscall_exit_work
.Lsyscall_exit_clean:
	call	unwind_reset_info
	movq	PT_ip(%rsp), %rcx
	cmpq	%rcx, PT_cx(%rsp)
	jne	.Lreturn_by_iret
	movq	PT_flags(%rsp), %r11
	cmpq	%r11, PT_r11(%rsp)
	jne	.Lreturn_by_iret
	cmpq	$USER_CS, PT_cs(%rsp)
	jne	.Lreturn_by_iret
	cmpq	$USER_DS, PT_ss(%rsp)
	jne	.Lreturn_by_iret
	testl	$(X86_EFLAGS_RF | X86_EFLAGS_TF), %r11d
	jnz	.Lreturn_by_iret
	movabsq	$TASK_SIZE_MAX, %rax
	cmpq	%rax, %rcx
	jae	.Lreturn_by_iret
	POP_REGS
	/* The user's stack at CPL 0: an NMI here has its own, by IST. */
	movq	(PT_sp - PT_orig_ax)(%rsp), %rsp
	swapgs
	sysretq
.Lreturn_by_iret:
	POP_REGS
	swapgs
	IRET_FROM_ORIG_AX
WINDOW_END syscall_exit
.Lsyscall_exit_work:
	call	exit_to_user_loop
	jmp	.Lsyscall_exit_clean
END syscall_exit
