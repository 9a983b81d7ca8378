// SPDX-License-Identifier: GPL-2.0-only
/* Making every CPU forget old translations. */
#include "kernel.h"
#include "mm.h"

static u32 requested[MAX_CPUS], done[MAX_CPUS];	/* tickets per CPU; both only grow */

/*
 * TLB_FLUSH_VECTOR. The ticket is read before the flush, so it vouches only for requests that the
 * flush serves.
 */
void tlb_flush_interrupt(void)
{
	u32 ticket = __atomic_load_n(&requested[cpu_number], __ATOMIC_SEQ_CST);

	flush_own_tlb();
	__atomic_store_n(&done[cpu_number], ticket, __ATOMIC_SEQ_CST);
}

/*
 * Returns when no CPU holds a translation older than the call. Interrupts must be on and no
 * spinlock held: two CPUs that wait for each other serve each other's requests.
 */
void tlb_flush_all_cpus(void)
{
	u32 own = cpu_number, ticket[MAX_CPUS];

	flush_own_tlb();
	for (u32 cpu = 0; cpu < online_cpus; cpu++) {
		if (cpu == own)
			continue;
		ticket[cpu] = __atomic_add_fetch(&requested[cpu], 1, __ATOMIC_SEQ_CST);
		apic_send_ipi(cpu, TLB_FLUSH_VECTOR);
	}
	for (u32 cpu = 0; cpu < online_cpus; cpu++)
		while (cpu != own && (s32)(__atomic_load_n(&done[cpu], __ATOMIC_SEQ_CST) - ticket[cpu]) < 0)
			cpu_relax();
}
