/* SPDX-License-Identifier: GPL-2.0-only */
/* Building and taking down a struct pt_regs. */
#ifndef ENTRY_H
#define ENTRY_H

#include "asm.h"

/*
 * PUSH_AND_CLEAR_REGS: complete the pt_regs whose words from orig_ax up are on the stack,
 * then zero every register that a user filled, so that nothing of his steers the kernel.
 * rbp = 0 also ends the kernel's own frame walk; the user's lives in PT_bp from here on.
 * Linux: arch/x86/entry/calling.h
 */
.macro PUSH_AND_CLEAR_REGS rax=%rax rdx=%rdx
	pushq	%rdi		/* PT_di */
	PUSH_AND_CLEAR_REGS_BUT_DI \rax \rdx
.endm

/* The same where PT_di is on the stack already and rdi carries something of the kernel's. */
.macro PUSH_AND_CLEAR_REGS_BUT_DI rax=%rax rdx=%rdx
	pushq	%rsi		/* PT_si */
	pushq	\rdx		/* PT_dx */
	pushq	%rcx		/* PT_cx */
	pushq	\rax		/* PT_ax */
	pushq	%r8		/* PT_r8 */
	pushq	%r9		/* PT_r9 */
	pushq	%r10		/* PT_r10 */
	pushq	%r11		/* PT_r11 */
	pushq	%rbx		/* PT_bx */
	pushq	%rbp		/* PT_bp */
	pushq	%r12		/* PT_r12 */
	pushq	%r13		/* PT_r13 */
	pushq	%r14		/* PT_r14 */
	pushq	%r15		/* PT_r15 */
	xorl	%esi, %esi
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
.endm

/* POP_REGS: the inverse; leaves rsp at PT_orig_ax. */
.macro POP_REGS
	popq	%r15		/* PT_r15 */
	popq	%r14		/* PT_r14 */
	popq	%r13		/* PT_r13 */
	popq	%r12		/* PT_r12 */
	popq	%rbp		/* PT_bp */
	popq	%rbx		/* PT_bx */
	popq	%r11		/* PT_r11 */
	popq	%r10		/* PT_r10 */
	popq	%r9		/* PT_r9 */
	popq	%r8		/* PT_r8 */
	popq	%rax		/* PT_ax */
	popq	%rcx		/* PT_cx */
	popq	%rdx		/* PT_dx */
	popq	%rsi		/* PT_si */
	popq	%rdi		/* PT_di */
.endm

/* Drop PT_orig_ax and return by the five words that the CPU pushed. */
.macro IRET_FROM_ORIG_AX
	addq	$(PT_ip - PT_orig_ax), %rsp
	iretq
.endm

/*
 * Two words {saved rbp, interrupted rip} that make an interrupted kernel routine look
 * like the caller of the handler, so that a kernel call chain passes through the entry.
 * rsp = pt_regs before; rbp = the frame after.
 */
.macro LINK_INTERRUPTED_FRAME
	movq	PT_bp(%rsp), %rbp
	pushq	PT_ip(%rsp)	/* return address: the interrupted instruction */
	pushq	%rbp		/* saved frame pointer: the interrupted routine's */
	movq	%rsp, %rbp
.endm

#define LINKED_FRAME_SIZE 16	/* the two words of LINK_INTERRUPTED_FRAME */

.macro UNLINK_INTERRUPTED_FRAME
	addq	$LINKED_FRAME_SIZE, %rsp
.endm

/*
 * PARANOID_GS: make GS the kernel's, whichever it is; ebx = 1 if PARANOID_GS_RESTORE must swap
 * back. The kernel's base lies in the upper half and has its top bit set; a user cannot set such a
 * base (arch_prctl checks, CR4.FSGSBASE is off). Clobbers: eax, ecx, edx.
 * Linux: arch/x86/entry/entry_64.S paranoid_entry
 */
.macro PARANOID_GS
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	xorl	%ebx, %ebx
	testl	%edx, %edx
	js	95f
	swapgs
	incl	%ebx
95:
.endm

.macro PARANOID_GS_RESTORE
	testl	%ebx, %ebx
	jz	95f
	swapgs
95:
.endm

#endif
