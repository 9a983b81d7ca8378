// SPDX-License-Identifier: GPL-2.0-only
/* Files: the console as 0, 1 and 2. */
#include "kernel.h"
#include "mm.h"
#include "errno.h"
#include "sys.h"

#define CHUNK		256
#define POLL_NS		1000000		/* how often a reader looks for input */
#define MAX_VECTORS	1024
#define LAST_FD		2

struct iovec { u64 base, size; };

/* One write is one piece on the console, whichever tasks write at once. */
static struct mutex write_mutex = { NULL, LIST_HEAD_INIT(write_mutex.waiters) };

/* Sleep until input may have come. */
static void poll_wait(void)
{
	u64 flags = spin_lock_irqsave(&sched_lock);

	sleep_until(clock_ns() + POLL_NS);
	sleep_on(NULL, TASK_KILLABLE);
	spin_unlock_irqrestore(&sched_lock, flags);
}

long sys_read(u64 fd, u64 buffer, u64 size)
{
	char chunk[CHUNK];
	long n;

	if (fd > LAST_FD)
		return -EBADF;
	if (!user_range(buffer, size))
		return -EFAULT;
	if (!size)
		return 0;
	while (!(n = uart_read(chunk, min_u64(size, CHUNK)))) {
		poll_wait();
		if (fatal_signal_pending())
			return -EINTR;
	}
	if (chunk[0] == END_OF_INPUT)
		return 0;
	return copy_to_user((void *)buffer, chunk, n) ? -EFAULT : n;
}

/* The bytes before an address that cannot be read count as written. */
static long write_bytes(u64 buffer, u64 size)
{
	char chunk[CHUNK];
	u64 written = 0;

	while (written < size) {
		/* A chunk ends at a page's end, so that it is either readable or not. */
		u64 n = min_u64(size - written, min_u64(CHUNK, PAGE_SIZE - (buffer + written) % PAGE_SIZE));

		if (copy_from_user(chunk, (void *)(buffer + written), n))
			return written ? (long)written : -EFAULT;
		console_write(chunk, n);
		written += n;
	}
	return written;
}

long sys_write(u64 fd, u64 buffer, u64 size)
{
	if (fd > LAST_FD)
		return -EBADF;
	if (!user_range(buffer, size))
		return -EFAULT;
	mutex_lock(&write_mutex);
	long written = write_bytes(buffer, size);
	mutex_unlock(&write_mutex);
	return written;
}

long sys_writev(u64 fd, u64 vectors, u64 count)
{
	const struct iovec *from = (const void *)vectors;
	struct iovec vector;
	long total = 0, n = 0;

	if (fd > LAST_FD)
		return -EBADF;
	if (count > MAX_VECTORS)
		return -EINVAL;
	for (u64 i = 0; i < count; i++) {	/* nothing is written if a vector is bad */
		if (copy_from_user(&vector, from + i, sizeof(vector)))
			return -EFAULT;
		if ((s64)vector.size < 0)
			return -EINVAL;
		if (!user_range(vector.base, vector.size))
			return -EFAULT;
	}
	mutex_lock(&write_mutex);
	for (u64 i = 0; i < count; i++) {
		n = -EFAULT;
		if (!copy_from_user(&vector, from + i, sizeof(vector)))
			n = write_bytes(vector.base, vector.size);
		if (n < 0)
			break;
		total += n;
		if ((u64)n < vector.size)
			break;
	}
	mutex_unlock(&write_mutex);
	return total ? total : n;
}
