/* SPDX-License-Identifier: GPL-2.0-only */
/* Macros for every assembly file. AT&T syntax, System V calling convention. */
#ifndef ASM_H
#define ASM_H

#include "layout.h"

/* A routine: global, typed and sized, so that a listing and a debugger know its extent. */
.macro FUNC name
	.balign 16
	.globl	\name
	.type	\name, @function
\name:
.endm

.macro END name
	.size	\name, . - \name
.endm

/* A datum, likewise. */
.macro OBJECT name, align=8
	.balign	\align
	.globl	\name
	.type	\name, @object
\name:
.endm

/*
 * A race window [name.begin, name.end): every instruction boundary in it is one where a
 * host may place an NMI.
 */
.macro WINDOW_BEGIN name
	.globl	\name\().begin
\name\().begin:
.endm

.macro WINDOW_END name
	.globl	\name\().end
\name\().end:
.endm

/* A frame that the kernel's own frame-pointer walk sees. */
.macro FRAME_BEGIN
	pushq	%rbp
	movq	%rsp, %rbp
.endm

.macro FRAME_END
	popq	%rbp
.endm

/* A fault at \fault (page fault of a user address) goes on at \fixup instead. */
.macro EXTABLE fault, fixup
	.pushsection .extable, "a"
	.quad	\fault, \fixup
	.popsection
.endm

/*
 * WARN_ONCE where, what: report the first time, then never again. A call and not a
 * trap, because the NMI path must not execute an IRET (entry/nmi.S).
 * Clobbers what a C call clobbers.
 */
.macro WARN_ONCE where, what
	.pushsection .data
98:	.byte	0
	.popsection
	.pushsection .rodata
96:	.asciz	"\where"
97:	.asciz	"\what"
	.popsection
	xorl	%eax, %eax
	incb	%al
	xchgb	%al, 98b(%rip)
	testb	%al, %al
	jnz	99f
	leaq	96b(%rip), %rdi
	leaq	97b(%rip), %rsi
	call	warn
99:
.endm

#endif
