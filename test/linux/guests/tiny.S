# A kernel whose image is as Linux's: linked for the upper half, entered by PVH below it, its names in its own read-only data. It
# counts to three and dies in `crash`.
        .section .note.pvh, "a", @note
        .balign 4
        .long 4, 4, 18                  # Xen, PHYS32_ENTRY
        .asciz "Xen"
        .long pvh_entry

        .section .boot, "ax"
        .code32
pvh_entry:
        movl %cr4, %eax
        orl $0x20, %eax                 # PAE
        movl %eax, %cr4
        movl $tables, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx          # EFER
        rdmsr
        orl $0x100, %eax                # LME
        wrmsr
        movl %cr0, %eax
        orl $0x80000001, %eax           # PG, PE
        movl %eax, %cr0
        lgdt descriptor
        ljmp $8, $long_mode
        .code64
long_mode:
        movq $startup_64, %rax
        jmp *%rax

        .balign 8
gdt:    .quad 0, 0x00af9b000000ffff
descriptor:
        .word . - gdt - 1
        .long gdt

        # Both halves: 1 GiB from 0 on, and as much from 0xffffffff80000000 on is the same memory.
        .balign 4096
tables: .quad low + 3
        .fill 510, 8, 0
        .quad high + 3
low:    .quad pages + 3
        .fill 511, 8, 0
high:   .fill 510, 8, 0
        .quad pages + 3, 0
pages:  .set page, 0
        .rept 512
        .quad page + 0x83
        .set page, page + 0x200000
        .endr

        .text
        .globl startup_64, start_kernel
startup_64:
        movq $stack_end, %rsp
        jmp start_kernel
        .balign 16
start_kernel:
        movl $3, %ecx
1:      call count
        loop 1b
        jmp crash
        .balign 16
count:  incq counter(%rip)
        ret
        .balign 16
crash:  nop
        ud2
        .balign 16
        # As many names as a kernel has at least, with all digits.
        .irp digit, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
        .globl routine_\digit
routine_\digit:
        ret
        .balign 16
quiet_\digit:
        ret
        .balign 16
        .endr
        .weak weak_routine
weak_routine:
        ret

        .section .rodata, "a"
        .globl linux_banner
linux_banner:
        .asciz "Linux version 0.1"
        .balign 8
names:  .incbin "kallsyms.bin"

        .data
        .globl counter
counter:
        .quad 0
        .bss
stack:  .skip 4096
stack_end:
