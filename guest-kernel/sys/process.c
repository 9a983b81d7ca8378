// SPDX-License-Identifier: GPL-2.0-only
/* Processes and threads. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "signal.h"
#include "sys.h"

#define CLONE_VM	0x100
#define CLONE_VFORK	0x4000
#define ARCH_SET_GS	0x1001
#define ARCH_SET_FS	0x1002
#define ARCH_GET_FS	0x1003
#define ARCH_GET_GS	0x1004

long sys_getpid(void) { return current->tgid; }
long sys_gettid(void) { return current->pid; }

long sys_getppid(void)
{
	u64 flags = spin_lock_irqsave(&sched_lock);
	const struct process *parent = current->process->parent;
	u32 tgid = parent ? parent->tgid : 0;

	spin_unlock_irqrestore(&sched_lock, flags);
	return tgid;
}

long sys_clone(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls)
{
	return clone_task(flags, stack, (u32 *)parent_tid, (u32 *)child_tid, tls);
}

long sys_fork(void) { return clone_task(0, 0, NULL, NULL, 0); }
long sys_vfork(void) { return clone_task(CLONE_VM | CLONE_VFORK, 0, NULL, NULL, 0); }
long sys_exit(u64 code) { do_exit(wait_status_exited(code)); }
long sys_exit_group(u64 code) { do_exit_group(wait_status_exited(code)); }

/* Signals that do nothing here: those that Linux ignores unless there is a handler. */
static bool ignored(u64 signal)
{
	return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}

/* Signals that stop a task on Linux; there is no stopping here. */
static bool stops(u64 signal) { return signal >= SIGSTOP && signal <= SIGTTOU; }

/* A child that has ended and not been waited for still has its pid. sched_lock held. */
static struct process *zombie_child(s32 tgid)
{
	list_for_each(pos, &current->process->children) {
		struct process *child = list_entry(pos, struct process, sibling);

		if (child->zombie && child->tgid == (u32)tgid)
			return child;
	}
	return NULL;
}

/*
 * Any other signal ends the process. tid: a thread of it, or 0; tgid: the process, or 0. There are
 * no process groups, so only a positive pid names anything.
 */
static long send_signal(s32 tgid, s32 tid, u64 signal)
{
	struct process *process = NULL;
	bool valid = signal <= NSIG && !stops(signal);

	u64 flags = spin_lock_irqsave(&sched_lock);
	list_for_each(pos, &all_tasks) {
		struct task *task = list_entry(pos, struct task, task_link);

		if ((!tgid || task->tgid == (u32)tgid) && (!tid || task->pid == (u32)tid)) {
			process = task->process;
			break;
		}
	}
	if (!process)
		process = zombie_child(tgid ? tgid : tid);
	if (process && valid && signal && !ignored(signal))
		kill_process_locked(process, signal);
	spin_unlock_irqrestore(&sched_lock, flags);
	return !process ? -ESRCH : valid ? 0 : -EINVAL;
}

long sys_kill(u64 pid, u64 signal) { return (s32)pid > 0 ? send_signal(pid, 0, signal) : -ESRCH; }
long sys_tkill(u64 tid, u64 signal) { return (s32)tid > 0 ? send_signal(0, tid, signal) : -EINVAL; }

long sys_tgkill(u64 tgid, u64 tid, u64 signal)
{
	return (s32)tgid > 0 && (s32)tid > 0 ? send_signal(tgid, tid, signal) : -EINVAL;
}

/*
 * A base is loaded at once and at every switch; the kernel keeps the user's GS in
 * MSR_KERNEL_GS_BASE.
 */
long sys_arch_prctl(u64 code, u64 address)
{
	switch (code) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (address >= TASK_SIZE_MAX)
			return -EPERM;
		u64 flags = irq_save();
		*(code == ARCH_SET_FS ? &current->fs_base : &current->gs_base) = address;
		wrmsr(code == ARCH_SET_FS ? MSR_FS_BASE : MSR_KERNEL_GS_BASE, address);
		irq_restore(flags);
		return 0;
	case ARCH_GET_FS:
		return copy_to_user((void *)address, &current->fs_base, sizeof(u64));
	case ARCH_GET_GS:
		return copy_to_user((void *)address, &current->gs_base, sizeof(u64));
	default:
		return -EINVAL;
	}
}

long sys_set_tid_address(u64 address)
{
	current->clear_child_tid = (u32 *)address;
	return current->pid;
}
