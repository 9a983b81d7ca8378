/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sleepable RCU, one domain of it: the read side. Readers may sleep and may end on another CPU than
 * they began on, so each CPU counts beginnings and ends apart and only the sums mean anything. There
 * are two phases; a reader ends in the phase in which it began. Who waits: unwind/srcu.c.
 * What it does not have of Linux's: callbacks, expedited waits, nesting of waits; the caller of
 * synchronize_srcu holds a mutex.
 * Linux: kernel/rcu/srcutree.c
 */
#include "asm.h"

	.data
OBJECT srcu_phase, 4				# u32; its low bit is the phase in which readers begin
	.long	0
END srcu_phase

	.section .percpu, "aw"
OBJECT srcu_begun				# u64[2], by phase: readers that began here
	.quad	0, 0
END srcu_begun

OBJECT srcu_ended				# u64[2], by phase: readers that ended here
	.quad	0, 0
END srcu_ended

	.text

# srcu_read_lock - begin to read.
#   Out:      eax = the phase, for srcu_read_unlock
#   Clobbers: none                          Context: task; may sleep before srcu_read_unlock
#   The locked increment is also the barrier between the count and what is read. A phase that
#   flips between the two instructions does no harm: synchronize_srcu waits for both.
#   Linux:    kernel/rcu/srcutree.c __srcu_read_lock()
FUNC srcu_read_lock
WINDOW_BEGIN srcu_read_lock
	movl	srcu_phase(%rip), %eax
	andl	$1, %eax
	lock incq %gs:srcu_begun(,%rax,8)
	ret
WINDOW_END srcu_read_lock
END srcu_read_lock

# srcu_read_unlock - end to read.
#   In:       edi = what srcu_read_lock gave
#   Clobbers: none                          Context: task
#   Linux:    kernel/rcu/srcutree.c __srcu_read_unlock()
FUNC srcu_read_unlock
WINDOW_BEGIN srcu_read_unlock
	movl	%edi, %edi			/* the upper half may hold anything */
	lock incq %gs:srcu_ended(,%rdi,8)
	ret
WINDOW_END srcu_read_unlock
END srcu_read_unlock
