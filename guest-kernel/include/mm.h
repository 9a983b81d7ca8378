/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory: pages, small objects, address spaces. */
#ifndef MM_H
#define MM_H

#include "sched.h"

static inline void *phys_to_virt(u64 physical) { return (void *)(physical + DIRECT_MAP); }

static inline u64 virt_to_phys(const void *pointer)
{
	u64 address = (u64)pointer;

	return address >= KERNEL_BASE ? address - KERNEL_BASE : address - DIRECT_MAP;
}

/* mm/page.c */
void page_init(void);
void *page_alloc(void);			/* one page, not cleared; NULL: none left */
void *page_alloc_zeroed(void);
void page_free(void *page);
void *stack_alloc(void);		/* THREAD_SIZE bytes, aligned to it */
void stack_free(void *stack);

/*
 * mm/kmalloc.c: up to one page, cleared, aligned to the power of two that holds it; NULL: none
 * left.
 */
void *kzalloc(u64 size);
void kfree(void *object);

/*
 * A stretch of user memory with one protection. Where it has file bytes a page is read from them
 * when first touched.
 */
struct vma {
	struct vma *next;		/* ordered by address, never overlapping */
	u64 start, end;
	u32 prot;			/* PROT_* */
	const u8 *file;			/* the byte that belongs at `start`, or NULL: zeros */
	u64 file_size;			/* bytes from `file`; zeros follow */
};

#define PROT_READ	1
#define PROT_WRITE	2
#define PROT_EXEC	4

/* An address space. `users` counts tasks; everything else is guarded by `mutex`. */
struct mm {
	u64 pgd;			/* physical */
	u32 users;
	struct mutex mutex;
	struct vma *vmas;
	u64 brk_start, brk;
};

#define USER_MIN	0x10000ull	/* below: never mapped, so that a null pointer faults */
#define STACK_BYTES	0x800000ull
#define MMAP_TOP	(TASK_SIZE_MAX - STACK_BYTES - 0x100000)

/* mm/mm.c */
struct mm *mm_create(void);
struct mm *mm_clone(struct mm *from);
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);
struct vma *vma_find(struct mm *mm, u64 address);
long vma_add(struct mm *mm, u64 start, u64 end, u32 prot, const u8 *file, u64 file_size);
bool mm_fault(struct mm *mm, u64 address, bool write, bool fetch);

/* mm/mmap.c */
long mm_map(struct mm *mm, u64 address, u64 length, u32 prot, bool fixed);
long mm_unmap(struct mm *mm, u64 address, u64 length);
long mm_protect(struct mm *mm, u64 address, u64 length, u32 prot);
u64 mm_brk(struct mm *mm, u64 brk);

/* mm/pagetable.c: 4 KiB user pages, under LEVELS levels of tables. */
#define LEVELS		4
#define PTE_PRESENT	0x1ull
#define PTE_WRITE	0x2ull
#define PTE_USER	0x4ull
#define PTE_HELD	0x200ull	/* software's: not present, but a page belongs here */
#define PTE_NX		(1ull << 63)
#define PTE_ADDRESS	0x000ffffffffff000ull

extern u64 init_pgd[512];
u64 pgd_create(void);			/* physical; 0: no memory */
u64 *pte_make(u64 pgd, u64 address);
u64 *pte_next(u64 pgd, u64 *address, u64 end);	/* the first page in [*address, end), or NULL */
void entries_free(u64 pgd, u32 level, u64 address, u64 end);
u64 pte_flags(u32 prot);

static inline bool pte_has_page(u64 pte) { return pte & (PTE_PRESENT | PTE_HELD); }

/* mm/tlb.c */
void tlb_flush_all_cpus(void);
void tlb_flush_interrupt(void);

/* mm/uaccess.S: 0 or -EFAULT. With interrupts off a page that is not there is -EFAULT. */
long copy_from_user(void *to, const void __user *from, u64 size);
long copy_to_user(void __user *to, const void *from, u64 size);
long get_user_u32(u32 *value, const u32 __user *from);

/* Whether the range could be user memory at all; whether it is shows when it is touched. */
static inline bool user_range(u64 address, u64 size)
{
	return size <= TASK_SIZE_MAX && address <= TASK_SIZE_MAX - size;
}

static inline long put_user_u32(u32 value, u32 __user *to)
{
	return copy_to_user(to, &value, sizeof(value));
}

#endif
