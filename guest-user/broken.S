/* broken - frame chains that end as no compiler would end them: each stop condition of the walk, alone and where two of
 * them hold at once, so that their order shows. A step of the walk is refused by the first of
 *   fp < sp, CFA <= sp, CFA misaligned, return address unreadable, saved fp unreadable      with CFA = fp + 16.
 * A return address is never judged: whatever can be read is recorded.
 *
 * The stack is low in memory and the made frames are above it, in a section with nothing mapped before and behind it.
 *
 * RUN    broken
 * STACK  getpid(1): fp_zero; ends: fp-below-sp
 * STACK  getpid(2): fp_below_sp; ends: fp-below-sp
 * STACK  getpid(3): fp_below_sp_odd; ends: fp-below-sp
 * STACK  getpid(4): fp_equals_sp cases main; ends: fp-below-sp
 * STACK  getpid(5): cfa_wraps; ends: cfa-not-above-sp
 * STACK  getpid(6): cfa_wraps_odd; ends: cfa-not-above-sp
 * STACK  getpid(7): cfa_odd; ends: misaligned
 * STACK  getpid(8): cfa_odd_kernel; ends: misaligned
 * STACK  getpid(9): ra_unmapped; ends: return-address-unreadable
 * STACK  getpid(10): ra_behind_edge; ends: return-address-unreadable
 * STACK  getpid(11): ra_kernel; ends: return-address-unreadable
 * STACK  getpid(12): ra_noncanonical; ends: return-address-unreadable
 * STACK  getpid(13): ra_beyond_user; ends: return-address-unreadable
 * STACK  getpid(14): ra_near_wrap; ends: return-address-unreadable
 * STACK  getpid(15): fp_before_edge; ends: frame-pointer-unreadable
 * STACK  getpid(16): self_loop anchor; ends: fp-below-sp
 * STACK  getpid(17): goes_down anchor anchor; ends: fp-below-sp
 * STACK  getpid(18): second_odd anchor; ends: misaligned
 * STACK  getpid(19): second_wraps anchor; ends: cfa-not-above-sp
 * STACK  getpid(20): second_unmapped anchor; ends: return-address-unreadable
 * STACK  getpid(21): any_ra 0x0 0xdeadbeefcafe 0xffffffff81000000 0x8000000000000000; ends: fp-below-sp
 * STACK  getpid(22): context_ra 0xffffffffffffff80 0xfffffffffffffd80 anchor; ends: fp-below-sp
 * STACK  getpid(23): endless anchor*600; ends: limit
 * EXIT   0
 */
#include "lib/asm.h"

# case NAME, NUMBER, INSTRUCTION - a row of the table: a function that marks NUMBER with the rbp that INSTRUCTION makes.
        .macro  case name, number, instruction:vararg
function \name
        push    %rbp
        \instruction
        mark    \number
        pop     %rbp
        ret
end \name
        .pushsection .rodata
        .quad   \name
        .popsection
        .endm

        .pushsection .rodata
        .balign 8
table:
        .popsection

        case fp_zero,          1, xor %ebp, %ebp
        case fp_below_sp,      2, lea -8(%rsp), %rbp
        case fp_below_sp_odd,  3, lea -7(%rsp), %rbp
        case fp_equals_sp,     4, mov %rsp, %rbp
        case cfa_wraps,        5, mov $-16, %rbp
        case cfa_wraps_odd,    6, mov $-1, %rbp
        case cfa_odd,          7, lea 4(%rsp), %rbp
        case cfa_odd_kernel,   8, mov $0xffffffff81000001, %rbp
        case ra_unmapped,      9, mov $frames_end, %rbp
        case ra_behind_edge,  10, mov $frames_end - 8, %rbp
        case ra_kernel,       11, mov $0xffffffff81000000, %rbp
        case ra_noncanonical, 12, movabs $0x8000000000000000, %rbp
        case ra_beyond_user,  13, movabs $0x7ffffffff000 - 8, %rbp
        case ra_near_wrap,    14, mov $-32, %rbp
        case fp_before_edge,  15, mov $frames - 8, %rbp
        case self_loop,       16, mov $loop_frame, %rbp
        case goes_down,       17, mov $low_frame, %rbp
        case second_odd,      18, mov $odd_frame, %rbp
        case second_wraps,    19, mov $wrap_frame, %rbp
        case second_unmapped, 20, mov $unmapped_frame, %rbp
        case any_ra,          21, mov $any_frame, %rbp
        case context_ra,      22, mov $context_frame, %rbp
        case endless,         23, mov $endless_frame, %rbp

        .pushsection .rodata
table_end:
        .popsection

# cases - every row of the table in turn; the outermost frame on the low stack.
#   In:       rbp = 0                       Clobbers: rbx and what mark clobbers
function cases
        push    %rbp
        mov     %rsp, %rbp
        mov     $table, %ebx
1:      call    *(%rbx)
        add     $8, %rbx
        cmp     $table_end, %rbx
        jb      1b
        pop     %rbp
        ret
end cases

# main - runs the cases on the low stack.
function main
        push    %rbp
        push    %rbx
        push    %r12
        mov     %rsp, %r12
        mov     $low_stack_top, %esp
        xor     %ebp, %ebp
        call    cases
        mov     %r12, %rsp
        xor     %eax, %eax
        pop     %r12
        pop     %rbx
        pop     %rbp
        ret
end main

# anchor - what the return addresses of made frames point into; nobody returns there.
function anchor
        nop
anchor_return:
        ud2
end anchor

        .bss
        .balign 16
        .skip   1024
low_stack_top:

# Made frames: saved fp, return address. The first one's return address is the first word of the section, so that its
# saved fp would lie before it. The build places the section apart (guest-user/build.mk).
        .section .frames, "aw", @progbits
frames:
        .quad   anchor_return, 0
loop_frame:
        .quad   loop_frame, anchor_return
low_frame:
        .quad   1f, anchor_return
1:      .quad   low_frame, anchor_return
odd_frame:
        .quad   1f + 1, anchor_return
1:
wrap_frame:
        .quad   -16, anchor_return
unmapped_frame:
        .quad   frames_end, anchor_return
any_frame:
        .quad   1f, 0
1:      .quad   1f, 0xdeadbeefcafe
1:      .quad   1f, 0xffffffff81000000
1:      .quad   0, 0x8000000000000000
context_frame:                                  # the values that perf keeps for the borders between contexts
        .quad   1f, 0xffffffffffffff80          # PERF_CONTEXT_KERNEL
1:      .quad   1f, 0xfffffffffffffd80          # PERF_CONTEXT_USER_DEFERRED
1:      .quad   0, anchor_return
endless_frame:
        .rept   600
        .quad   . + 16, anchor_return
        .endr
        .quad   0, 0
        .balign PAGE
frames_end:
