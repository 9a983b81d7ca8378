/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layout that belongs to version v6.19 of the mechanism
 * (include/linux/unwind_deferred_types.h of that release).
 */
#ifndef UNWIND_VERSION_LAYOUT_H
#define UNWIND_VERSION_LAYOUT_H

#define UNWIND_VERSION		"v6.19"

/* struct unwind_task_info, embedded in the task. */
#define UNWIND_INFO_cache	0	/* struct unwind_cache *, allocated at the first walk */
#define UNWIND_INFO_work	8	/* struct callback_head */
#define UNWIND_INFO_mask	24	/* u64 (atomic_long_t): one bit per tracer that has asked, and the bits below */
#define UNWIND_INFO_id		32	/* u64: the cookie, 0 = none yet in this entry */
#define UNWIND_INFO_id_cpu	32	/* u32: its low half, CPU + 1 */
#define UNWIND_INFO_id_cnt	36	/* u32: its high half, always odd */
#define UNWIND_INFO_SIZE	40

/* Bits of the mask that no tracer gets. */
#define UNWIND_PENDING_BIT	0	/* the task work is claimed */
#define UNWIND_USED_BIT		1	/* the cache is filled */
#define UNWIND_PENDING		0x1
#define UNWIND_USED		0x2
#define UNWIND_RESERVED_BITS	0x3

/* struct unwind_work grows by the tracer's bit. */
#define WORK_bit		24	/* s32 */
#define UNWIND_MAX_TRACERS	62	/* one more is refused with -EBUSY */

/* Task works of that time: TWA_NMI_CURRENT sets the flag in the NMI (entry/task_work.S). */
#define TWA_NMI_SETS_FLAG	1

/* struct unwind_cache: one page. */
#define UNWIND_CACHE_completed	0	/* u64: one bit per tracer that has been called in this entry */
#define UNWIND_CACHE_nr_entries	8	/* u64 */
#define UNWIND_CACHE_entries	16	/* u64[UNWIND_MAX_ENTRIES] */
#define UNWIND_CACHE_SIZE	4096
#define UNWIND_MAX_ENTRIES	510	/* (UNWIND_CACHE_SIZE - UNWIND_CACHE_entries) / 8 */

#endif
