// SPDX-License-Identifier: GPL-2.0-only
/* What an exception, an interrupt or an NMI means. */
#include "kernel.h"
#include "mm.h"
#include "signal.h"
#include "trace.h"

struct extable_entry { u64 fault, fixup; };
extern const struct extable_entry extable_start[], extable_end[];

#define VECTOR_PAGE_FAULT	14
#define PF_ERROR_WRITE		0x2
#define PF_ERROR_FETCH		0x10

/* Exceptions by vector: what a report calls it, which signal a user task dies of. */
static const struct { const char *name; s32 signal; } exceptions[32] = {
	[0]  = { "divide error", SIGFPE },
	[1]  = { "debug trap", SIGTRAP },
	[3]  = { "breakpoint", SIGTRAP },
	[4]  = { "overflow", SIGSEGV },
	[5]  = { "bound range exceeded", SIGSEGV },
	[6]  = { "invalid opcode", SIGILL },
	[7]  = { "device not available", SIGFPE },
	[8]  = { "double fault", SIGSEGV },
	[10] = { "invalid TSS", SIGSEGV },
	[11] = { "segment not present", SIGBUS },
	[12] = { "stack segment fault", SIGBUS },
	[13] = { "general protection fault", SIGSEGV },
	[14] = { "page fault", SIGSEGV },
	[16] = { "x87 error", SIGFPE },
	[17] = { "alignment check", SIGBUS },
	[18] = { "machine check", SIGBUS },
	[19] = { "SIMD error", SIGFPE },
};

void die(struct pt_regs *regs, u32 vector)
{
	panic("%s (vector %u, error %lx) at ip %lx, sp %lx, address %lx, CPU %u, task %s[%u]%s",
	      exceptions[vector].name, vector, regs->orig_ax, regs->ip, regs->sp,
	      vector == VECTOR_PAGE_FAULT ? read_cr2() : 0, cpu_number, current->comm, current->pid,
	      in_nmi() ? ", in NMI" : "");
}

static bool fix_up(struct pt_regs *regs)
{
	for (const struct extable_entry *entry = extable_start; entry < extable_end; entry++)
		if (entry->fault == regs->ip) {
			regs->ip = entry->fixup;
			return true;
		}
	return false;
}

/*
 * A user page that is not there, or not yet. Paging in may sleep, so it needs a context that had
 * interrupts on; from any other the access fails, by its fix-up.
 */
static bool page_in(struct pt_regs *regs, u64 address)
{
	if (!(regs->flags & X86_EFLAGS_IF) || preempt_count || !current->mm || address >= TASK_SIZE_MAX)
		return false;
	irq_enable();
	return mm_fault(current->mm, address, regs->orig_ax & PF_ERROR_WRITE,
			regs->orig_ax & PF_ERROR_FETCH);
}

static void do_exception(struct pt_regs *regs, u32 vector)
{
	u64 address = vector == VECTOR_PAGE_FAULT ? read_cr2() : 0;

	if (in_nmi())
		die(regs, vector);	/* its IRET would end the NMI's protection: entry/nmi.S */
	if (vector == VECTOR_PAGE_FAULT && page_in(regs, address))
		return;
	if (!user_mode(regs)) {
		if (!fix_up(regs))
			die(regs, vector);
		return;
	}
	s32 signal = exceptions[vector].signal;
	printk("%s[%u]: %s (vector %u) at ip %lx, address %lx: killed by signal %d\n",
	       current->comm, current->pid, exceptions[vector].name, vector, regs->ip, address, signal);
	kill_process(current->process, signal);
}

static void do_interrupt(struct pt_regs *regs, u32 vector)
{
	preempt_count += HARDIRQ_OFFSET;
	if (vector != SPURIOUS_VECTOR)
		apic_eoi();
	switch (vector) {
	case LOCAL_TIMER_VECTOR:
		timer_interrupt(regs);
		break;
	case TASK_WORK_VECTOR:
		task_work_interrupt();
		break;
	case IRQ_WORK_VECTOR:
		warn_flush();
		break;
	case TLB_FLUSH_VECTOR:
		tlb_flush_interrupt();
		break;
	default:
		break;		/* RESCHEDULE_VECTOR: the exit loop or the idle loop looks at the flag */
	}
	preempt_count -= HARDIRQ_OFFSET;
}

/* From common_entry: PT_orig_ax is the error code of the exceptions that have one. */
void do_vector(struct pt_regs *regs, u32 vector)
{
	if (vector < ARRAY_SIZE(exceptions))
		do_exception(regs, vector);
	else
		do_interrupt(regs, vector);
}

/* From asm_exc_nmi. Takes no lock, touches no user memory, does not fault. */
void do_nmi(struct pt_regs *regs)
{
	preempt_count += NMI_OFFSET;
	nmi_count++;
	perf_nmi(regs);
	preempt_count -= NMI_OFFSET;
}
