// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ring buffers, one per CPU and tracer, written without locks. A writer may be interrupted by
 * another on the same CPU: a task by an interrupt, either by an NMI. Each reserves its place with
 * one cmpxchg; the outermost writer, which finishes last, moves `head` over all of them at once. So
 * a reader never sees half a record.
 * Linux: kernel/events/ring_buffer.c
 */
#include "kernel.h"
#include "trace.h"

struct buffer perf_buffers[MAX_CPUS] __attribute__((aligned(PAGE_SIZE)));
struct buffer ftrace_buffers[MAX_CPUS] __attribute__((aligned(PAGE_SIZE)));

/* One writer fewer; the last one publishes. */
static void leave(struct buffer *buffer)
{
	while (READ_ONCE(buffer->nest) == 1) {
		u64 head = READ_ONCE(buffer->reserved);

		barrier();		/* records before head; x86 keeps stores in order */
		WRITE_ONCE(buffer->head, head);
		WRITE_ONCE(buffer->nest, 0);
		barrier();
		if (READ_ONCE(buffer->reserved) == head) {
			trace_record(buffer);
			return;
		}
		/*
		 * An interrupt came between the read and the end of nesting: its record is still
		 * hidden.
		 */
		WRITE_ONCE(buffer->nest, 1);
	}
	WRITE_ONCE(buffer->nest, buffer->nest - 1);
}

/* Whether `size` bytes would fit now. */
static bool fits(const struct buffer *buffer, u64 at, u64 size)
{
	return at + size - READ_ONCE(buffer->tail) <= BUFFER_DATA_SIZE;
}

/*
 * Reserve a record on this CPU and write its header; body_size is a multiple of 8. false: it does
 * not fit and was counted as lost. The caller must not sleep before ring_end().
 */
bool ring_begin(struct writer *writer, struct buffer *buffers, u32 type, u16 misc, u64 body_size)
{
	struct buffer *buffer = &buffers[cpu_number];
	struct record_header header = { type, misc, sizeof(header) + body_size };

	WRITE_ONCE(buffer->nest, buffer->nest + 1);
	barrier();
	u64 at = READ_ONCE(buffer->reserved);
	do {
		if (!fits(buffer, at, header.size)) {
			__atomic_fetch_add(&buffer->lost, 1, __ATOMIC_RELAXED);
			leave(buffer);
			return false;
		}
	} while (!__atomic_compare_exchange_n(&buffer->reserved, &at, at + header.size, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	*writer = (struct writer) { buffer, at };
	ring_write(writer, &header, sizeof(header));
	return true;
}

void ring_write(struct writer *writer, const void *bytes, u64 size)
{
	u8 *data = writer->buffer->data;
	u64 offset = writer->position % BUFFER_DATA_SIZE;
	u64 first = min_u64(size, BUFFER_DATA_SIZE - offset);

	memcpy(data + offset, bytes, first);
	memcpy(data, (const u8 *)bytes + first, size - first);
	writer->position += size;
}

void ring_end(struct writer *writer)
{
	barrier();
	leave(writer->buffer);
}

/*
 * The number of lost records of this CPU that no LOST record has told yet, if one of `size` bytes
 * would fit together with the record that follows it; they count as told from here on. 0: none, or
 * no room.
 */
u64 ring_claim_lost(struct buffer *buffers, u64 size)
{
	struct buffer *buffer = &buffers[cpu_number];
	u64 told = READ_ONCE(buffer->lost_reported), lost = READ_ONCE(buffer->lost);

	if (lost == told || !fits(buffer, READ_ONCE(buffer->reserved), size))
		return 0;
	return __atomic_compare_exchange_n(&buffer->lost_reported, &told, lost, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? lost - told : 0;
}

/* The LOST record itself got lost after all. */
void ring_unclaim_lost(struct buffer *buffers, u64 count)
{
	__atomic_fetch_sub(&buffers[cpu_number].lost_reported, count, __ATOMIC_SEQ_CST);
}
