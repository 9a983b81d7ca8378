// SPDX-License-Identifier: GPL-2.0-only
/* Address spaces: what is mapped where, and paging it in. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"

struct mm *mm_create(void)
{
	struct mm *mm = kzalloc(sizeof(*mm));

	if (!mm)
		return NULL;
	mm->pgd = pgd_create();
	if (!mm->pgd) {
		kfree(mm);
		return NULL;
	}
	mm->users = 1;
	mutex_init(&mm->mutex);
	return mm;
}

void mm_get(struct mm *mm) { __atomic_fetch_add(&mm->users, 1, __ATOMIC_SEQ_CST); }

void mm_put(struct mm *mm)
{
	if (__atomic_sub_fetch(&mm->users, 1, __ATOMIC_SEQ_CST))
		return;
	/* From the pages up: a table is found by way of those above it. */
	for (u32 level = 0; level < LEVELS; level++)
		for (const struct vma *vma = mm->vmas; vma; vma = vma->next)
			entries_free(mm->pgd, level, vma->start, vma->end);
	page_free(phys_to_virt(mm->pgd));
	while (mm->vmas) {
		struct vma *vma = mm->vmas;

		mm->vmas = vma->next;
		kfree(vma);
	}
	kfree(mm);
}

/* The stretch that holds an address, or NULL. */
struct vma *vma_find(struct mm *mm, u64 address)
{
	struct vma *vma = mm->vmas;

	while (vma && vma->end <= address)
		vma = vma->next;
	return vma && vma->start <= address ? vma : NULL;
}

/* Enter a stretch where nothing is. -EINVAL: not pages, outside user space, or not free. */
long vma_add(struct mm *mm, u64 start, u64 end, u32 prot, const u8 *file, u64 file_size)
{
	struct vma **link = &mm->vmas;

	if (start % PAGE_SIZE || end % PAGE_SIZE || start < USER_MIN || start >= end || end > TASK_SIZE_MAX)
		return -EINVAL;
	while (*link && (*link)->end <= start)
		link = &(*link)->next;
	if (*link && (*link)->start < end)
		return -EINVAL;
	struct vma *vma = kzalloc(sizeof(*vma));
	if (!vma)
		return -ENOMEM;
	*vma = (struct vma) { *link, start, end, prot, file, file_size };
	*link = vma;
	return 0;
}

/* A new page with the bytes that belong at `address`, a page boundary in vma. */
static u8 *page_of(const struct vma *vma, u64 address)
{
	u64 offset = address - vma->start;
	u64 size = vma->file && offset < vma->file_size ? min_u64(vma->file_size - offset, PAGE_SIZE) : 0;
	u8 *page = page_alloc();

	if (page) {
		memcpy(page, vma->file + offset, size);
		memset(page + size, 0, PAGE_SIZE - size);
	}
	return page;
}

static bool access_allowed(const struct vma *vma, bool write, bool fetch)
{
	if (write)
		return vma->prot & PROT_WRITE;
	return fetch ? vma->prot & PROT_EXEC : vma->prot != 0;
}

static bool fault_locked(struct mm *mm, u64 address, bool write, bool fetch)
{
	struct vma *vma = vma_find(mm, address);

	if (!vma || !access_allowed(vma, write, fetch))
		return false;
	u64 *pte = pte_make(mm->pgd, address);
	if (!pte)
		return false;
	if (*pte & PTE_PRESENT) {
		invlpg(address);	/* another thread was faster, or this TLB is behind */
		return true;
	}
	u8 *page = page_of(vma, page_down(address));
	if (!page)
		return false;
	*pte = virt_to_phys(page) | pte_flags(vma->prot);
	return true;
}

/* A page fault at a user address: true if the access may be tried again. May sleep. */
bool mm_fault(struct mm *mm, u64 address, bool write, bool fetch)
{
	mutex_lock(&mm->mutex);
	bool resolved = fault_locked(mm, address, write, fetch);
	mutex_unlock(&mm->mutex);
	return resolved;
}

static bool clone_pages(struct mm *to, struct mm *from, const struct vma *vma)
{
	u64 address = vma->start;

	for (u64 *pte; (pte = pte_next(from->pgd, &address, vma->end)); address += PAGE_SIZE) {
		u8 *page = page_alloc();
		u64 *copy = page ? pte_make(to->pgd, address) : NULL;
		if (!copy) {
			if (page)
				page_free(page);
			return false;
		}
		memcpy(page, phys_to_virt(*pte & PTE_ADDRESS), PAGE_SIZE);
		*copy = virt_to_phys(page) | pte_flags(vma->prot);
	}
	return true;
}

/* A copy of an address space, page by page; NULL: no memory. */
struct mm *mm_clone(struct mm *from)
{
	struct mm *mm = mm_create();
	bool whole = mm;

	if (!mm)
		return NULL;
	mutex_lock(&from->mutex);
	mm->brk_start = from->brk_start;
	mm->brk = from->brk;
	for (const struct vma *vma = from->vmas; vma && whole; vma = vma->next)
		whole = !vma_add(mm, vma->start, vma->end, vma->prot, vma->file, vma->file_size) &&
			clone_pages(mm, from, vma);
	mutex_unlock(&from->mutex);
	if (!whole) {
		mm_put(mm);
		return NULL;
	}
	return mm;
}
