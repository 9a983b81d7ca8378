// SPDX-License-Identifier: GPL-2.0-only
/* A round-robin run queue per CPU, and going to sleep and waking up. */
#include "kernel.h"
#include "mm.h"

struct runqueue {
	struct list_head ready;		/* runnable tasks but the running one */
	u32 count;			/* how many */
	struct task *running, *idle;
	struct task *dead;		/* left this CPU for good, to be freed by its successor */
};

struct task *switch_to(struct task *prev, struct task *next);

extern u8 boot_stack[];
struct task init_task = {
	.stack = (u64)boot_stack,
	.flags = PF_KTHREAD,
	.on_cpu = 1,
	.comm = "idle",
	.cr3 = (u64)init_pgd - KERNEL_BASE,
	.pi_lock = { 0 },
};

struct spinlock sched_lock;
struct list_head all_tasks = LIST_HEAD_INIT(all_tasks);
u32 online_cpus = 1;
static struct runqueue runqueues[MAX_CPUS];

void sched_init_cpu(u32 cpu, struct task *idle)
{
	struct runqueue *queue = &runqueues[cpu];

	list_init(&queue->ready);
	queue->running = queue->idle = idle;
	timer_init_cpu(cpu);
}

bool cpu_is_idle(void) { return current == runqueues[cpu_number].idle; }

static bool allowed(const struct task *task, u32 cpu) { return task->cpus_allowed >> cpu & 1; }

static u32 least_loaded_cpu(const struct task *task)
{
	u32 best = 0, best_load = UINT32_MAX;

	for (u32 cpu = 0; cpu < online_cpus; cpu++) {
		const struct runqueue *queue = &runqueues[cpu];
		u32 load = queue->count + (queue->running != queue->idle);

		if (allowed(task, cpu) && load < best_load) {
			best = cpu;
			best_load = load;
		}
	}
	return best;
}

/* The task's CPU must look at its run queue soon. */
static void reschedule_cpu(u32 cpu)
{
	set_ti_flag(runqueues[cpu].running, _TIF_NEED_RESCHED);
	if (cpu != cpu_number)
		apic_send_ipi(cpu, RESCHEDULE_VECTOR);
}

/* From reschedule_probe: the task that runs here must look at the run queue. IF = 0. */
void reschedule_current(void)
{
	set_ti_flag(current, _TIF_NEED_RESCHED);
	apic_send_ipi_self(RESCHEDULE_VECTOR);
}

static void enqueue(struct task *task)
{
	struct runqueue *queue = &runqueues[task->cpu];

	list_add_tail(&task->run_link, &queue->ready);
	queue->count++;
	task->queued = true;
	if (queue->running == queue->idle)
		reschedule_cpu(task->cpu);
}

static void dequeue(struct task *task)
{
	list_del(&task->run_link);
	runqueues[task->cpu].count--;
	task->queued = false;
}

/* The second half of every switch, in the task that was switched to. */
static void finish_switch(void)
{
	struct runqueue *queue = &runqueues[cpu_number];
	struct task *dead = queue->dead;

	queue->dead = NULL;
	if (dead)
		task_free(dead);
}

/* Give the CPU to the next ready task. sched_lock held; it is held again, or still, on return. */
void switch_away(void)
{
	struct runqueue *queue = &runqueues[cpu_number];
	struct task *prev = current, *next = queue->idle;

	clear_ti_flag(prev, _TIF_NEED_RESCHED);
	if (prev->state == TASK_RUNNABLE && prev != queue->idle) {
		if (!allowed(prev, prev->cpu))
			prev->cpu = least_loaded_cpu(prev);
		enqueue(prev);
	}
	if (!list_empty(&queue->ready)) {
		next = list_entry(queue->ready.next, struct task, run_link);
		dequeue(next);
	}
	if (next == prev)
		return;
	if (prev->state == TASK_DEAD)
		queue->dead = prev;
	if (next == queue->idle)
		timer_enter_idle();
	else if (prev == queue->idle)
		timer_leave_idle();
	queue->running = next;
	switch_to(prev, next);
	finish_switch();
}

void schedule(void)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	switch_away();
	spin_unlock_irqrestore(&sched_lock, flags);
}

void cond_resched(void)
{
	if (READ_ONCE(current->ti_flags) & _TIF_NEED_RESCHED)
		schedule();
}

/* The first C of a new task: what schedule() does after switch_away. */
void schedule_tail(void)
{
	finish_switch();
	spin_unlock(&sched_lock);
	irq_enable();
	if (current->set_child_tid)
		put_user_u32(current->pid, current->set_child_tid);
}

/* Let a new task run, on the least loaded CPU that it may use. */
void sched_start(struct task *task)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	task->cpu = least_loaded_cpu(task);
	enqueue(task);
	spin_unlock_irqrestore(&sched_lock, flags);
}

/* The time slice is over. sched_lock held. */
void sched_tick(void)
{
	if (!list_empty(&runqueues[cpu_number].ready))
		set_ti_flag(current, _TIF_NEED_RESCHED);
}

/*
 * Make a task that runs user code on another CPU enter the kernel there. Linux: kernel/sched/core.c
 * kick_process()
 */
void kick_process(struct task *task)
{
	u32 cpu = READ_ONCE(task->cpu);

	if (cpu != cpu_number && READ_ONCE(task->on_cpu))
		apic_send_ipi(cpu, RESCHEDULE_VECTOR);
}

/* Sleep until wake(), on a queue of one's choice or on none. sched_lock held. */
void sleep_on(struct list_head *queue, enum task_state state)
{
	if (state == TASK_KILLABLE && fatal_signal_pending()) {
		sleep_cancel(current);
		return;
	}
	current->state = state;
	if (queue)
		list_add_tail(&current->wait_link, queue);
	switch_away();
}

/* Make a sleeping task runnable; one that does not sleep is left alone. sched_lock held. */
void wake(struct task *task)
{
	if (task->state != TASK_SLEEPING && task->state != TASK_KILLABLE)
		return;
	list_del(&task->wait_link);
	sleep_cancel(task);
	task->state = TASK_RUNNABLE;
	if (!allowed(task, task->cpu))
		task->cpu = least_loaded_cpu(task);
	enqueue(task);
}

void wake_all(struct list_head *queue)
{
	while (!list_empty(queue))
		wake(list_entry(queue->next, struct task, wait_link));
}

/*
 * Restrict a task to the CPUs of `mask` and move it if need be; the caller has moved on return.
 * sched_lock held.
 */
long set_affinity(struct task *task, u64 mask)
{
	mask &= (1ull << online_cpus) - 1;
	if (!mask)
		return -EINVAL;
	task->cpus_allowed = mask;
	if (allowed(task, task->cpu))
		return 0;
	if (task == current) {
		switch_away();
	} else if (task->queued) {
		dequeue(task);
		task->cpu = least_loaded_cpu(task);
		enqueue(task);
	} else if (task->on_cpu) {
		reschedule_cpu(task->cpu);
	}
	return 0;
}

noreturn void idle_loop(void)
{
	for (;;) {
		irq_disable();
		if (READ_ONCE(current->ti_flags) & _TIF_NEED_RESCHED)
			schedule();
		else
			__asm__ volatile("sti; hlt" ::: "memory");	/* none comes between */
	}
}
