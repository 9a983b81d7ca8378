// SPDX-License-Identifier: GPL-2.0-only
/* The console: whole lines, whichever CPU prints, and warnings that may come from an NMI. */
#include "kernel.h"

static struct spinlock console_lock;

void console_write(const char *bytes, size_t size)
{
	u64 flags = spin_lock_irqsave(&console_lock);

	uart_put(bytes, size);
	spin_unlock_irqrestore(&console_lock, flags);
}

void printk(const char *text, ...)
{
	__builtin_va_list arguments;
	char line[256];

	__builtin_va_start(arguments, text);
	size_t length = format(line, sizeof(line), text, arguments);
	__builtin_va_end(arguments);
	console_write(line, length);
}

void panic(const char *text, ...)
{
	__builtin_va_list arguments;
	char line[256];

	irq_disable();
	__builtin_va_start(arguments, text);
	size_t length = format(line, sizeof(line), text, arguments);
	__builtin_va_end(arguments);
	/* The lock's holder may be what this CPU interrupted: better a torn line than none. */
	uart_put("panic: ", 7);
	uart_put(line, length);
	uart_put("\n", 1);
	power_off_panic();
}

/*
 * Warnings from an NMI, kept until an interrupt may print them: the NMI may have hit a holder of
 * console_lock. Only this CPU's NMI fills a slot and only its interrupts empty it.
 */
#define WARNING_SLOTS 4

struct warning { const char *where, *what; u32 pid; };

static struct warnings {
	u32 filled, printed;
	struct warning slots[WARNING_SLOTS];
} nmi_warnings[MAX_CPUS];

static void print_warning(const struct warning *warning)
{
	printk("WARNING: CPU: %u PID: %u at %s (%s)\n",
	       cpu_number, warning->pid, warning->where, warning->what);
}

/* The report of a WARN_ON_ONCE: in which routine, on which condition. Safe in an NMI. */
void warn(const char *where, const char *what)
{
	struct warning warning = { where, what, current->pid };

	if (!in_nmi()) {
		print_warning(&warning);
		return;
	}
	struct warnings *warnings = &nmi_warnings[cpu_number];
	if (warnings->filled - READ_ONCE(warnings->printed) < WARNING_SLOTS) {
		warnings->slots[warnings->filled % WARNING_SLOTS] = warning;
		barrier();
		WRITE_ONCE(warnings->filled, warnings->filled + 1);
	}
	apic_send_ipi_self(IRQ_WORK_VECTOR);
}

/* IRQ_WORK_VECTOR: print what NMIs of this CPU left. */
void warn_flush(void)
{
	struct warnings *warnings = &nmi_warnings[cpu_number];

	while (warnings->printed != READ_ONCE(warnings->filled)) {
		print_warning(&warnings->slots[warnings->printed % WARNING_SLOTS]);
		WRITE_ONCE(warnings->printed, warnings->printed + 1);
	}
}
