// SPDX-License-Identifier: GPL-2.0-only
/* The C structures obey layout.h, or the kernel does not compile. */
#include "mm.h"
#include "trace.h"

#define FIELD(type, prefix, field) \
	_Static_assert(offsetof(type, field) == prefix##_##field, #prefix "_" #field)
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)

FIELD(struct pt_regs, PT, r15);
FIELD(struct pt_regs, PT, r14);
FIELD(struct pt_regs, PT, r13);
FIELD(struct pt_regs, PT, r12);
FIELD(struct pt_regs, PT, bp);
FIELD(struct pt_regs, PT, bx);
FIELD(struct pt_regs, PT, r11);
FIELD(struct pt_regs, PT, r10);
FIELD(struct pt_regs, PT, r9);
FIELD(struct pt_regs, PT, r8);
FIELD(struct pt_regs, PT, ax);
FIELD(struct pt_regs, PT, cx);
FIELD(struct pt_regs, PT, dx);
FIELD(struct pt_regs, PT, si);
FIELD(struct pt_regs, PT, di);
FIELD(struct pt_regs, PT, orig_ax);
FIELD(struct pt_regs, PT, ip);
FIELD(struct pt_regs, PT, cs);
FIELD(struct pt_regs, PT, flags);
FIELD(struct pt_regs, PT, sp);
FIELD(struct pt_regs, PT, ss);
SIZE(struct pt_regs, PT_SIZE);

FIELD(struct task, TASK, stack);
FIELD(struct task, TASK, rsp);
FIELD(struct task, TASK, ti_flags);
FIELD(struct task, TASK, flags);
FIELD(struct task, TASK, pid);
FIELD(struct task, TASK, tgid);
FIELD(struct task, TASK, mm);
FIELD(struct task, TASK, task_works);
FIELD(struct task, TASK, pi_lock);
FIELD(struct task, TASK, exit_code);
FIELD(struct task, TASK, comm);
FIELD(struct task, TASK, cr3);
FIELD(struct task, TASK, fs_base);
FIELD(struct task, TASK, gs_base);
FIELD(struct task, TASK, cpu);
FIELD(struct task, TASK, on_cpu);
FIELD(struct task, TASK, fpu);
FIELD(struct task, TASK, unwind_info);
SIZE(struct task, TASK_SIZE);

FIELD(struct callback_head, CALLBACK, next);
FIELD(struct callback_head, CALLBACK, func);
FIELD(struct list_head, LIST, next);
FIELD(struct list_head, LIST, prev);
FIELD(struct mutex, MUTEX, owner);
FIELD(struct mutex, MUTEX, waiters);
FIELD(struct unwind_stacktrace, TRACE, nr);
FIELD(struct unwind_stacktrace, TRACE, entries);
SIZE(struct unwind_stacktrace, TRACE_SIZE);
FIELD(struct unwind_work, WORK, list);
FIELD(struct unwind_work, WORK, func);
#ifdef WORK_bit
FIELD(struct unwind_work, WORK, bit);
#endif

FIELD(struct buffer, BUFFER, head);
FIELD(struct buffer, BUFFER, tail);
FIELD(struct buffer, BUFFER, lost);
FIELD(struct buffer, BUFFER, data);
SIZE(struct buffer, BUFFER_SIZE);

_Static_assert(UNWIND_CACHE_entries + UNWIND_MAX_ENTRIES * sizeof(u64) == UNWIND_CACHE_SIZE,
	       "one page of cache");
