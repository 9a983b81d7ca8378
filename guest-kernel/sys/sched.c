// SPDX-License-Identifier: GPL-2.0-only
/* Time and CPUs. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "sys.h"

#define CLOCK_REALTIME		0
#define CLOCK_MONOTONIC		1
#define CLOCK_MONOTONIC_RAW	4
#define CLOCK_BOOTTIME		7

long sys_sched_yield(void)
{
	schedule();
	return 0;
}

/* Only a fatal signal ends a sleep early, so `remaining` is never written. */
long sys_nanosleep(u64 request, u64 remaining)
{
	struct timespec time;

	(void)remaining;
	if (copy_from_user(&time, (void *)request, sizeof(time)))
		return -EFAULT;
	if (!timespec_valid(&time))
		return -EINVAL;
	u64 flags = spin_lock_irqsave(&sched_lock);
	sleep_until(clock_ns() + timespec_ns(&time));
	sleep_on(NULL, TASK_KILLABLE);
	spin_unlock_irqrestore(&sched_lock, flags);
	return fatal_signal_pending() ? -EINTR : 0;
}

/* All clocks count from the start of the machine. */
long sys_clock_gettime(u64 clock, u64 time)
{
	u64 now = clock_ns();
	struct timespec result = { now / NS_PER_SECOND, now % NS_PER_SECOND };

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC &&
	    clock != CLOCK_MONOTONIC_RAW && clock != CLOCK_BOOTTIME)
		return -EINVAL;
	return copy_to_user((void *)time, &result, sizeof(result));
}

/* The user task with this tid, the caller for 0, or NULL. sched_lock held. */
static struct task *find_task(u64 tid)
{
	if (!tid)
		return current;
	list_for_each(pos, &all_tasks) {
		struct task *task = list_entry(pos, struct task, task_link);

		if (task->pid == tid)
			return task;
	}
	return NULL;
}

long sys_sched_setaffinity(u64 pid, u64 size, u64 mask)
{
	u64 cpus = 0;

	if (copy_from_user(&cpus, (void *)mask, min_u64(size, sizeof(cpus))))
		return -EFAULT;
	u64 flags = spin_lock_irqsave(&sched_lock);
	struct task *task = find_task(pid);
	long result = task ? set_affinity(task, cpus) : -ESRCH;
	spin_unlock_irqrestore(&sched_lock, flags);
	return result;
}

long sys_sched_getaffinity(u64 pid, u64 size, u64 mask)
{
	u64 flags = spin_lock_irqsave(&sched_lock);
	struct task *task = find_task(pid);
	u64 cpus = task ? task->cpus_allowed & ((1ull << online_cpus) - 1) : 0;

	spin_unlock_irqrestore(&sched_lock, flags);
	if (!task)
		return -ESRCH;
	if (size < sizeof(cpus) || size % sizeof(cpus))
		return -EINVAL;
	return copy_to_user((void *)mask, &cpus, sizeof(cpus)) ? -EFAULT : (long)sizeof(cpus);
}

long sys_getcpu(u64 cpu, u64 node)
{
	if (cpu && put_user_u32(cpu_number, (u32 *)cpu))
		return -EFAULT;
	return node ? put_user_u32(0, (u32 *)node) : 0;
}
