/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every number that assembly, C and the host must agree on, once. Assembly uses
 * them as displacements, cpu/layout.c asserts that the C structures obey them, and
 * the build exports each one as an absolute ELF symbol of the same name.
 * A line is `#define NAME number`; the exporter reads nothing else.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include UNWIND_LAYOUT_H	/* UNWIND_* and others that belong to the version of the mechanism */

/* Address space. Physical = virtual - KERNEL_BASE for the image, - DIRECT_MAP for RAM. */
#define KERNEL_BASE		0xffffffff80000000
#define KERNEL_PHYS		0x1000000
#define DIRECT_MAP		0xffff888000000000
#define DIRECT_MAP_BYTES	0x100000000
#define APIC_BASE		0xffffffffffe00000
#define APIC_PHYS		0xfee00000
#define TASK_SIZE_MAX		0x00007ffffffff000	/* first address no user page may have */
#define TRAMPOLINE_PHYS		0x8000			/* its page number is the SIPI vector */
#define PAGE_SIZE		4096
#define LARGE_PAGE_SIZE		0x200000
#define MAX_CPUS		8
#define THREAD_SIZE		16384			/* one kernel stack */
#define NMI_STACK_SIZE		8192

/* struct pt_regs, as Linux has it on x86-64: 21 words. */
#define PT_r15			0
#define PT_r14			8
#define PT_r13			16
#define PT_r12			24
#define PT_bp			32
#define PT_bx			40
#define PT_r11			48
#define PT_r10			56
#define PT_r9			64
#define PT_r8			72
#define PT_ax			80
#define PT_cx			88
#define PT_dx			96
#define PT_si			104
#define PT_di			112
#define PT_orig_ax		120
#define PT_ip			128
#define PT_cs			136
#define PT_flags		144
#define PT_sp			152
#define PT_ss			160
#define PT_SIZE			168

/* struct task. What follows unwind_info is C's own business. */
#define TASK_stack		0	/* u64, lowest address of the kernel stack */
#define TASK_rsp		8	/* u64, where switch_to left the stack pointer */
#define TASK_ti_flags		16	/* u32, TIF bits */
#define TASK_flags		20	/* u32, PF bits */
#define TASK_pid		24	/* u32, one per thread (what Linux's user space calls tid) */
#define TASK_tgid		28	/* u32, one per process (what user space calls pid) */
#define TASK_mm			32	/* struct mm *, NULL in kernel threads and after exit_mm */
#define TASK_task_works		40	/* struct callback_head * */
#define TASK_pi_lock		48	/* u32 spinlock, orders task_work_cancel and task_work_run */
#define TASK_exit_code		52	/* s32, as wait4 encodes it */
#define TASK_comm		56	/* char[16] */
#define TASK_cr3		72	/* u64, physical address of the page tables */
#define TASK_fs_base		80	/* u64, user's */
#define TASK_gs_base		88	/* u64, user's */
#define TASK_cpu		96	/* u32, where it runs or ran last */
#define TASK_on_cpu		100	/* u32, 1 while it is some CPU's current task */
#define TASK_fpu		112	/* 512 bytes of FXSAVE */
#define TASK_unwind_info	624	/* struct unwind_task_info, UNWIND_INFO_SIZE bytes */
#define TASK_SIZE		1024

/*
 * TIF bits of TASK_ti_flags, Linux's numbers, and their masks; the last mask is what the exit loop
 * looks at.
 */
#define TIF_NOTIFY_RESUME	1
#define TIF_SIGPENDING		2
#define TIF_NEED_RESCHED	3
#define _TIF_NOTIFY_RESUME	0x2
#define _TIF_SIGPENDING		0x4
#define _TIF_NEED_RESCHED	0x8
#define _TIF_EXIT_WORK		0xe

/* PF bits of TASK_flags, Linux's numbers. */
#define PF_EXITING		0x4
#define PF_KTHREAD		0x200000

/* per-CPU preempt_count: which kinds of interrupt the CPU is inside of. */
#define HARDIRQ_OFFSET		0x10000
#define NMI_OFFSET		0x100000
#define NMI_MASK		0xf00000

/* struct callback_head and the notify modes of task_work_add. */
#define CALLBACK_next		0
#define CALLBACK_func		8
#define TWA_NONE		0
#define TWA_RESUME		1
#define TWA_NMI_CURRENT		4	/* from an NMI, for the task it interrupted */

/* struct list_head, struct mutex. */
#define LIST_next		0
#define LIST_prev		8
#define MUTEX_owner		0
#define MUTEX_waiters		8

/* struct unwind_stacktrace and struct unwind_work. */
#define TRACE_nr		0
#define TRACE_entries		8
#define TRACE_SIZE		16
#define WORK_list		0
#define WORK_func		16

/* One trace buffer: header, then data. */
#define BUFFER_head		0
#define BUFFER_tail		8
#define BUFFER_lost		16
#define BUFFER_data		4096
#define BUFFER_DATA_SIZE	65536
#define BUFFER_SIZE		69632

/* struct tss, the fields that assembly touches. */
#define TSS_sp0			4

/* Selectors, in the order SYSCALL and SYSRET want them. */
#define KERNEL32_CS		0x08
#define KERNEL_CS		0x10
#define KERNEL_DS		0x18
#define USER32_CS		0x23
#define USER_DS			0x2b
#define USER_CS			0x33
#define TSS_SELECTOR		0x40
#define BOOT_GDT_SIZE		32	/* null and the three kernel descriptors */

/* IST slots (SDM 3A, "Interrupt Stack Table", 6.14.5); 0 means none. */
#define IST_NMI			1
#define IST_FATAL		2

/* Vectors above the exceptions, Linux's numbers where Linux has them. */
#define LOCAL_TIMER_VECTOR	0xec
#define TASK_WORK_VECTOR	0xf5	/* to the own CPU, by task_work_add in an NMI */
#define IRQ_WORK_VECTOR		0xf6
#define TLB_FLUSH_VECTOR	0xf7
#define RESCHEDULE_VECTOR	0xfd
#define SPURIOUS_VECTOR		0xff
#define NMI_VECTOR		2

/* RFLAGS. */
#define X86_EFLAGS_FIXED	0x2
#define X86_EFLAGS_TF		0x100
#define X86_EFLAGS_IF		0x200
#define X86_EFLAGS_RF		0x10000
#define SYSCALL_MASK		0x257fd5	/* what SYSCALL clears: every flag a user can set */

/* Control registers and MSRs. */
#define CR0_BOOT		0x80050033	/* PG, AM, WP, NE, ET, MP, PE */
#define CR4_BOOT		0x620		/* OSXMMEXCPT, OSFXSR, PAE */
#define EFER_BOOT		0x901		/* NXE, LME, SCE */
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_SYSCALL_MASK	0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102

/* Errors that assembly returns. */
#define EBUSY			16
#define EFAULT			14
#define EINVAL			22
#define ENOMEM			12
#define ENOSYS			38
#define ESRCH			3

#define NR_SYSCALLS		1024
#define SYS_TRACER_CONTROL	1023	/* this kernel's own, far above Linux's */

#endif
