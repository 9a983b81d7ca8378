/* SPDX-License-Identifier: GPL-2.0-only */
/* Circular doubly linked lists; LIST_next and LIST_prev of layout.h. */
#ifndef LIST_H
#define LIST_H

#include "types.h"

struct list_head { struct list_head *next, *prev; };

#define LIST_HEAD_INIT(name) { &(name), &(name) }
#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_for_each(pos, head) for (struct list_head *pos = (head)->next; pos != (head); pos = pos->next)

static inline void list_init(struct list_head *head) { head->next = head->prev = head; }
static inline bool list_empty(const struct list_head *head) { return head->next == head; }

static inline void list_add_before(struct list_head *node, struct list_head *next)
{
	node->prev = next->prev;
	node->next = next;
	next->prev->next = node;
	next->prev = node;
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	list_add_before(node, head);
}

/* Take a node out; it is then an empty list of its own, so taking it out twice does no harm. */
static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#endif
