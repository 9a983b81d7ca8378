// SPDX-License-Identifier: GPL-2.0-only
/*
 * One one-shot timer per CPU serves three masters: the scheduler's tick, perf's samples and the
 * sleepers of the CPU. An idle CPU has only the last.
 */
#include "kernel.h"
#include "trace.h"
#include "sched.h"

static struct cpu_timer {
	u64 next_tick, next_sample;	/* ns, or NEVER */
	struct list_head sleepers;	/* by wake_time, the earliest first; guarded by sched_lock */
} timers[MAX_CPUS];

u64 tick_period;

void timer_init_cpu(u32 cpu)
{
	timers[cpu].next_tick = timers[cpu].next_sample = NEVER;
	list_init(&timers[cpu].sleepers);
}

static struct task *first_sleeper(struct cpu_timer *timer)
{
	if (list_empty(&timer->sleepers))
		return NULL;
	return list_entry(timer->sleepers.next, struct task, sleep_link);
}

static void arm(struct cpu_timer *timer)
{
	struct task *sleeper = first_sleeper(timer);
	u64 deadline = min_u64(timer->next_tick, timer->next_sample);
	u64 now = clock_ns();

	if (sleeper)
		deadline = min_u64(deadline, sleeper->wake_time);
	apic_timer_set(deadline == NEVER ? 0 : deadline > now ? deadline - now : 1);
}

/* This CPU stops being idle, or starts to be. sched_lock held. */
void timer_leave_idle(void)
{
	struct cpu_timer *timer = &timers[cpu_number];
	u64 now = clock_ns();

	timer->next_tick = now + tick_period;
	timer->next_sample = perf_timer_period ? now + perf_timer_period : NEVER;
	arm(timer);
}

void timer_enter_idle(void)
{
	struct cpu_timer *timer = &timers[cpu_number];

	timer->next_tick = timer->next_sample = NEVER;
	arm(timer);
}

/* The next of a series of deadlines; those that were missed are skipped. */
static u64 next_deadline(u64 deadline, u64 period, u64 now)
{
	return deadline + period > now ? deadline + period : now + period;
}

void timer_interrupt(struct pt_regs *regs)
{
	struct cpu_timer *timer = &timers[cpu_number];

	if (clock_ns() >= timer->next_sample) {
		perf_sample(regs, perf_timer_period);
		timer->next_sample = next_deadline(timer->next_sample, perf_timer_period, clock_ns());
	}
	spin_lock(&sched_lock);
	u64 now = clock_ns();
	for (struct task *task; (task = first_sleeper(timer)) && task->wake_time <= now; )
		wake(task);
	if (now >= timer->next_tick) {
		sched_tick();
		timer->next_tick = next_deadline(timer->next_tick, tick_period, now);
	}
	arm(timer);
	spin_unlock(&sched_lock);
}

/*
 * Have the current task woken at a time. Goes to sleep only with the sleep_on() that follows.
 * sched_lock held.
 */
void sleep_until(u64 deadline)
{
	struct cpu_timer *timer = &timers[cpu_number];
	struct list_head *next = timer->sleepers.next;

	while (next != &timer->sleepers && list_entry(next, struct task, sleep_link)->wake_time <= deadline)
		next = next->next;
	current->wake_time = deadline;
	list_add_before(&current->sleep_link, next);
	arm(timer);
}

void sleep_for(u64 ns)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	sleep_until(clock_ns() + ns);
	sleep_on(NULL, TASK_SLEEPING);
	spin_unlock_irqrestore(&sched_lock, flags);
}

void sleep_cancel(struct task *task)
{
	list_del(&task->sleep_link);
}
