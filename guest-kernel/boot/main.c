// SPDX-License-Identifier: GPL-2.0-only
/* The boot CPU's way from its first C to its idle loop. */
#include "kernel.h"
#include "mm.h"
#include "trace.h"

static u32 count_cpus(void)
{
	u32 cpus = acpi_find_cpus();

	if (cpus)
		return cpus;
	cpus = max_u64(1, min_u64(command_line_number("cpus", 1), MAX_CPUS));
	for (u32 cpu = 0; cpu < cpus; cpu++)
		cpu_apic_id[cpu] = cpu;
	return cpus;
}

noreturn void start_kernel(u64 start_info)
{
	uart_init();
	pvh_read(start_info);
	write_cr3(virt_to_phys(init_pgd));
	idt_init();
	cpu_init(0);
	page_init();
	unwind_task_init(&init_task);
	sched_init_cpu(0, &init_task);
	apic_init_cpu();
	printk("unwindlab kernel, unwind %s\n", kernel_version);
	perf_init();
	ftrace_init();
	tick_period = max_u64(1000, command_line_number("tick", 100000));
	smp_boot(count_cpus());
	perf_start_cpu();
	start_modules();
	idle_loop();
}
