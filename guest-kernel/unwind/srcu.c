// SPDX-License-Identifier: GPL-2.0-only
/* Sleepable RCU: the side that waits. The read side and the idea: unwind/srcu.S. */
#include "sched.h"

extern u32 srcu_phase;
extern u64 __seg_gs srcu_begun[2], srcu_ended[2];

void synchronize_srcu(void);

/* Ends are summed first: a reader that ends meanwhile is at worst taken for one that still reads. */
static bool has_readers(u32 phase)
{
	u64 ended = 0, begun = 0;

	for (u32 cpu = 0; cpu < online_cpus; cpu++)
		ended += READ_ONCE(((u64 *)per_cpu_pointer(srcu_ended, cpu))[phase]);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (u32 cpu = 0; cpu < online_cpus; cpu++)
		begun += READ_ONCE(((u64 *)per_cpu_pointer(srcu_begun, cpu))[phase]);
	return begun != ended;
}

/* Looks once a tick: readers are not slowed by having to wake anybody. */
static void wait_for_readers(u32 phase)
{
	while (has_readers(phase))
		sleep_for(tick_period);
}

/*
 * Wait for every reader that may have begun before the call. First for the phase in which no reader
 * begins any more: one may have read the number of the phase long ago and have counted itself after
 * the last wait was over. Then for the present phase, once readers begin in the other one. The caller
 * holds a mutex, and is no reader. Linux: kernel/rcu/srcutree.c synchronize_srcu(), srcu_advance_state()
 */
void synchronize_srcu(void)
{
	u32 phase = srcu_phase & 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);	/* what the caller unlinked, before the counts */
	wait_for_readers(phase ^ 1);
	__atomic_fetch_add(&srcu_phase, 1, __ATOMIC_SEQ_CST);
	wait_for_readers(phase);
}
