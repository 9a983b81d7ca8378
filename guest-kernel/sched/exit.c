// SPDX-License-Identifier: GPL-2.0-only
/* How tasks and processes end. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "signal.h"
#include "sys.h"
#include "trace.h"

#define INIT_TGID	1
#define SHELL_SIGNALED	128

static s32 init_status;		/* how pid 1 ended */

/*
 * End a process, all threads of it, with this wait status; the first status counts. sched_lock
 * held.
 */
void kill_process_locked(struct process *process, s32 status)
{
	if (process->exiting || process->zombie)
		return;
	process->exiting = true;
	process->exit_code = status;
	list_for_each(pos, &all_tasks) {
		struct task *task = list_entry(pos, struct task, task_link);

		if (task->process != process)
			continue;
		set_ti_flag(task, _TIF_SIGPENDING);
		if (task->state == TASK_KILLABLE)
			wake(task);
		else
			kick_process(task);
	}
}

void kill_process(struct process *process, s32 status)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	kill_process_locked(process, status);
	spin_unlock_irqrestore(&sched_lock, flags);
}

/* From the exit loop, _TIF_SIGPENDING is set: the process is being killed. */
void do_signal(void)
{
	do_exit(current->process->exit_code);
}

void do_exit_group(s32 status)
{
	kill_process(current->process, status);
	do_exit(current->process->exit_code);
}

/*
 * Tell a joiner that the thread is gone, then let go of user memory. Linux: kernel/fork.c
 * mm_release(), exit_mm()
 */
static void exit_mm(struct task *task)
{
	struct mm *mm = task->mm;

	if (task->clear_child_tid && !put_user_u32(0, task->clear_child_tid)) {
		u32 count = 1;
		u64 flags = spin_lock_irqsave(&sched_lock);

		futex_wake_locked(mm, (u64)task->clear_child_tid, &count);
		spin_unlock_irqrestore(&sched_lock, flags);
	}
	u64 flags = spin_lock_irqsave(&sched_lock);
	task->mm = NULL;
	task->cr3 = virt_to_phys(init_pgd);
	write_cr3(task->cr3);
	if (task->vfork_parent)
		wake_all(&task->vfork_parent->child_waiters);
	task->vfork_parent = NULL;
	spin_unlock_irqrestore(&sched_lock, flags);
	mm_put(mm);
}

static void reap(struct process *process)
{
	list_del(&process->sibling);
	kfree(process);
}

static struct process *find_init(void)
{
	list_for_each(pos, &all_tasks) {
		struct task *task = list_entry(pos, struct task, task_link);

		if (task->tgid == INIT_TGID)
			return task->process;
	}
	return NULL;
}

/* The last thread is gone: children go to pid 1, the status to the parent. sched_lock held. */
static void process_exit(struct process *process)
{
	struct process *init = find_init();

	if (process->tgid == INIT_TGID)
		init_status = process->exit_code;
	while (!list_empty(&process->children)) {
		struct process *child = list_entry(process->children.next, struct process, sibling);

		list_del(&child->sibling);
		child->parent = init;
		if (init)
			list_add_tail(&child->sibling, &init->children);
		else if (child->zombie)
			reap(child);
	}
	if (init)
		wake_all(&init->child_waiters);
	process->zombie = true;
	if (process->parent)
		wake_all(&process->parent->child_waiters);
	else
		reap(process);
}

static s32 machine_status(void)
{
	s32 signal = init_status & 0x7f;

	return signal ? SHELL_SIGNALED + signal : init_status >> 8 & 0xff;
}

/*
 * The end of a user task. The order is Linux's: requests for a stack are refused from PF_EXITING
 * on, one that was granted is served while there is user memory if the version of the mechanism
 * does so, and after the works' last run none can be added.
 * Linux: kernel/exit.c do_exit()
 */
void do_exit(s32 status)
{
	struct task *task = current;
	struct process *process = task->process;

	task->flags |= PF_EXITING;
	unwind_deferred_task_exit(task);
	if (task->mm)
		exit_mm(task);
	task_work_run();
	task->exit_code = status;
	perf_exit(task);
	trace_task_exit(task, status);

	spin_lock_irqsave(&sched_lock);
	list_del(&task->task_link);
	if (!process->exiting && task->pid == process->tgid)
		process->exit_code = status;
	if (--process->live == 0)
		process_exit(process);
	if (list_empty(&all_tasks))
		power_off(machine_status());
	task->state = TASK_DEAD;
	switch_away();
	__builtin_unreachable();
}

#define WNOHANG		1
#define WAIT_OPTIONS	0xe000000bu	/* WNOHANG, WUNTRACED, WCONTINUED, __WNOTHREAD, __WALL, __WCLONE */

/* A child that matches, zombie if there is one; NULL: none. sched_lock held. */
static struct process *find_child(s32 pid)
{
	struct process *found = NULL;

	list_for_each(pos, &current->process->children) {
		struct process *child = list_entry(pos, struct process, sibling);

		if (pid > 0 && child->tgid != (u32)pid)
			continue;
		if (child->zombie)
			return child;
		found = child;
	}
	return found;
}

/* There are no process groups: any pid below 1 means any child. The resource usage is zeros. */
long sys_wait4(u64 pid, u64 status, u64 options, u64 usage)
{
	static const u64 no_usage[18];
	struct process *child;

	if (options & ~(u64)WAIT_OPTIONS)
		return -EINVAL;
	u64 flags = spin_lock_irqsave(&sched_lock);
	while ((child = find_child(pid)) && !child->zombie) {
		if (options & WNOHANG || fatal_signal_pending()) {
			spin_unlock_irqrestore(&sched_lock, flags);
			return options & WNOHANG ? 0 : -EINTR;
		}
		sleep_on(&current->process->child_waiters, TASK_KILLABLE);
	}
	u32 tgid = child ? child->tgid : 0;
	s32 code = child ? child->exit_code : 0;
	if (child)
		reap(child);
	spin_unlock_irqrestore(&sched_lock, flags);
	if (!child)
		return -ECHILD;
	if (status && put_user_u32(code, (u32 *)status))
		return -EFAULT;
	if (usage && copy_to_user((void *)usage, no_usage, sizeof(no_usage)))
		return -EFAULT;
	return tgid;
}
