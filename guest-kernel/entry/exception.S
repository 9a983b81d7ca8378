/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions and interrupts: one stub per vector from the table below, one common path. */
#include "entry.h"

/*
 * A stub leaves PT_orig_ax on the stack (the error code, -1 where the CPU gives none) and its
 * vector above it, then joins the common path. \ring = 3 lets user code say `int vector`.
 */
.macro VECTOR number, name, has_error=0, path=common_entry, ist=0, ring=0
FUNC \name
	.if	\has_error == 0
	pushq	$-1			/* PT_orig_ax */
	.endif
	pushq	$\number		/* taken off again as PT_di is pushed */
	jmp	\path
END \name
	.pushsection .rodata.idt, "a"
	.quad	\name
	.byte	\number, \ist, \ring, 0, 0, 0, 0, 0
	.popsection
.endm

	.pushsection .rodata.idt, "a"
	.balign	8
	.globl	idt_entries
idt_entries:
	.popsection

	.text
	/*	number	name			error code, path, IST, ring */
	VECTOR	0,	asm_divide_error
	VECTOR	1,	asm_debug
	VECTOR	3,	asm_int3,		ring=3
	VECTOR	4,	asm_overflow,		ring=3
	VECTOR	5,	asm_bounds
	VECTOR	6,	asm_invalid_op
	VECTOR	7,	asm_device_not_available
	VECTOR	8,	asm_double_fault,	has_error=1, path=fatal_entry, ist=IST_FATAL
	VECTOR	10,	asm_invalid_tss,	has_error=1
	VECTOR	11,	asm_segment_not_present, has_error=1
	VECTOR	12,	asm_stack_segment,	has_error=1
	VECTOR	13,	asm_general_protection, has_error=1
	VECTOR	14,	asm_page_fault,		has_error=1
	VECTOR	16,	asm_coprocessor_error
	VECTOR	17,	asm_alignment_check,	has_error=1
	VECTOR	18,	asm_machine_check,	path=fatal_entry, ist=IST_FATAL
	VECTOR	19,	asm_simd_error
	VECTOR	LOCAL_TIMER_VECTOR, asm_local_timer
	VECTOR	TASK_WORK_VECTOR, asm_task_work
	VECTOR	IRQ_WORK_VECTOR, asm_irq_work
	VECTOR	TLB_FLUSH_VECTOR, asm_tlb_flush
	VECTOR	RESCHEDULE_VECTOR, asm_reschedule
	VECTOR	SPURIOUS_VECTOR, asm_spurious

	.pushsection .rodata.idt, "a"
	.quad	asm_exc_nmi
	.byte	NMI_VECTOR, IST_NMI, 0, 0, 0, 0, 0, 0
	.globl	idt_entries_end
idt_entries_end:
	.popsection

# common_entry - every exception and interrupt but NMI and the fatal ones.
#   In:       stack: vector, PT_orig_ax, then the five words of the CPU; IF = 0 (interrupt gates)
#   From user mode the CPU took TSS.sp0, which is the top of the task's kernel stack, so pt_regs is
#   already where task_pt_regs(current) looks. From the kernel GS is the kernel's: between
#   an entry's swapgs and the exit's IF = 0 and nothing faults; IRET cannot fault, since no user
#   rip, cs or ss in a pt_regs comes from anywhere but the CPU or the ELF loader, which checks it.
#   Linux:    arch/x86/entry/entry_64.S idtentry, error_entry; kernel/entry/common.c
FUNC common_entry
	testb	$3, (16 + PT_cs - PT_ip)(%rsp)	/* 16: the vector and PT_orig_ax below PT_ip */
	jz	.Lfrom_kernel
	swapgs
	xchgq	%rdi, (%rsp)		/* PT_di; rdi = vector */
	PUSH_AND_CLEAR_REGS_BUT_DI
	cld
	movl	%edi, %esi		/* vector */
	movq	%rsp, %rdi
	call	do_vector
	cli
	movq	%gs:current_task, %rax
WINDOW_BEGIN irq_exit_to_user
	movl	TASK_ti_flags(%rax), %edi
	testl	$_TIF_EXIT_WORK, %edi
	jnz	.Lirq_exit_work
.Lirq_exit_clean:
	call	unwind_reset_info
	POP_REGS
	swapgs
	IRET_FROM_ORIG_AX
WINDOW_END irq_exit_to_user
.Lirq_exit_work:
	call	exit_to_user_loop
	jmp	.Lirq_exit_clean

.Lfrom_kernel:
	xchgq	%rdi, (%rsp)		/* PT_di; rdi = vector */
	PUSH_AND_CLEAR_REGS_BUT_DI
	cld
	movl	%edi, %esi		/* vector */
	movq	%rsp, %rdi
	LINK_INTERRUPTED_FRAME
	call	do_vector
	UNLINK_INTERRUPTED_FRAME
	cli
	POP_REGS
	IRET_FROM_ORIG_AX
END common_entry

# fatal_entry - double fault and machine check: report and stop. GS may be anybody's.
#   In:       as common_entry, on the IST_FATAL stack
FUNC fatal_entry
	xchgq	%rdi, (%rsp)		/* PT_di; rdi = vector */
	PUSH_AND_CLEAR_REGS_BUT_DI
	cld
	PARANOID_GS
	movl	%edi, %esi		/* vector */
	movq	%rsp, %rdi
	call	die
	ud2
END fatal_entry
