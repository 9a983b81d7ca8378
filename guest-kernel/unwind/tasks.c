// SPDX-License-Identifier: GPL-2.0-only
/* Every user task, for a mechanism that must change something in all of them. */
#include "sched.h"

void for_each_task(void (*func)(struct task *task, u64 argument), u64 argument);

/*
 * Call func for each task that has a pid and has not exited; sched_lock is held over all of them, so
 * none is freed meanwhile. A task that is being made is not among them: its state is that of
 * unwind_task_init(). Linux: for_each_process_thread() under rcu_read_lock()
 */
void for_each_task(void (*func)(struct task *task, u64 argument), u64 argument)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	list_for_each(pos, &all_tasks)
		func(list_entry(pos, struct task, task_link), argument);
	spin_unlock_irqrestore(&sched_lock, flags);
}
