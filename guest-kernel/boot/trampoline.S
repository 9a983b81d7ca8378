/* SPDX-License-Identifier: GPL-2.0-only */
#include "asm.h"

	.section .rodata
	.code16

# trampoline - where a CPU wakes after INIT and SIPI: real mode, at the SIPI vector's page.
#   In:       cs = TRAMPOLINE_PHYS >> 4, ip = 0; IF = 0
#   Out:      ap_start_32, in flat 32-bit protected mode
#   smp_boot() copies [trampoline, trampoline_end) to TRAMPOLINE_PHYS. It touches no memory but its
#   own page and the kernel's boot_gdt, so all CPUs may run it at once.
#   Source:   SDM 3A, "MP Initialization Protocol Algorithm", 8.4.3; "Switching to Protected Mode", 9.9.1
FUNC trampoline
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	%ds:(trampoline_gdt_pointer - trampoline)
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax		/* CD and NW, which INIT leaves set */
	orl	$1, %eax			/* PE */
	movl	%eax, %cr0
	ljmpl	$KERNEL32_CS, $(ap_start_32 - KERNEL_BASE)

	.balign	4
trampoline_gdt_pointer:
	.word	BOOT_GDT_SIZE - 1
	.long	boot_gdt - KERNEL_BASE
	.globl	trampoline_end
trampoline_end:
END trampoline
	.code64
