#include "numbers.h"

#define FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID)

# thread_start - run body(argument) on a new thread; the contract is in thread.h.
#   In:       rdi = struct thread, rsi = stack top, rdx = body, rcx = argument
#   Out:      rax = thread id, or -errno
#   Clobbers: rcx, rdx, rsi, rdi, r8, r10, r11
#   The child finds body and argument on its stack: nothing else of the parent's is its own.
        .text
        .globl  thread_start
        .type   thread_start, @function
thread_start:
        .cfi_startproc
        and     $-16, %rsi
        sub     $16, %rsi
        mov     %rdx, (%rsi)                    # body
        mov     %rcx, 8(%rsi)                   # argument
        movl    $1, (%rdi)                      # alive
        mov     %rdi, %r10                      # child_tid
        mov     $FLAGS, %edi
        xor     %edx, %edx                      # parent_tid
        xor     %r8d, %r8d                      # tls
        mov     $SYS_clone, %eax
        syscall
        test    %rax, %rax
        jz      thread_entry
        ret
        .cfi_endproc
        .size   thread_start, . - thread_start

# thread_entry - the first code of a thread, and the outermost frame of its chain.
#   In:       rsp -> body, argument; rsp is 16-byte aligned
#   Out:      never; the thread exits with status 0.
#   Stack:    rbp = 0 ends the frame chain, as in _start.
        .globl  thread_entry
        .type   thread_entry, @function
thread_entry:
        .cfi_startproc
        .cfi_undefined rip
        xor     %ebp, %ebp
        pop     %rax                            # body
        pop     %rdi                            # argument
        call    *%rax
        xor     %edi, %edi
        mov     $SYS_exit, %eax
        syscall
        ud2
        .cfi_endproc
        .size   thread_entry, . - thread_entry

        .section .note.GNU-stack, "", @progbits
