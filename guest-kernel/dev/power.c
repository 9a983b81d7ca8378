// SPDX-License-Identifier: GPL-2.0-only
/* The ways out of the machine (docs/guest-abi.md, "End"). */
#include "kernel.h"

#define ACPI_PM1_CONTROL	0x604
#define ACPI_SLEEP		0x2000	/* SLP_EN, type 0 = S5 on a PC */
#define DEBUG_EXIT		0xf4
#define PANIC_STATUS		0x7f

static noreturn void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void power_off(s32 status)
{
	irq_disable();
	uart_drain();
	if (status == 0)
		outw(ACPI_PM1_CONTROL, ACPI_SLEEP);
	else
		outb(DEBUG_EXIT, status);
	stop();
}

void power_off_panic(void)
{
	uart_drain();
	outb(DEBUG_EXIT, PANIC_STATUS);
	stop();
}
