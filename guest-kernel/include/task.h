/* SPDX-License-Identifier: GPL-2.0-only */
/* Tasks (threads) and processes. */
#ifndef TASK_H
#define TASK_H

#include "cpu.h"
#include "list.h"

/* Linux's struct pt_regs, x86-64. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx;
	u64 r11, r10, r9, r8, ax, cx, dx, si, di;
	u64 orig_ax;
	u64 ip, cs, flags, sp, ss;
};

static inline bool user_mode(const struct pt_regs *regs) { return regs->cs & 3; }

struct callback_head {
	struct callback_head *next;
	void (*func)(struct callback_head *);
};

/*
 * A process: what its threads share. Freed when the last thread is gone and its status has been
 * collected. Guarded by sched_lock.
 */
struct process {
	u32 tgid;
	u32 live;			/* threads that have not exited */
	bool exiting;			/* exit_group or a fatal signal; exit_code says which */
	bool zombie;			/* all threads gone, status not collected */
	s32 exit_code;			/* as wait4 encodes it */
	struct process *parent;		/* NULL: started by the kernel, or orphan with no pid 1 left */
	struct list_head children;	/* of struct process, by sibling */
	struct list_head sibling;
	struct list_head child_waiters;	/* tasks in wait4 or vfork, by task.wait_link */
};

enum task_state { TASK_RUNNABLE, TASK_SLEEPING, TASK_KILLABLE, TASK_DEAD };

struct task {
	/* Known to assembly and to the host: layout.h. */
	u64 stack;
	u64 rsp;
	u32 ti_flags;
	u32 flags;
	u32 pid;
	u32 tgid;
	struct mm *mm;
	struct callback_head *task_works;
	struct spinlock pi_lock;
	s32 exit_code;
	char comm[16];
	u64 cr3;
	u64 fs_base;
	u64 gs_base;
	u32 cpu;
	u32 on_cpu;
	_Alignas(16) u8 fpu[512];
	_Alignas(8) u8 unwind_info[UNWIND_INFO_SIZE];

	/* Guarded by sched_lock. */
	enum task_state state;
	bool queued;			/* on the run queue of its cpu */
	u64 cpus_allowed;		/* one bit per CPU */
	struct list_head run_link;	/* run queue */
	struct list_head wait_link;	/* the wait queue it sleeps on */
	struct list_head sleep_link;	/* sleepers of its cpu, ordered by wake_time */
	struct list_head task_link;	/* all user tasks */
	u64 wake_time;			/* ns; meaningful while on sleep_link */
	u64 futex_address;		/* what it waits on, together with mm; 0: woken */
	struct process *process;	/* NULL in kernel threads */
	struct process *vfork_parent;	/* to wake once the memory is given up; NULL if nobody waits */

	/* The task's own. */
	u32 __user *set_child_tid;	/* where to write its pid as it starts, or NULL */
	u32 __user *clear_child_tid;	/* where to write 0, and wake, as it ends, or NULL */
} __attribute__((aligned(TASK_SIZE)));

static inline struct pt_regs *task_pt_regs(const struct task *task)
{
	return (struct pt_regs *)(task->stack + THREAD_SIZE - PT_SIZE);
}

static inline void set_ti_flag(struct task *task, u32 mask)
{
	__atomic_fetch_or(&task->ti_flags, mask, __ATOMIC_SEQ_CST);
}

static inline void clear_ti_flag(struct task *task, u32 mask)
{
	__atomic_fetch_and(&task->ti_flags, ~mask, __ATOMIC_SEQ_CST);
}

static inline bool fatal_signal_pending(void)
{
	return READ_ONCE(current->ti_flags) & _TIF_SIGPENDING;
}

extern struct task init_task;		/* CPU 0's idle task, and the first one */

/* sched/fork.c */
struct task *kernel_thread(const char *name, void (*func)(void *), void *argument);
bool task_become_process(struct task *task);
long clone_task(u64 flags, u64 stack, u32 __user *parent_tid, u32 __user *child_tid, u64 tls);
void task_free(struct task *task);

/* sched/exit.c; a status is as wait4 encodes it. */
noreturn void do_exit(s32 status);
noreturn void do_exit_group(s32 status);
void do_signal(void);

/* entry/task_work.S */
void task_work_run(void);
void task_work_interrupt(void);

/* unwind/VERSION.S */
void unwind_task_init(struct task *task);
void unwind_task_free(struct task *task);
void unwind_deferred_task_exit(struct task *task);

#endif
