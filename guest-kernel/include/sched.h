/* SPDX-License-Identifier: GPL-2.0-only */
/* The scheduler, sleeping, timers, mutexes. */
#ifndef SCHED_H
#define SCHED_H

#include "task.h"

/*
 * One lock guards the run queues, the states of tasks, all wait queues, the sleepers and the tree
 * of processes. It is held across switch_to, so a task is never on two CPUs. It is taken with
 * interrupts off; only the allocators' locks are taken inside it.
 */
extern struct spinlock sched_lock;
extern struct list_head all_tasks;	/* user tasks, by task_link */
extern u32 online_cpus;			/* CPUs 0 .. online_cpus - 1 */

void sched_init_cpu(u32 cpu, struct task *idle);
noreturn void idle_loop(void);
void schedule(void);
void reschedule_current(void);
void cond_resched(void);
void schedule_tail(void);
void sched_start(struct task *task);
void sched_tick(void);
bool cpu_is_idle(void);
void kick_process(struct task *task);
long set_affinity(struct task *task, u64 mask);

/* With sched_lock held. */
void switch_away(void);
void wake(struct task *task);
void sleep_on(struct list_head *queue, enum task_state state);
void wake_all(struct list_head *queue);

/* sched/timer.c: sleepers and this CPU's one-shot timer. */
#define NEVER UINT64_MAX
void timer_init_cpu(u32 cpu);
void timer_interrupt(struct pt_regs *regs);
void timer_leave_idle(void);
void timer_enter_idle(void);
void sleep_until(u64 deadline);		/* with sched_lock held: as well as, or instead of, a wait queue */
void sleep_for(u64 ns);			/* nothing ends it early */
void sleep_cancel(struct task *task);	/* with sched_lock held */
extern u64 tick_period;

/* sched/mutex.c: MUTEX_owner and MUTEX_waiters of layout.h. */
struct mutex {
	struct task *owner;
	struct list_head waiters;
};

void mutex_init(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* sched/futex.c */
void futex_wake_locked(struct mm *mm, u64 address, u32 *count);

#endif
