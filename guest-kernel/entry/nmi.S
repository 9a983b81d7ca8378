/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Non-maskable interrupts.
 *
 * The scheme: the CPU blocks further NMIs from delivery until the next IRET (SDM 3A, "Handling
 * Multiple NMIs", 6.7.1). From its first instruction to its own final IRET this path executes no
 * other IRET, so an NMI never nests and the one IST stack is never entered twice. It holds because
 *   1. nothing on the path faults: all kernel memory is mapped at boot and never unmapped, and no
 *      user address is touched (a user walk needs task context; get_user in NMI does not happen);
 *   2. a warning is a call, not a trap; there are no breakpoints in the kernel;
 *   3. interrupts stay off, so no handler returns by IRET inside;
 *   4. should an exception happen all the same, do_vector panics and never returns from it.
 * Linux cannot promise 1 and 2 and so needs its nested-NMI stack frames; this kernel can, and does
 * without. Between the final IRET and the next NMI the stack is free, because the frame that IRET
 * pops is read before NMIs are unblocked.
 *
 * GS: from user mode it is the user's. From the kernel it is either's, since the interrupted
 * instruction may lie before an entry's swapgs or after an exit's: it is read, not inferred.
 * rsp: the user's at CPL 0 in two windows (syscall_entry, syscall_exit); hence the IST stack.
 */
#include "entry.h"

/* The frame that the CPU pushed, seen from a register that points at it. */
#define FRAME_ip	0
#define FRAME_cs	8
#define FRAME_flags	16
#define FRAME_sp	24
#define FRAME_ss	32

	.text

# asm_exc_nmi - vector 2.
#   In:       the CPU's five words on the IST stack; NMIs blocked, IF = 0; GS anybody's
#   Out:      everything as it was
#   From user mode: moves to the task's kernel stack, so that the NMI's registers are
#   task_pt_regs(current); returns straight, without exit work and without unwind_reset_info, for
#   those run with interrupts on. From the kernel: stays on the IST stack.
#   Linux:    arch/x86/entry/entry_64.S asm_exc_nmi
FUNC asm_exc_nmi
WINDOW_BEGIN nmi
	cld
	testb	$3, FRAME_cs(%rsp)
	jz	.Lnmi_from_kernel

	swapgs
	pushq	%rdx			/* below the CPU's frame; becomes PT_dx */
	leaq	8(%rsp), %rdx		/* rdx = the CPU's frame, past the word just pushed */
	movq	%gs:kernel_stack, %rsp
	pushq	FRAME_ss(%rdx)		/* PT_ss */
	pushq	FRAME_sp(%rdx)		/* PT_sp */
	pushq	FRAME_flags(%rdx)	/* PT_flags */
	pushq	FRAME_cs(%rdx)		/* PT_cs */
	pushq	FRAME_ip(%rdx)		/* PT_ip */
	pushq	$-1			/* PT_orig_ax: no system call */
	PUSH_AND_CLEAR_REGS rdx=-8(%rdx)
	movq	%rsp, %rdi
	call	do_nmi
	POP_REGS
	swapgs
	IRET_FROM_ORIG_AX

.Lnmi_from_kernel:
	pushq	$-1			/* PT_orig_ax: no system call */
	PUSH_AND_CLEAR_REGS
	PARANOID_GS
	movq	%rsp, %rdi
	LINK_INTERRUPTED_FRAME
	call	do_nmi
	UNLINK_INTERRUPTED_FRAME
	PARANOID_GS_RESTORE
	POP_REGS
	IRET_FROM_ORIG_AX
WINDOW_END nmi
END asm_exc_nmi
