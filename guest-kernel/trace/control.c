// SPDX-License-Identifier: GPL-2.0-only
/* Tracers come and go: at boot by trace=, later by a system call that is this kernel's own. */
#include "kernel.h"
#include "sched.h"
#include "sys.h"
#include "trace.h"
#include "errno.h"

/* By the first argument of tracer_control. */
static struct tracer *const tracers[] = { &perf_tracer, &ftrace_tracer };
static struct mutex control_mutex = { NULL, LIST_HEAD_INIT(control_mutex.waiters) };

/* Whether trace= names the tracer. */
bool tracer_named(const struct tracer *tracer)
{
	char names[64];

	return command_line_word("trace", names, sizeof(names)) && list_has(names, tracer->name);
}

/* Register first, ask then: no request names a tracer that is not registered. */
int tracer_start(struct tracer *tracer)
{
	int error = unwind_deferred_init(tracer->work, tracer->func);

	if (!error)
		WRITE_ONCE(*tracer->enabled, true);
	return error;
}

/*
 * Wait until every tracepoint and sample that was under way at the call is over. None of them
 * sleeps, and interrupts and NMIs end before what they came into goes on; so a CPU on which this
 * task has run has finished all that it had begun before. An affinity that somebody else gives the
 * task meanwhile is lost. Linux: tracepoint_synchronize_unregister()
 */
static void wait_for_tracepoints(void)
{
	u64 flags = spin_lock_irqsave(&sched_lock);
	u64 allowed = current->cpus_allowed;

	for (u32 cpu = 0; cpu < online_cpus; cpu++) {
		do
			set_affinity(current, 1ull << cpu);
		while (cpu_number != cpu);
	}
	set_affinity(current, allowed);
	spin_unlock_irqrestore(&sched_lock, flags);
}

/*
 * The reverse of the start, with a wait between the two steps as every caller of
 * unwind_deferred_cancel() in Linux must have one: from the cancel on nobody asks, or is about to
 * ask, by this work. Requests that were granted before may be without their callback.
 */
static void tracer_stop(struct tracer *tracer)
{
	WRITE_ONCE(*tracer->enabled, false);
	wait_for_tracepoints();
	unwind_deferred_cancel(tracer->work);
}

/* tracer_control(tracer, on): 0 = perf, 1 = ftrace; nothing happens where it is so already. */
long sys_tracer_control(u64 number, u64 on)
{
	long result = 0;

	if (number >= ARRAY_SIZE(tracers))
		return -EINVAL;
	struct tracer *tracer = tracers[number];
	if (!tracer_named(tracer))
		return -ENODEV;
	mutex_lock(&control_mutex);
	if (on && !*tracer->enabled)
		result = tracer_start(tracer);
	else if (!on && *tracer->enabled)
		tracer_stop(tracer);
	mutex_unlock(&control_mutex);
	return result;
}
