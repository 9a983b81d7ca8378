// SPDX-License-Identifier: GPL-2.0-only
/*
 * perf's side-band records, and the frame that all of perf's records but SAMPLE share. Linux:
 * perf_event.h, perf_event_type
 */
#include "kernel.h"
#include "trace.h"

#define RECORD_MMAP	1
#define RECORD_LOST	2
#define RECORD_COMM	3
#define RECORD_EXIT	4
#define RECORD_FORK	7
#define MISC_USER	2
#define NAME_BYTES	16	/* NUL-padded; comm has as many */

/* The trailer of every record but SAMPLE (sample_id_all). */
struct sample_id {
	u32 pid, tid;
	u64 time;
	u32 cpu, reserved;
};

struct lost { u64 id, lost; };

static bool begin(struct writer *writer, u32 type, u16 misc, u64 body_size)
{
	return ring_begin(writer, perf_buffers, type, misc, body_size + sizeof(struct sample_id));
}

/* Tell of lost records before the next one that fits, `next_size` bytes long. */
void perf_tell_lost(u64 next_size)
{
	struct writer writer;
	u64 size = sizeof(struct record_header) + sizeof(struct lost) + sizeof(struct sample_id);
	u64 count = ring_claim_lost(perf_buffers, size + next_size);

	if (!count)
		return;
	if (!begin(&writer, RECORD_LOST, 0, sizeof(struct lost))) {
		ring_unclaim_lost(perf_buffers, count);
		return;
	}
	ring_write(&writer, &(struct lost) { 0, count }, sizeof(struct lost));
	perf_end(&writer);
}

bool perf_begin(struct writer *writer, u32 type, u16 misc, u64 body_size)
{
	perf_tell_lost(sizeof(struct record_header) + body_size + sizeof(struct sample_id));
	return begin(writer, type, misc, body_size);
}

void perf_end(struct writer *writer)
{
	struct sample_id id = { current->tgid, current->pid, clock_ns(), cpu_number, 0 };

	ring_write(writer, &id, sizeof(id));
	ring_end(writer);
}

static void record(u32 type, u16 misc, const void *body, u64 size)
{
	struct writer writer;

	if (!perf_enabled || !perf_begin(&writer, type, misc, size))
		return;
	ring_write(&writer, body, size);
	perf_end(&writer);
}

/* Bytes that a name takes: its NUL and the padding to 8 included. */
static u64 padded(const char *name) { return (strlen(name) + 8) & ~7ull; }

void perf_comm(const struct task *task)
{
	struct { u32 pid, tid; char comm[NAME_BYTES]; } body = { task->tgid, task->pid, { 0 } };

	string_copy(body.comm, task->comm, NAME_BYTES);
	record(RECORD_COMM, 0, &body, offsetof(__typeof__(body), comm) + padded(body.comm));
}

/* An executable mapping of the current task. */
void perf_map(u64 address, u64 length, u64 file_offset, const char *name)
{
	struct { u32 pid, tid; u64 address, length, offset; char name[NAME_BYTES]; } body = {
		current->tgid, current->pid, address, length, file_offset, { 0 },
	};

	string_copy(body.name, name, NAME_BYTES);
	record(RECORD_MMAP, MISC_USER, &body, offsetof(__typeof__(body), name) + padded(body.name));
}

static void life(u32 type, const struct task *task, u32 ppid, u32 ptid)
{
	struct { u32 pid, ppid, tid, ptid; u64 time; } body = {
		task->tgid, ppid, task->pid, ptid, clock_ns(),
	};

	record(type, 0, &body, sizeof(body));
}

void perf_fork(const struct task *child, const struct task *parent)
{
	life(RECORD_FORK, child, parent->tgid, parent->pid);
}

void perf_exit(const struct task *task)
{
	u32 parent = task->process->parent ? task->process->parent->tgid : 0;

	life(RECORD_EXIT, task, parent, parent);
}
