// SPDX-License-Identifier: GPL-2.0-only
/* System calls by number. An empty row is -ENOSYS (entry/syscall.S). */
#include "layout.h"
#include "sys.h"

void *const sys_call_table[NR_SYSCALLS] = {
	[0]   = sys_read,
	[1]   = sys_write,
	[9]   = sys_mmap,
	[10]  = sys_mprotect,
	[11]  = sys_munmap,
	[12]  = sys_brk,
	[20]  = sys_writev,
	[24]  = sys_sched_yield,
	[35]  = sys_nanosleep,
	[39]  = sys_getpid,
	[56]  = sys_clone,
	[57]  = sys_fork,
	[58]  = sys_vfork,
	[60]  = sys_exit,
	[61]  = sys_wait4,
	[62]  = sys_kill,
	[110] = sys_getppid,
	[158] = sys_arch_prctl,
	[186] = sys_gettid,
	[200] = sys_tkill,
	[202] = sys_futex,
	[203] = sys_sched_setaffinity,
	[204] = sys_sched_getaffinity,
	[218] = sys_set_tid_address,
	[228] = sys_clock_gettime,
	[231] = sys_exit_group,
	[234] = sys_tgkill,
	[309] = sys_getcpu,
	[SYS_TRACER_CONTROL] = sys_tracer_control,
};
