/* For programs in assembly: functions with a size, and the mark of lib/stack.h. */
#ifndef ASM_H
#define ASM_H

#include "numbers.h"

        .macro  function name
        .text
        .globl  \name
        .type   \name, @function
\name:
        .endm

        .macro  end name
        .size   \name, . - \name
        .endm

/* getpid(n): the marked point of a STACK line. Clobbers rax, rcx, rdi, r11. */
        .macro  mark n
        mov     $\n, %edi
        mov     $SYS_getpid, %eax
        syscall
        .endm

        .section .note.GNU-stack, "", @progbits
#endif
