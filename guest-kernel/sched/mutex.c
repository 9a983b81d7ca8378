// SPDX-License-Identifier: GPL-2.0-only
/* A sleeping mutex. It is handed to the first waiter, so that none starves. */
#include "sched.h"

void mutex_init(struct mutex *mutex)
{
	mutex->owner = NULL;
	list_init(&mutex->waiters);
}

void mutex_lock(struct mutex *mutex)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	if (!mutex->owner)
		mutex->owner = current;
	else
		sleep_on(&mutex->waiters, TASK_SLEEPING);
	spin_unlock_irqrestore(&sched_lock, flags);
}

void mutex_unlock(struct mutex *mutex)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	mutex->owner = NULL;
	if (!list_empty(&mutex->waiters)) {
		mutex->owner = list_entry(mutex->waiters.next, struct task, wait_link);
		wake(mutex->owner);
	}
	spin_unlock_irqrestore(&sched_lock, flags);
}
