// SPDX-License-Identifier: GPL-2.0-only
/* Memory calls: anonymous memory only. */
#include "mm.h"
#include "errno.h"
#include "sys.h"

#define MAP_TYPE	0x0f
#define MAP_PRIVATE	0x02
#define MAP_FIXED	0x10
#define MAP_ANONYMOUS	0x20
#define PROT_ALL	(PROT_READ | PROT_WRITE | PROT_EXEC)

/* MAP_SHARED is refused: a forked child would get a copy. */
long sys_mmap(u64 address, u64 length, u64 prot, u64 flags, u64 fd, u64 offset)
{
	if (!(flags & MAP_ANONYMOUS))
		return (s32)fd > 2 || (s32)fd < 0 ? -EBADF : -ENODEV;
	if (offset % PAGE_SIZE || (flags & MAP_TYPE) != MAP_PRIVATE)
		return -EINVAL;
	return mm_map(current->mm, address, length, prot & PROT_ALL, flags & MAP_FIXED);
}

long sys_mprotect(u64 address, u64 length, u64 prot)
{
	if (prot & ~(u64)PROT_ALL)
		return -EINVAL;
	return mm_protect(current->mm, address, length, prot);
}

long sys_munmap(u64 address, u64 length) { return mm_unmap(current->mm, address, length); }
long sys_brk(u64 brk) { return mm_brk(current->mm, brk); }
