// SPDX-License-Identifier: GPL-2.0-only
/* Changing an address space: map, unmap, protect, brk. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"

static bool range_valid(u64 address, u64 length)
{
	return address % PAGE_SIZE == 0 && length && user_range(address, length);
}

/* Make `address` a boundary between stretches. */
static bool split(struct mm *mm, u64 address)
{
	struct vma *vma = vma_find(mm, address);

	if (!vma || vma->start == address)
		return true;
	struct vma *upper = kzalloc(sizeof(*upper));
	if (!upper)
		return false;
	u64 lower_size = address - vma->start;
	*upper = *vma;
	upper->start = address;
	if (vma->file && vma->file_size > lower_size) {
		upper->file += lower_size;
		upper->file_size -= lower_size;
	} else {
		upper->file = NULL;
	}
	vma->end = address;
	vma->next = upper;
	return true;
}

/* Call `change` on the entry of every page in [address, end); true if there was any. */
static bool for_each_page(struct mm *mm, u64 address, u64 end,
			  void (*change)(u64 *pte, u64 flags), u64 flags)
{
	bool any = false;

	for (u64 *pte; (pte = pte_next(mm->pgd, &address, end)); address += PAGE_SIZE) {
		change(pte, flags);
		any = true;
	}
	return any;
}

static void pte_change(u64 *pte, u64 flags) { WRITE_ONCE(*pte, (*pte & PTE_ADDRESS) | flags); }

static void pte_release(u64 *pte, u64 flags)
{
	page_free(phys_to_virt(*pte & PTE_ADDRESS));
	WRITE_ONCE(*pte, flags);
}

static long unmap_locked(struct mm *mm, u64 start, u64 end)
{
	struct vma **link = &mm->vmas;

	if (!split(mm, start) || !split(mm, end))
		return -ENOMEM;
	while (*link && (*link)->start < end) {
		struct vma *vma = *link;

		if (vma->start < start) {
			link = &vma->next;
			continue;
		}
		*link = vma->next;
		kfree(vma);
	}
	/* No page is free for another use while some CPU may still reach it by its TLB. */
	if (for_each_page(mm, start, end, pte_change, PTE_HELD)) {
		tlb_flush_all_cpus();
		for_each_page(mm, start, end, pte_release, 0);
	}
	return 0;
}

/* The highest free place of `length` bytes below MMAP_TOP; 0: none. */
static u64 find_free(struct mm *mm, u64 length)
{
	u64 gap_start = USER_MIN, found = 0;

	for (const struct vma *vma = mm->vmas; ; vma = vma->next) {
		u64 gap_end = min_u64(vma ? vma->start : MMAP_TOP, MMAP_TOP);

		if (gap_start < gap_end && gap_end - gap_start >= length)
			found = gap_end - length;
		if (!vma || vma->end >= MMAP_TOP)
			return found;
		gap_start = vma->end;
	}
}

/* Map zeros. `address` counts only if `fixed`; what was there is replaced. Returns the address. */
long mm_map(struct mm *mm, u64 address, u64 length, u32 prot, bool fixed)
{
	length = page_up(length);
	if (!range_valid(fixed ? address : 0, length))
		return fixed && address % PAGE_SIZE ? -EINVAL : length ? -ENOMEM : -EINVAL;
	if (fixed && address < USER_MIN)
		return -EPERM;
	mutex_lock(&mm->mutex);
	long error = 0;
	if (fixed)
		error = unmap_locked(mm, address, address + length);
	else
		address = find_free(mm, length);
	if (!error)
		error = address ? vma_add(mm, address, address + length, prot, NULL, 0) : -ENOMEM;
	mutex_unlock(&mm->mutex);
	return error ? error : (long)address;
}

long mm_unmap(struct mm *mm, u64 address, u64 length)
{
	length = page_up(length);
	if (!range_valid(address, length))
		return -EINVAL;
	mutex_lock(&mm->mutex);
	long error = unmap_locked(mm, address, address + length);
	mutex_unlock(&mm->mutex);
	return error;
}

static bool wholly_mapped(struct mm *mm, u64 start, u64 end)
{
	while (start < end) {
		const struct vma *vma = vma_find(mm, start);

		if (!vma)
			return false;
		start = vma->end;
	}
	return true;
}

long mm_protect(struct mm *mm, u64 address, u64 length, u32 prot)
{
	length = page_up(length);
	if (address % PAGE_SIZE)
		return -EINVAL;
	if (!length)
		return 0;
	if (!range_valid(address, length))
		return -ENOMEM;
	u64 end = address + length;
	long error = 0;
	mutex_lock(&mm->mutex);
	if (!wholly_mapped(mm, address, end) || !split(mm, address) || !split(mm, end)) {
		error = -ENOMEM;
	} else {
		for (struct vma *vma = mm->vmas; vma; vma = vma->next)
			if (vma->start >= address && vma->end <= end)
				vma->prot = prot;
		if (for_each_page(mm, address, end, pte_change, pte_flags(prot)))
			tlb_flush_all_cpus();
	}
	mutex_unlock(&mm->mutex);
	return error;
}

/* Move the end of the heap; returns where it is then, which is where it was if it cannot move. */
u64 mm_brk(struct mm *mm, u64 brk)
{
	mutex_lock(&mm->mutex);
	u64 old_end = page_up(mm->brk), end = page_up(brk);
	bool moved = false;
	if (brk >= mm->brk_start && brk < MMAP_TOP) {
		if (end > old_end)
			moved = !vma_add(mm, old_end, end, PROT_READ | PROT_WRITE, NULL, 0);
		else
			moved = end == old_end || !unmap_locked(mm, end, old_end);
	}
	if (moved)
		mm->brk = brk;
	u64 result = mm->brk;
	mutex_unlock(&mm->mutex);
	return result;
}
