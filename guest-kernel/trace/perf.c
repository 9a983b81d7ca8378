// SPDX-License-Identifier: GPL-2.0-only
/*
 * The perf tracer: samples of whatever runs, by timer interrupt or by NMI. A sample has the
 * kernel's own call chain and, where the request is granted, the cookie that names the user stack;
 * that follows in a record of its own. Like perf's exclude_idle, an idle CPU is not sampled.
 * Linux: kernel/events/core.c perf_event_output(), kernel/events/callchain.c
 */
#include "kernel.h"
#include "sched.h"
#include "trace.h"

#define RECORD_SAMPLE			9
#define RECORD_CALLCHAIN_DEFERRED	22
#define MISC_KERNEL			1
#define MISC_USER			2
#define CONTEXT_KERNEL			((u64)-128)
#define CONTEXT_USER_DEFERRED		((u64)-640)
#define MAX_KERNEL_CHAIN		64

struct sample {
	u64 ip;
	u32 pid, tid;
	u64 time;
	u32 cpu, reserved;
	u64 period;
	u64 nr;			/* of the call chain that follows */
};

struct frame { u64 bp, ip; };

bool perf_enabled;
u64 perf_timer_period;
static bool perf_by_nmi, pmu_present;
static u64 perf_period;
static struct unwind_work perf_work;

/*
 * The interrupted kernel code's callers, by its frame pointers, which lie on the current task's
 * stack.
 */
static u64 kernel_chain(const struct pt_regs *regs, u64 *chain)
{
	u64 top = (u64)task_pt_regs(current), bp = regs->bp, floor = current->stack, n = 0;

	chain[n++] = regs->ip;
	while (n < MAX_KERNEL_CHAIN && bp >= floor && bp + sizeof(struct frame) <= top && bp % 8 == 0) {
		const struct frame *frame = (const struct frame *)bp;

		chain[n++] = frame->ip;
		floor = bp + sizeof(struct frame);
		bp = frame->bp;
	}
	return n;
}

/* Record a sample of the interrupted code. In an interrupt or an NMI. */
void perf_sample(struct pt_regs *regs, u64 period)
{
	u64 chain[MAX_KERNEL_CHAIN + 3], n = 0, cookie;
	bool user = user_mode(regs);
	struct writer writer;

	if (!perf_enabled || cpu_is_idle())
		return;
	if (!user) {
		chain[n++] = CONTEXT_KERNEL;
		n += kernel_chain(regs, chain + n);
	}
	if (unwind_deferred_request(&perf_work, &cookie) >= 0) {
		chain[n++] = CONTEXT_USER_DEFERRED;
		chain[n++] = cookie;
	}
	struct sample sample = {
		regs->ip, current->tgid, current->pid, clock_ns(), cpu_number, 0, period, n,
	};
	u64 size = sizeof(sample) + n * sizeof(u64);
	perf_tell_lost(sizeof(struct record_header) + size);
	if (!ring_begin(&writer, perf_buffers, RECORD_SAMPLE, user ? MISC_USER : MISC_KERNEL, size))
		return;
	ring_write(&writer, &sample, sizeof(sample));
	ring_write(&writer, chain, n * sizeof(u64));
	ring_end(&writer);
}

/* The callback of the deferred unwinding. */
static void perf_unwound(struct unwind_work *work, struct unwind_stacktrace *trace, u64 cookie)
{
	u64 head[2] = { cookie, trace->nr }, size = trace->nr * sizeof(u64);
	struct writer writer;

	(void)work;
	if (!perf_begin(&writer, RECORD_CALLCHAIN_DEFERRED, MISC_USER, sizeof(head) + size))
		return;
	ring_write(&writer, head, sizeof(head));
	ring_write(&writer, trace->entries, size);
	perf_end(&writer);
}

/*
 * With perf.source=nmi every NMI is a sample: the counter's, and those of others, as perf has them
 * by its event nmi:nmi_handler.
 */
void perf_nmi(struct pt_regs *regs)
{
	if (perf_by_nmi)
		perf_sample(regs, pmu_present && pmu_overflowed() ? perf_period : 1);
}

struct tracer perf_tracer = { "perf", &perf_enabled, &perf_work, perf_unwound };

void perf_init(void)
{
	char source[16] = "timer";

	if (!tracer_named(&perf_tracer))
		return;
	command_line_word("perf.source", source, sizeof(source));
	perf_period = max_u64(1, command_line_number("perf.period", 100000));
	if (string_equal(source, "nmi")) {
		perf_by_nmi = true;
		pmu_present = pmu_init(perf_period);
		if (!pmu_present)
			printk("perf: no performance counter: only NMIs from elsewhere are sampled\n");
	} else {
		if (!string_equal(source, "timer"))
			printk("expected perf.source=timer or nmi, found %s: using timer\n", source);
		perf_timer_period = perf_period;
	}
	tracer_start(&perf_tracer);
}

/* On each CPU, once it has its APIC. */
void perf_start_cpu(void)
{
	if (pmu_present)
		pmu_start_cpu();
}
