/* System calls, inlined into their caller: the frame that a walk finds first is the function that asks. */
#ifndef SYS_H
#define SYS_H

#include "numbers.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

struct timespec { long seconds, nanoseconds; };
struct iovec { const void *base; unsigned long length; };

/* One system call by the kernel's convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result or
 * -errno comes back in rax; rcx and r11 are lost (SDM 2B, "SYSCALL"). */
ALWAYS_INLINE long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* SYSCALL(name, argument…): up to six arguments of any scalar type; those left out are 0. */
#define SYSCALL(name, ...) SYSCALL_PADDED(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYSCALL_PADDED(number, a, b, c, d, e, f, ...) \
    syscall6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
