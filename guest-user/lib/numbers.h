/* Linux's numbers for x86-64, for C and assembly alike: system calls, errors, signals, flags. */
#ifndef NUMBERS_H
#define NUMBERS_H

#define SYS_read               0
#define SYS_write              1
#define SYS_mmap               9
#define SYS_mprotect          10
#define SYS_munmap            11
#define SYS_brk               12
#define SYS_writev            20
#define SYS_sched_yield       24
#define SYS_nanosleep         35
#define SYS_getpid            39
#define SYS_clone             56
#define SYS_fork              57
#define SYS_exit              60
#define SYS_wait4             61
#define SYS_kill              62
#define SYS_getppid          110
#define SYS_arch_prctl       158
#define SYS_gettid           186
#define SYS_futex            202
#define SYS_sched_setaffinity 203
#define SYS_set_tid_address  218
#define SYS_clock_gettime    228
#define SYS_exit_group       231
#define SYS_getcpu           309
#define SYS_tracer_control  1023 /* unwindlab's own: 0 perf or 1 ftrace; 0 off or 1 on (docs/guest-abi.md) */

#define EPERM     1
#define ESRCH     3
#define EBADF     9
#define ECHILD   10
#define EAGAIN   11
#define ENOMEM   12
#define EFAULT   14
#define EINVAL   22
#define ENOSYS   38
#define ETIMEDOUT 110

#define SIGILL    4
#define SIGTRAP   5
#define SIGBUS    7
#define SIGFPE    8
#define SIGKILL   9
#define SIGSEGV  11
#define SIGTERM  15
#define SIGCHLD  17

#define PROT_NONE   0
#define PROT_READ   1
#define PROT_WRITE  2
#define PROT_EXEC   4
#define MAP_PRIVATE   0x02
#define MAP_FIXED     0x10
#define MAP_ANONYMOUS 0x20

#define CLONE_VM             0x00000100
#define CLONE_FS             0x00000200
#define CLONE_FILES          0x00000400
#define CLONE_SIGHAND        0x00000800
#define CLONE_THREAD         0x00010000
#define CLONE_SYSVSEM        0x00040000
#define CLONE_CHILD_CLEARTID 0x00200000

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_PRIVATE 128

#define WNOHANG 1
#define CLOCK_MONOTONIC 1
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003

#define PAGE 4096

#endif
