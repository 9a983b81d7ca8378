// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small objects: a page is cut into blocks of one power of two. The first block of a page says
 * which; an object of a whole page lies at a page boundary, where no block can.
 */
#include "kernel.h"
#include "mm.h"

#define MIN_SHIFT	6
#define PAGE_SHIFT	12
#define CLASSES		(PAGE_SHIFT - 1 - MIN_SHIFT)	/* 64 to 1024 bytes; more is a page */

struct object { struct object *next; };
struct slab { u64 shift; };

static struct spinlock kmalloc_lock;
static struct object *free_objects[CLASSES];

static u32 shift_for(u64 size)
{
	u32 shift = MIN_SHIFT;

	while (1ull << shift < size)
		shift++;
	return shift;
}

/* kmalloc_lock held. */
static bool refill(u32 shift)
{
	u8 *page = page_alloc();

	if (!page)
		return false;
	((struct slab *)page)->shift = shift;
	for (u64 offset = 1ull << shift; offset < PAGE_SIZE; offset += 1ull << shift) {
		struct object *object = (struct object *)(page + offset);

		object->next = free_objects[shift - MIN_SHIFT];
		free_objects[shift - MIN_SHIFT] = object;
	}
	return true;
}

void *kzalloc(u64 size)
{
	u32 shift = shift_for(size);

	if (shift > PAGE_SHIFT)
		return NULL;
	if (shift >= PAGE_SHIFT - 1)
		return page_alloc_zeroed();
	struct object **list = &free_objects[shift - MIN_SHIFT];
	u64 flags = spin_lock_irqsave(&kmalloc_lock);
	struct object *object = NULL;
	if (*list || refill(shift)) {
		object = *list;
		*list = object->next;
	}
	spin_unlock_irqrestore(&kmalloc_lock, flags);
	if (object)
		memset(object, 0, size);
	return object;
}

void kfree(void *memory)
{
	struct object *object = memory;

	if (!object)
		return;
	if ((u64)object % PAGE_SIZE == 0) {
		page_free(object);
		return;
	}
	u32 shift = ((struct slab *)page_down((u64)object))->shift;
	u64 flags = spin_lock_irqsave(&kmalloc_lock);
	object->next = free_objects[shift - MIN_SHIFT];
	free_objects[shift - MIN_SHIFT] = object;
	spin_unlock_irqrestore(&kmalloc_lock, flags);
}
