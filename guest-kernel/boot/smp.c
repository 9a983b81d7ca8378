// SPDX-License-Identifier: GPL-2.0-only
/* Starting the other CPUs (SDM 3A, "MP Initialization Protocol Algorithm", 8.4.3), all at once. */
#include "kernel.h"
#include "mm.h"
#include "trace.h"

#define INIT_SETTLE_NS	10000		/* virtual CPUs take no time to reset; a board would want 10 ms */
#define START_LIMIT_NS	1000000000ull

extern const u8 trampoline[], trampoline_end[];
u64 ap_stack[MAX_CPUS];			/* head.S takes it as rsp */
static u32 cpus_up = 1;

/* The first C of a started CPU, on its idle task's stack, with its own GS. */
noreturn void ap_main(u32 cpu)
{
	write_cr3(virt_to_phys(init_pgd));
	cpu_init(cpu);
	apic_init_cpu();
	perf_start_cpu();
	__atomic_fetch_add(&cpus_up, 1, __ATOMIC_SEQ_CST);
	idle_loop();
}

void smp_boot(u32 cpus)
{
	if (cpus == 1)
		return;
	memcpy(phys_to_virt(TRAMPOLINE_PHYS), trampoline, trampoline_end - trampoline);
	for (u32 cpu = 1; cpu < cpus; cpu++) {
		struct task *idle = kernel_thread("idle", NULL, NULL);

		percpu_init(cpu);
		idle->cpu = cpu;
		idle->on_cpu = 1;
		ap_stack[cpu] = idle->stack + THREAD_SIZE;
		*(struct task **)per_cpu_pointer(current_task, cpu) = idle;
		*(u64 *)per_cpu_pointer(kernel_stack, cpu) = ap_stack[cpu];
		sched_init_cpu(cpu, idle);
		apic_send_init(cpu_apic_id[cpu]);
	}
	for (u64 end = clock_ns() + INIT_SETTLE_NS; clock_ns() < end; )
		cpu_relax();
	for (u32 cpu = 1; cpu < cpus; cpu++)
		apic_send_startup(cpu_apic_id[cpu], TRAMPOLINE_PHYS / PAGE_SIZE);
	for (u64 end = clock_ns() + START_LIMIT_NS; READ_ONCE(cpus_up) < cpus; cpu_relax())
		if (clock_ns() > end)
			panic("expected %u CPUs to start, found %u", cpus, cpus_up);
	online_cpus = cpus;
}
