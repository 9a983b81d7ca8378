/* untouched - frame chains through pages that nothing has touched yet. A walk in task context faults each of them in, as
 * get_user() does, and finds what the program would find: zeros in fresh memory, the image's own bytes in its data. A walk
 * that must not fault (in an NMI) would end at the first of them with return-address-unreadable.
 *
 * RUN    untouched
 * STACK  getpid(1): fresh_page 0x0; ends: fp-below-sp
 * STACK  getpid(2): stack_gap 0x0; ends: fp-below-sp
 * STACK  getpid(3): across_gap main _start; ends: fp-below-sp
 * STACK  getpid(4): image_data first_page second_page third_page 0x0; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/asm.h"

#define GAP (256 * PAGE)

function main
        push    %rbp
        mov     %rsp, %rbp
        call    fresh_page
        call    stack_gap
        call    across_gap
        call    image_data
        xor     %eax, %eax
        pop     %rbp
        ret
end main

# fresh_page - rbp points into anonymous memory that was mapped and never touched. The stack is moved below it, for a frame
# below the stack pointer would end the walk.
function fresh_page
        push    %rbp
        push    %rbx
        mov     $SYS_mmap, %eax
        xor     %edi, %edi
        mov     $PAGE, %esi
        mov     $PROT_READ | PROT_WRITE, %edx
        mov     $MAP_PRIVATE | MAP_ANONYMOUS, %r10d
        mov     $-1, %r8
        xor     %r9d, %r9d
        syscall
        mov     %rsp, %rbx
        mov     $low_stack_top, %esp
        lea     64(%rax), %rbp
        mark    1
        mov     %rbx, %rsp
        pop     %rbx
        pop     %rbp
        ret
end fresh_page

# stack_gap - rbp points into the stack itself, half way across a megabyte that was stepped over. The push below the gap
# makes the whole of it part of the stack.
function stack_gap
        push    %rbp
        mov     %rsp, %rbp
        sub     $GAP, %rsp
        push    %rbp
        lea     GAP/2(%rsp), %rbp
        mark    2
        pop     %rbp
        mov     %rbp, %rsp
        pop     %rbp
        ret
end stack_gap

# across_gap - the frames on both sides of the same gap are sound, and the walk steps over it.
function across_gap
        push    %rbp
        mov     %rsp, %rbp
        sub     $GAP, %rsp
        mark    3
        leave
        ret
end across_gap

# image_data - rbp points into pages of the image that nothing has read yet; one frame a page.
function image_data
        push    %rbp
        push    %rbx
        mov     %rsp, %rbx
        mov     $low_stack_top, %esp
        mov     $first_frame, %ebp
        mark    4
        mov     %rbx, %rsp
        pop     %rbx
        pop     %rbp
        ret
end image_data

        .irp    name, first_page, second_page, third_page
function \name
        nop
\name\()_return:
        ud2
end \name
        .endr

        .bss
        .balign 16
        .skip   1024
low_stack_top:

        .section .frames, "aw", @progbits
        .balign PAGE
first_frame:
        .quad   second_frame, first_page_return
        .balign PAGE
second_frame:
        .quad   third_frame, second_page_return
        .balign PAGE
third_frame:
        .quad   last_frame, third_page_return
        .balign PAGE
last_frame:
        .quad   0, 0
