/* SPDX-License-Identifier: GPL-2.0-only */
/* The only instructions, beside unwind_user's, that touch user memory. */
#include "asm.h"

	.text

# Jump to \bad unless [\address, \address + \size) lies in user space. Clobbers rax.
.macro CHECK_USER_RANGE address, size, bad
	movq	\address, %rax
	addq	\size, %rax
	jc	\bad
	pushq	%rcx
	movabsq	$TASK_SIZE_MAX, %rcx
	cmpq	%rcx, %rax
	popq	%rcx
	ja	\bad
.endm

# copy_from_user, copy_to_user - copy between kernel and user memory.
#   In:       rdi = to, rsi = from, rdx = bytes
#   Out:      rax = 0, or -EFAULT: not user space, or no page; the bytes before it are copied
#   Clobbers: rcx, rdx, rsi, rdi            Context: task; with IF = 0 nothing is paged in
FUNC copy_from_user
	CHECK_USER_RANGE %rsi, %rdx, .Lcopy_fault
	jmp	.Lcopy
END copy_from_user

FUNC copy_to_user
	CHECK_USER_RANGE %rdi, %rdx, .Lcopy_fault
.Lcopy:
	movq	%rdx, %rcx

.Lcopy_access:
	rep movsb
	EXTABLE	.Lcopy_access, .Lcopy_fault
	xorl	%eax, %eax
	ret
.Lcopy_fault:
	movq	$-EFAULT, %rax
	ret
END copy_to_user

# get_user_u32 - read one word of user memory, in one access.
#   In:       rdi = where to put it, rsi = from
#   Out:      rax = 0 or -EFAULT            Clobbers: rcx
FUNC get_user_u32
	CHECK_USER_RANGE %rsi, $4, .Lget_fault

.Lget_access:
	movl	(%rsi), %ecx
	EXTABLE	.Lget_access, .Lget_fault
	movl	%ecx, (%rdi)
	xorl	%eax, %eax
	ret
.Lget_fault:
	movq	$-EFAULT, %rax
	ret
END get_user_u32
