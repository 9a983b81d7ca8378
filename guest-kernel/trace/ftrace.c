// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ftrace tracer: every system call's beginning and end, each with the cookie of its user stack,
 * and the stack.
 */
#include "kernel.h"
#include "sched.h"
#include "trace.h"

#define RECORD_SYS_ENTER		1
#define RECORD_SYS_EXIT			2
#define RECORD_USER_UNWIND_STACK	3
#define RECORD_PROBE			4

/* How the body of each record begins. */
struct event {
	u32 pid, tid;
	u64 time;
	u64 cookie;		/* 0: the request was refused */
};

bool ftrace_enabled;
static struct unwind_work ftrace_work;
static u64 sleep_ns;		/* how long the callback waits, as for room in its output; 0: not */

static void record(u32 type, u64 cookie, const void *head, u64 head_size, const void *rest, u64 rest_size)
{
	struct event event = { current->tgid, current->pid, clock_ns(), cookie };
	struct writer writer;

	if (!ring_begin(&writer, ftrace_buffers, type, 0, sizeof(event) + head_size + rest_size))
		return;
	ring_write(&writer, &event, sizeof(event));
	ring_write(&writer, head, head_size);
	ring_write(&writer, rest, rest_size);
	ring_end(&writer);
}

/* From trace_syscall_enter. */
void ftrace_sys_enter(struct pt_regs *regs)
{
	const u64 body[] = { regs->orig_ax, regs->di, regs->si, regs->dx, regs->r10, regs->r8, regs->r9 };
	u64 cookie;

	unwind_deferred_request(&ftrace_work, &cookie);
	record(RECORD_SYS_ENTER, cookie, body, sizeof(body), NULL, 0);
}

/* From trace_syscall_leave. */
void ftrace_sys_exit(struct pt_regs *regs)
{
	const u64 body[] = { regs->orig_ax, regs->ax };
	u64 cookie;

	unwind_deferred_request(&ftrace_work, &cookie);
	record(RECORD_SYS_EXIT, cookie, body, sizeof(body), NULL, 0);
}

/* From trace_probe, which was called at `ip`. In any context. */
void ftrace_probe(u64 ip)
{
	u64 cookie;

	unwind_deferred_request(&ftrace_work, &cookie);
	record(RECORD_PROBE, cookie, &ip, sizeof(ip), NULL, 0);
}

/* The callback of the deferred unwinding. */
static void ftrace_unwound(struct unwind_work *work, struct unwind_stacktrace *trace, u64 cookie)
{
	(void)work;
	if (sleep_ns)
		sleep_for(sleep_ns);
	record(RECORD_USER_UNWIND_STACK, cookie, &trace->nr, sizeof(trace->nr),
	       trace->entries, trace->nr * sizeof(u64));
}

struct tracer ftrace_tracer = { "ftrace", &ftrace_enabled, &ftrace_work, ftrace_unwound };

void ftrace_init(void)
{
	if (!tracer_named(&ftrace_tracer))
		return;
	sleep_ns = command_line_number("ftrace.sleep", 0);
	tracer_start(&ftrace_tracer);
}
