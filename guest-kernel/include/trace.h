/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracers and their ring buffers (docs/guest-abi.md). */
#ifndef TRACE_H
#define TRACE_H

#include "task.h"

struct unwind_stacktrace {
	u64 nr;
	u64 *entries;
};

struct unwind_work {
	struct list_head list;
	void (*func)(struct unwind_work *work, struct unwind_stacktrace *trace, u64 cookie);
#ifdef WORK_bit
	s32 bit;		/* the tracer's in every mask; -1: cancelled */
#endif
};

/* unwind/VERSION.S */
extern const char kernel_version[];
int unwind_deferred_init(struct unwind_work *work,
			 void (*func)(struct unwind_work *, struct unwind_stacktrace *, u64));
int unwind_deferred_request(struct unwind_work *work, u64 *cookie);
void unwind_deferred_cancel(struct unwind_work *work);

/* A tracer: trace/control.c turns it on and off. */
struct tracer {
	const char *name;	/* in trace= */
	bool *enabled;		/* its tracepoints and samples ask and record */
	struct unwind_work *work;
	void (*func)(struct unwind_work *work, struct unwind_stacktrace *trace, u64 cookie);
};

/* trace/control.c */
bool tracer_named(const struct tracer *tracer);
int tracer_start(struct tracer *tracer);

struct record_header {
	u32 type;
	u16 misc;
	u16 size;
};

/* A buffer as the host sees it; the writers' own state follows the header that is shared. */
struct buffer {
	u64 head;		/* bytes committed since boot */
	u64 tail;		/* bytes the host has taken */
	u64 lost;		/* records dropped since boot */
	u64 reserved;		/* bytes handed to writers; >= head */
	u64 lost_reported;	/* how many of `lost` a LOST record has told */
	u32 nest;		/* writers active on this CPU: a task, an interrupt in it, an NMI in that */
	_Alignas(BUFFER_data) u8 data[BUFFER_DATA_SIZE];
};

/* A reservation that is being filled. */
struct writer {
	struct buffer *buffer;
	u64 position;
};

/* trace/ring.c */
extern struct buffer perf_buffers[MAX_CPUS], ftrace_buffers[MAX_CPUS];
bool ring_begin(struct writer *writer, struct buffer *buffers, u32 type, u16 misc, u64 body_size);
void ring_write(struct writer *writer, const void *bytes, u64 size);
void ring_end(struct writer *writer);
u64 ring_claim_lost(struct buffer *buffers, u64 size);
void ring_unclaim_lost(struct buffer *buffers, u64 count);

/* trace/hooks.S */
void trace_task_exit(struct task *task, s32 status);
void trace_record(struct buffer *buffer);

/* trace/perf.c */
extern struct tracer perf_tracer;
void perf_init(void);
void perf_start_cpu(void);
void perf_sample(struct pt_regs *regs, u64 period);
extern u64 perf_timer_period;		/* ns between timer samples, 0: no timer samples */
void perf_nmi(struct pt_regs *regs);

/* trace/perf_events.c */
extern bool perf_enabled;
void perf_tell_lost(u64 next_size);
void perf_comm(const struct task *task);
void perf_map(u64 address, u64 length, u64 file_offset, const char *name);
void perf_fork(const struct task *child, const struct task *parent);
void perf_exit(const struct task *task);
bool perf_begin(struct writer *writer, u32 type, u16 misc, u64 body_size);
void perf_end(struct writer *writer);

/* trace/pmu.c: architectural performance counter 0. */
bool pmu_init(u64 period);
void pmu_start_cpu(void);
bool pmu_overflowed(void);		/* in the NMI: true if the counter raised it; it counts on */

/* trace/ftrace.c */
extern bool ftrace_enabled;
extern struct tracer ftrace_tracer;
void ftrace_init(void);
void ftrace_sys_enter(struct pt_regs *regs);
void ftrace_sys_exit(struct pt_regs *regs);
void ftrace_probe(u64 ip);

#endif
