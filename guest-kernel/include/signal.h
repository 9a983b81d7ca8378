/* SPDX-License-Identifier: GPL-2.0-only */
/* Signals, as far as this kernel has them: each ends a whole process or does nothing. */
#ifndef SIGNAL_H
#define SIGNAL_H

#include "task.h"

#define SIGILL		4
#define SIGTRAP		5
#define SIGBUS		7
#define SIGFPE		8
#define SIGSEGV		11
#define SIGCHLD		17
#define SIGCONT		18
#define SIGSTOP		19
#define SIGTTOU		22
#define SIGURG		23
#define SIGWINCH	28
#define NSIG		64

/* wait4's encoding of how a process ended. */
static inline s32 wait_status_exited(s32 code) { return (code & 0xff) << 8; }

/* sched/exit.c: end a process, all threads of it, with this wait status. */
void kill_process(struct process *process, s32 status);
void kill_process_locked(struct process *process, s32 status);	/* with sched_lock held */

#endif
