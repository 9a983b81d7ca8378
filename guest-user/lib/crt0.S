/* Start-up: the frame that every chain of a main thread ends in. */

#include "numbers.h"

# _start - the entry point of a program.
#   In:       rsp -> argc, argv[0], … argv[argc - 1], 0 (System V ABI, AMD64, "Initial Stack and Register State")
#   Out:      never; the status of main() becomes the exit status of the process.
#   Stack:    rbp = 0 ends the frame chain: the walk records the return address into _start and stops with fp-below-sp.
        .text
        .globl  _start
        .type   _start, @function
_start:
        .cfi_startproc
        .cfi_undefined rip
        xor     %ebp, %ebp
        mov     (%rsp), %edi                    # argc
        lea     8(%rsp), %rsi                   # argv
        call    main
        mov     %eax, %edi
        mov     $SYS_exit_group, %eax
        syscall
        ud2
        .cfi_endproc
        .size   _start, . - _start

        .section .note.GNU-stack, "", @progbits
