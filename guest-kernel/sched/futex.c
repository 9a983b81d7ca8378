// SPDX-License-Identifier: GPL-2.0-only
/* Waiting on a word of user memory. A waiter is named by its address space and the address. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "sys.h"

#define FUTEX_WAIT	0
#define FUTEX_WAKE	1
#define FUTEX_OPERATION	0x7f	/* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */

static struct list_head futex_waiters = LIST_HEAD_INIT(futex_waiters);

/* Wake up to *count waiters, oldest first; *count = how many were woken. sched_lock held. */
void futex_wake_locked(struct mm *mm, u64 address, u32 *count)
{
	u32 limit = *count, woken = 0;

	for (struct list_head *pos = futex_waiters.next; pos != &futex_waiters && woken < limit; ) {
		struct task *task = list_entry(pos, struct task, wait_link);

		pos = pos->next;	/* before wake() takes the task off the list */
		if (task->mm == mm && task->futex_address == address) {
			task->futex_address = 0;
			wake(task);
			woken++;
		}
	}
	*count = woken;
}

static long futex_wake(u64 address, u32 count)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	futex_wake_locked(current->mm, address, &count);
	spin_unlock_irqrestore(&sched_lock, flags);
	return count;
}

/*
 * The word is compared under the lock that a waker takes, so no wake falls between the comparison
 * and the sleep. It cannot be paged in there; that is done outside, and the comparison tried again.
 */
static long futex_wait(u64 address, u32 expected, u64 deadline)
{
	u32 value;
	u64 flags = spin_lock_irqsave(&sched_lock);

	while (get_user_u32(&value, (u32 *)address)) {
		spin_unlock_irqrestore(&sched_lock, flags);
		if (get_user_u32(&value, (u32 *)address))
			return -EFAULT;
		flags = spin_lock_irqsave(&sched_lock);
	}
	long result = -EAGAIN;
	if (value == expected) {
		current->futex_address = address;
		if (deadline != NEVER)
			sleep_until(deadline);
		sleep_on(&futex_waiters, TASK_KILLABLE);
		result = !current->futex_address ? 0 : fatal_signal_pending() ? -EINTR : -ETIMEDOUT;
		current->futex_address = 0;
	}
	spin_unlock_irqrestore(&sched_lock, flags);
	return result;
}

long sys_futex(u64 address, u64 operation, u64 value, u64 timeout)
{
	struct timespec time;
	u64 deadline = NEVER;

	if (address % sizeof(u32))
		return -EINVAL;
	switch (operation & FUTEX_OPERATION) {
	case FUTEX_WAIT:
		if (timeout && copy_from_user(&time, (void *)timeout, sizeof(time)))
			return -EFAULT;
		if (timeout && !timespec_valid(&time))
			return -EINVAL;
		if (timeout)
			deadline = clock_ns() + timespec_ns(&time);
		return futex_wait(address, value, deadline);
	case FUTEX_WAKE:
		return futex_wake(address, value);
	default:
		return -ENOSYS;
	}
}
