/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first instructions of every CPU. The boot CPU comes from a PVH loader, the others
 * from the trampoline; both arrive in 32-bit protected mode without paging and leave in
 * 64-bit mode at their kernel address, with their own stack and their own GS.
 */
#include "asm.h"

#define PHYS(symbol) ((symbol) - KERNEL_BASE)

/* The note by which a loader finds pvh_start (Xen public headers, elfnote.h: PHYS32_ENTRY = 18). */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18		/* length of name, length of value, type */
	.asciz	"Xen"
	.quad	PHYS(pvh_start)

	.text

# pvh_start - entry of the boot CPU.
#   In:       ebx = physical address of hvm_start_info; flat segments, paging off
#   Out:      start_kernel(start_info), on CPU 0's idle stack
#   Context:  IF = 0, no IDT
#   Source:   Xen docs/misc/pvh.pandoc, "Memory layout and initial state"
	.code32
FUNC pvh_start
	cli
	cld
	lgdtl	PHYS(boot_gdt_pointer)
	ljmpl	$KERNEL32_CS, $PHYS(1f)
1:	movl	$PHYS(boot_stack_top), %esp
	movl	%ebx, %edi			/* survives enter_long_mode */
	movl	$PHYS(boot_cpu_64), %ebp
	jmp	enter_long_mode
END pvh_start

# ap_start_32 - entry of the other CPUs, from the trampoline.
#   In:       cs = KERNEL32_CS of boot_gdt; other segments real mode's
#   Context:  IF = 0, no stack
FUNC ap_start_32
	movl	$PHYS(ap_cpu_64), %ebp
	jmp	enter_long_mode
END ap_start_32

# enter_long_mode - PAE, EFER.LME, paging, then a far jump into 64-bit code.
#   In:       ebp = physical address of the 64-bit code to go on at (identity-mapped)
#   Clobbers: eax, ecx, edx, all data segments
#   Source:   SDM 3A, "Initializing IA-32e Mode", 9.8.5
FUNC enter_long_mode
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$CR4_BOOT, %eax
	movl	%eax, %cr4
	movl	$PHYS(boot_pgd), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	$EFER_BOOT, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$CR0_BOOT, %eax
	movl	%eax, %cr0
	ljmpl	$KERNEL_CS, $PHYS(1f)
	.code64
1:	movl	%ebp, %ebp			/* the upper half is undefined after the mode switch */
	jmp	*%rbp
END enter_long_mode

# boot_cpu_64 - leave the identity map, take CPU 0's per-CPU area, enter C.
#   In:       edi = start_info
FUNC boot_cpu_64
	movq	$1f, %rax
	jmp	*%rax
1:	movq	$boot_stack_top, %rsp
	movl	%edi, %edi
	xorl	%esi, %esi
	call	percpu_use			/* keeps rdi */
	xorl	%ebp, %ebp
	call	start_kernel
	ud2
END boot_cpu_64

# ap_cpu_64 - find out which CPU this is, take its stack and per-CPU area, enter C.
#   The initial APIC id names the CPU (SDM 2A, CPUID leaf 1, EBX[31:24]); smp_boot() wrote
#   cpu_apic_id and ap_stack before it sent the SIPI.
FUNC ap_cpu_64
	movq	$1f, %rax
	jmp	*%rax
1:	movl	$1, %eax
	cpuid
	shrl	$24, %ebx
	xorl	%esi, %esi
2:	cmpl	%ebx, cpu_apic_id(,%rsi,4)
	je	3f
	incl	%esi
	cmpl	$MAX_CPUS, %esi
	jb	2b
4:	hlt					/* a CPU that nobody asked for */
	jmp	4b
3:	movq	ap_stack(,%rsi,8), %rsp
	call	percpu_use
	movl	%esi, %edi
	xorl	%ebp, %ebp
	call	ap_main
	ud2
END ap_cpu_64

# percpu_use - make CPU esi's per-CPU area the one that GS names.
#   In:       esi = CPU; __per_cpu_offset[esi] valid, except for CPU 0, whose is computed here
#   Out:      GS base = __per_cpu_offset[esi]
#   Clobbers: rax, rcx, rdx, r8; null selectors in ds, es, fs, gs
FUNC percpu_use
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	testl	%esi, %esi
	jnz	1f
	/*
	 * The copy is named by its direct-map address, so that GS base has its top bit set: NMI
	 * entry asks that.
	 */
	movq	$percpu_areas, %rax
	subq	$KERNEL_BASE, %rax
	movabsq	$DIRECT_MAP, %rcx
	addq	%rcx, %rax
	subq	$percpu_template, %rax
	movq	%rax, __per_cpu_offset(%rip)
	movq	%rdi, %r8			/* start_info */
	movq	$percpu_template, %rsi
	leaq	(%rax,%rsi), %rdi
	movq	$percpu_template_end, %rcx
	subq	%rsi, %rcx
	rep movsb
	movq	%r8, %rdi
	xorl	%esi, %esi
1:	movq	__per_cpu_offset(,%rsi,8), %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	movl	$MSR_GS_BASE, %ecx
	wrmsr
	ret
END percpu_use

	.section .rodata
OBJECT boot_gdt
	.quad	0
	.quad	0x00cf9b000000ffff		/* KERNEL32_CS: flat, 32-bit code */
	.quad	0x00af9b000000ffff		/* KERNEL_CS: 64-bit code */
	.quad	0x00cf93000000ffff		/* KERNEL_DS */
END boot_gdt

OBJECT boot_gdt_pointer, 4
	.word	BOOT_GDT_SIZE - 1
	.long	PHYS(boot_gdt)
END boot_gdt_pointer

	.section .bss.page_aligned, "aw", @nobits
OBJECT boot_stack, PAGE_SIZE			/* CPU 0's idle task keeps it */
	.skip	THREAD_SIZE
	.globl	boot_stack_top
boot_stack_top:
END boot_stack
