/* SPDX-License-Identifier: GPL-2.0-only */
/* System calls: Linux's numbers, arguments and results, x86-64, and one of our own. Unused arguments are left out. */
#ifndef SYS_H
#define SYS_H

#include "types.h"

struct timespec { s64 sec, nsec; };

#define NS_PER_SECOND 1000000000ll
#define MAX_SECONDS (INT64_MAX / NS_PER_SECOND / 4)	/* longer sleeps are as good as for ever */

static inline bool timespec_valid(const struct timespec *t)
{
	return t->sec >= 0 && t->nsec >= 0 && t->nsec < NS_PER_SECOND;
}

static inline u64 timespec_ns(const struct timespec *t)
{
	return (t->sec < MAX_SECONDS ? t->sec : MAX_SECONDS) * NS_PER_SECOND + t->nsec;
}

/* sys/file.c */
long sys_read(u64 fd, u64 buffer, u64 size);
long sys_write(u64 fd, u64 buffer, u64 size);
long sys_writev(u64 fd, u64 vectors, u64 count);

/* sys/memory.c */
long sys_mmap(u64 address, u64 length, u64 prot, u64 flags, u64 fd, u64 offset);
long sys_mprotect(u64 address, u64 length, u64 prot);
long sys_munmap(u64 address, u64 length);
long sys_brk(u64 brk);

/* sys/process.c */
long sys_getpid(void);
long sys_gettid(void);
long sys_getppid(void);
long sys_clone(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls);
long sys_fork(void);
long sys_vfork(void);
long sys_exit(u64 code);
long sys_exit_group(u64 code);
long sys_wait4(u64 pid, u64 status, u64 options, u64 usage);
long sys_kill(u64 pid, u64 signal);
long sys_tkill(u64 tid, u64 signal);
long sys_tgkill(u64 tgid, u64 tid, u64 signal);
long sys_arch_prctl(u64 code, u64 address);
long sys_set_tid_address(u64 address);

/* sys/sched.c */
long sys_sched_yield(void);
long sys_nanosleep(u64 request, u64 remaining);
long sys_clock_gettime(u64 clock, u64 time);
long sys_sched_setaffinity(u64 pid, u64 size, u64 mask);
long sys_sched_getaffinity(u64 pid, u64 size, u64 mask);
long sys_getcpu(u64 cpu, u64 node);

/* trace/control.c */
long sys_tracer_control(u64 tracer, u64 on);

/* sched/futex.c */
long sys_futex(u64 address, u64 operation, u64 value, u64 timeout);

#endif
