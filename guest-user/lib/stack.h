/* What it takes to know a stack: functions that stay functions, frames that stay frames, and a mark to stop at. */
#ifndef STACK_H
#define STACK_H

#include "sys.h"

/* A function that the compiler neither inlines, clones, nor looks into. */
#define OPAQUE __attribute__((noipa))

/* gcc leaves the frame out of a function that calls nothing, in spite of -mno-omit-leaf-frame-pointer. Asking for
 * the frame's address keeps it. */
#define KEEP_FRAME() __asm__ volatile("" : : "r"(__builtin_frame_address(0)))

/* The marked point of a STACK line: getpid(n). The kernel ignores n; whoever watches the system call sees it in rdi.
 * The call is inlined and its caller keeps a frame. */
#define MARK(n)                  \
    do {                         \
        KEEP_FRAME();            \
        SYSCALL(getpid, n);      \
    } while (0)

#endif
