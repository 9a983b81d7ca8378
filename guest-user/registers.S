/* registers - every general register keeps its value: over system calls all but those that SYSCALL itself uses (rax, rcx,
 * r11), and over interrupts, in a loop long enough for many of them, all fifteen, rsp and the flags. The exit status is
 * the number of the first register that was lost, in the order of `each`; 16 stands for rsp, 17 for the flags.
 *
 * RUN    registers
 * OUTPUT registers kept
 * EXIT   0
 */
#include "lib/asm.h"

#define CALLS 300
#define SPINS 1000000
#define DIRECTION 0x400                         /* RFLAGS.DF */

/* ACTION on the number and name of each register that a system call keeps. */
        .macro  each_kept action
        \action 1, rbx
        \action 2, rbp
        \action 3, rsi
        \action 4, rdi
        \action 5, rdx
        \action 6, r8
        \action 7, r9
        \action 8, r10
        \action 9, r12
        \action 10, r13
        \action 11, r14
        \action 12, r15
        .endm

        .macro  each action
        each_kept \action
        \action 13, rax
        \action 14, rcx
        \action 15, r11
        .endm

        .macro  fill number, register
        mov     values + 8*\number, %\register
        .endm

        .macro  check number, register
        cmp     values + 8*\number, %\register
        jne     lost_\number
        .endm

        .macro  lost number, register
lost_\number:
        mov     $\number, %edi
        jmp     stop
        .endm

function main
        mov     %rsp, stack_pointer

        each    fill
1:      mov     $SYS_sched_yield, %eax
        syscall
        test    %rax, %rax
        jnz     lost_13
        each_kept check
        cmp     %rsp, stack_pointer
        jne     lost_16
        decl    calls
        jnz     1b

        each    fill
        std
        stc
1:      decl    spins                           # leaves the carry as it is
        jnz     1b
        jnc     lost_17
        each    check
        cmp     %rsp, stack_pointer
        jne     lost_16
        pushf
        testl   $DIRECTION, (%rsp)
        jz      lost_17

        cld
        mov     stack_pointer, %rsp
        mov     $SYS_write, %eax
        mov     $1, %edi
        mov     $text, %esi
        mov     $text_length, %edx
        syscall
        xor     %eax, %eax
        ret

        each    lost
        lost    16, rsp
        lost    17, flags
stop:   mov     $SYS_exit_group, %eax
        syscall
        ud2
end main

        .section .rodata
text:   .ascii  "registers kept\n"
        .set    text_length, . - text
        .balign 8
values:
        .irp    digit, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f
        .quad   0x\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit\digit
        .endr

        .data
        .balign 8
stack_pointer:
        .quad   0
calls:  .long   CALLS
spins:  .long   SPINS
