// SPDX-License-Identifier: GPL-2.0-only
/*
 * Physical pages. Free RAM is a few ranges that are cut from their lower end, so nothing is
 * touched at boot; what comes back goes to a list of its size. Two sizes are in use: one page
 * and one kernel stack. Freed blocks are not merged.
 */
#include "kernel.h"
#include "mm.h"

#define LOW_MEMORY	0x100000	/* left to firmware, loader and trampoline */
#define MAX_RANGES	(MAX_REGIONS + MAX_MODULES + 1)

struct free_block { struct free_block *next; };

extern u8 kernel_start[], kernel_end[];

static struct spinlock page_lock;
static struct region ranges[MAX_RANGES];	/* physical, never used yet */
static u32 range_count, range_current;
static struct free_block *free_pages, *free_stacks;

/* Take [start, end) out of the ranges. */
static void reserve(u64 start, u64 end)
{
	for (u32 i = 0; i < range_count; i++) {
		struct region *range = &ranges[i];

		if (end <= range->start || start >= range->end)
			continue;
		if (start > range->start && end < range->end && range_count < MAX_RANGES)
			ranges[range_count++] = (struct region) { end, range->end };
		if (start > range->start)
			range->end = start;
		else
			range->start = min_u64(end, range->end);
	}
}

void page_init(void)
{
	memcpy(ranges, ram_regions, sizeof(ram_regions));
	range_count = ram_region_count;
	reserve(0, LOW_MEMORY);
	reserve(virt_to_phys(kernel_start), page_up(virt_to_phys(kernel_end)));
	for (u32 i = 0; i < module_count; i++)
		reserve(page_down(modules[i].start), page_up(modules[i].start + modules[i].size));
}

/* `size` bytes from the ranges, aligned to size. page_lock held. */
static void *cut(u64 size)
{
	for (; range_current < range_count; range_current++) {
		struct region *range = &ranges[range_current];
		u64 start = (range->start + size - 1) & ~(size - 1);

		if (start + size > range->end)
			continue;
		for (; range->start < start; range->start += PAGE_SIZE) {
			struct free_block *page = phys_to_virt(range->start);

			page->next = free_pages;
			free_pages = page;
		}
		range->start = start + size;
		return phys_to_virt(start);
	}
	return NULL;
}

static void *block_alloc(struct free_block **list, u64 size)
{
	u64 flags = spin_lock_irqsave(&page_lock);
	void *block = *list;

	if (block)
		*list = (*list)->next;
	else
		block = cut(size);
	spin_unlock_irqrestore(&page_lock, flags);
	return block;
}

static void block_free(struct free_block **list, void *memory)
{
	struct free_block *block = memory;
	u64 flags = spin_lock_irqsave(&page_lock);

	block->next = *list;
	*list = block;
	spin_unlock_irqrestore(&page_lock, flags);
}

void *page_alloc(void) { return block_alloc(&free_pages, PAGE_SIZE); }
void page_free(void *page) { block_free(&free_pages, page); }
void *stack_alloc(void) { return block_alloc(&free_stacks, THREAD_SIZE); }
void stack_free(void *stack) { block_free(&free_stacks, stack); }

void *page_alloc_zeroed(void)
{
	void *page = page_alloc();

	if (page)
		memset(page, 0, PAGE_SIZE);
	return page;
}
