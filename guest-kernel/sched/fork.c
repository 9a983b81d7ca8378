// SPDX-License-Identifier: GPL-2.0-only
/* Making and unmaking tasks and processes. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "trace.h"

#define CLONE_VM		0x00000100
#define CLONE_SIGHAND		0x00000800
#define CLONE_VFORK		0x00004000
#define CLONE_THREAD		0x00010000
#define CLONE_SETTLS		0x00080000
#define CLONE_PARENT_SETTID	0x00100000
#define CLONE_CHILD_CLEARTID	0x00200000
#define CLONE_CHILD_SETTID	0x01000000

/* What switch_to pops in a new task, then its return address: ret_from_fork. */
struct switch_frame { u64 r15, r14, r13, r12, bx, bp, ip; };

void ret_from_fork(void);

static u32 last_pid;

/* The state of a floating point unit after FNINIT, MXCSR as at reset (SDM 1, "FXSAVE Area"). */
static void fpu_init(struct task *task)
{
	*(u16 *)&task->fpu[0] = 0x37f;
	*(u32 *)&task->fpu[24] = 0x1f80;
}

static struct task *task_alloc(const char *name, u64 func, u64 argument)
{
	struct task *task = kzalloc(sizeof(*task));
	u8 *stack = task ? stack_alloc() : NULL;

	if (!stack) {
		kfree(task);
		return NULL;
	}
	task->stack = (u64)stack;
	memset(task_pt_regs(task), 0, sizeof(struct pt_regs));
	struct switch_frame *frame = (struct switch_frame *)task_pt_regs(task) - 1;
	*frame = (struct switch_frame) { .bx = func, .r12 = argument, .ip = (u64)ret_from_fork };
	task->rsp = (u64)frame;
	task->cr3 = virt_to_phys(init_pgd);
	task->cpus_allowed = ~0ull;
	string_copy(task->comm, name, sizeof(task->comm));
	list_init(&task->run_link);
	list_init(&task->wait_link);
	list_init(&task->sleep_link);
	list_init(&task->task_link);
	fpu_init(task);
	unwind_task_init(task);
	return task;
}

/* The last of a task: it is off its CPU and nobody can find it any more. */
void task_free(struct task *task)
{
	unwind_task_free(task);
	stack_free((void *)task->stack);
	kfree(task);
}

/*
 * A thread of the kernel, not yet runnable. If func returns, the thread has become a user program.
 */
struct task *kernel_thread(const char *name, void (*func)(void *), void *argument)
{
	struct task *task = task_alloc(name, (u64)func, (u64)argument);

	if (!task)
		panic("no memory for kernel thread %s", name);
	task->flags = PF_KTHREAD;
	return task;
}

static struct process *process_alloc(void)
{
	struct process *process = kzalloc(sizeof(*process));

	if (process) {
		list_init(&process->children);
		list_init(&process->sibling);
		list_init(&process->child_waiters);
	}
	return process;
}

/*
 * Number a task and enter it into its process and, if that is new, the process into the tree.
 * sched_lock held.
 */
static void task_register(struct task *task, struct process *process, struct process *parent)
{
	task->pid = ++last_pid;
	task->process = process;
	if (process->live++ == 0) {
		process->tgid = task->pid;
		process->parent = parent;
		if (parent)
			list_add_tail(&process->sibling, &parent->children);
	}
	task->tgid = process->tgid;
	list_add_tail(&task->task_link, &all_tasks);
}

/*
 * Give a kernel thread that has not started a process of its own, so that it can become a user
 * program.
 */
bool task_become_process(struct task *task)
{
	struct process *process = process_alloc();

	if (!process)
		return false;
	u64 flags = spin_lock_irqsave(&sched_lock);
	task_register(task, process, NULL);
	spin_unlock_irqrestore(&sched_lock, flags);
	return true;
}

static bool flags_valid(u64 flags)
{
	if (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND))
		return false;
	return !(flags & CLONE_SIGHAND) || flags & CLONE_VM;
}

static void inherit(struct task *child, u64 flags, u64 stack, u32 __user *child_tid, u64 tls)
{
	struct pt_regs *regs = task_pt_regs(child);

	*regs = *task_pt_regs(current);
	regs->ax = 0;
	if (stack)
		regs->sp = stack;
	__asm__ volatile("fxsave64 %0" : "=m"(child->fpu));
	child->cpus_allowed = current->cpus_allowed;
	child->fs_base = flags & CLONE_SETTLS ? tls : current->fs_base;
	child->gs_base = current->gs_base;
	child->set_child_tid = flags & CLONE_CHILD_SETTID ? child_tid : NULL;
	child->clear_child_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : NULL;
}

/* Enter the child; false if the process is being killed meanwhile. */
static bool enter(struct task *child, struct process *process, u64 flags)
{
	u64 irq = spin_lock_irqsave(&sched_lock);
	bool alive = !current->process->exiting;

	if (alive) {
		task_register(child, process, current->process);
		if (flags & CLONE_VFORK)
			child->vfork_parent = current->process;
	}
	spin_unlock_irqrestore(&sched_lock, irq);
	return alive;
}

/* After vfork: sleep until the child has given up the memory that both use. */
static void wait_for_vfork(u32 child_pid)
{
	u64 irq = spin_lock_irqsave(&sched_lock);

	for (;;) {
		bool found = false;

		list_for_each(pos, &all_tasks) {
			struct task *task = list_entry(pos, struct task, task_link);

			found |= task->pid == child_pid && task->vfork_parent;
		}
		if (!found || fatal_signal_pending())
			break;
		sleep_on(&current->process->child_waiters, TASK_KILLABLE);
	}
	spin_unlock_irqrestore(&sched_lock, irq);
}

/* clone(2): a thread with CLONE_THREAD, else a process. Returns its pid. */
long clone_task(u64 flags, u64 stack, u32 __user *parent_tid, u32 __user *child_tid, u64 tls)
{
	if (!flags_valid(flags))
		return -EINVAL;
	if (flags & CLONE_SETTLS && tls >= TASK_SIZE_MAX)
		return -EPERM;
	struct process *process = flags & CLONE_THREAD ? current->process : process_alloc();
	struct task *child = task_alloc(current->comm, 0, 0);
	struct mm *mm = flags & CLONE_VM ? current->mm : mm_clone(current->mm);
	if (!process || !child || !mm)
		goto no_memory;
	if (mm == current->mm)
		mm_get(mm);
	child->mm = mm;
	child->cr3 = mm->pgd;
	inherit(child, flags, stack, child_tid, tls);
	if (!enter(child, process, flags)) {
		mm_put(mm);
		mm = NULL;
		goto no_memory;		/* the caller dies before it sees the result */
	}
	u32 pid = child->pid;
	if (flags & CLONE_PARENT_SETTID)
		put_user_u32(pid, parent_tid);
	perf_fork(child, current);
	sched_start(child);
	if (flags & CLONE_VFORK)
		wait_for_vfork(pid);
	return pid;

no_memory:
	if (mm && mm != current->mm)
		mm_put(mm);
	if (child)
		task_free(child);
	if (process != current->process)
		kfree(process);
	return -ENOMEM;
}
