/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every per-CPU variable but those of unwind/srcu.S. This is the template: CPU n's copy of a variable is at its
 * address + __per_cpu_offset[n], which is also the CPU's GS base, so `%gs:name` is the own copy.
 */
#include "asm.h"

	.section .percpu, "aw"
	.balign	64

OBJECT cpu_number				# u32, 0 for the boot CPU
	.long	0
END cpu_number

OBJECT preempt_count				# u32, HARDIRQ_OFFSET and NMI_OFFSET counted
	.long	0
END preempt_count

OBJECT current_task				# struct task *
	.quad	init_task
END current_task

OBJECT kernel_stack				# u64, top of the current task's kernel stack
	.quad	boot_stack_top
END kernel_stack

OBJECT syscall_rsp				# u64, the user's rsp between SYSCALL and its push
	.quad	0
END syscall_rsp

OBJECT unwind_ctx_ctr				# u32, the last cookie count given out here; v13 keeps it even, one less
	.long	0
END unwind_ctx_ctr

OBJECT nmi_count				# u32, NMIs taken
	.long	0
END nmi_count

OBJECT cpu_tss, 64				# struct tss
	.skip	104
END cpu_tss

OBJECT cpu_gdt, 64				# in the order of the selectors in layout.h
	.quad	0
	.quad	0x00cf9b000000ffff		# KERNEL32_CS
	.quad	0x00af9b000000ffff		# KERNEL_CS
	.quad	0x00cf93000000ffff		# KERNEL_DS
	.quad	0x00cffb000000ffff		# USER32_CS
	.quad	0x00cff3000000ffff		# USER_DS
	.quad	0x00affb000000ffff		# USER_CS
	.quad	0
	.quad	0, 0				# TSS_SELECTOR, filled in by cpu_init
END cpu_gdt

	.bss
OBJECT __per_cpu_offset				# u64[MAX_CPUS]
	.skip	8 * MAX_CPUS
END __per_cpu_offset

	.section .bss.page_aligned, "aw", @nobits
OBJECT percpu_areas, PAGE_SIZE			# one page per CPU; kernel.ld asserts that the template fits
	.skip	PAGE_SIZE * MAX_CPUS
END percpu_areas

OBJECT nmi_stacks, PAGE_SIZE			# IST_NMI
	.skip	NMI_STACK_SIZE * MAX_CPUS
END nmi_stacks

OBJECT fatal_stacks, PAGE_SIZE			# IST_FATAL: double fault, machine check
	.skip	NMI_STACK_SIZE * MAX_CPUS
END fatal_stacks
