// SPDX-License-Identifier: GPL-2.0-only
/*
 * Architectural performance counter 0 as a source of NMIs: instructions retired. SDM 3B,
 * "Architectural Performance Monitoring", 20.2
 */
#include "kernel.h"
#include "trace.h"

#define CPUID_PMU		0xa
#define PMU_VERSION_MASK	0xff	/* EAX[7:0] */
#define PMU_COUNTERS_SHIFT	8	/* EAX[15:8] */
#define PMU_VERSION_GLOBAL	2	/* from this one on there are the GLOBAL MSRs */

#define MSR_PMC0		0xc1
#define MSR_PERFEVTSEL0		0x186
#define MSR_GLOBAL_STATUS	0x38e
#define MSR_GLOBAL_CTRL		0x38f
#define MSR_GLOBAL_OVF_CTRL	0x390
#define COUNTER_0		1

#define EVENT_INSTRUCTIONS	0xc0
#define SELECT_USER		(1u << 16)
#define SELECT_KERNEL		(1u << 17)
#define SELECT_INTERRUPT	(1u << 20)
#define SELECT_ENABLE		(1u << 22)
#define MAX_PERIOD		0x7fffffff	/* a write to PMC0 sign-extends 32 bits */

static u64 reload;

/* false: this CPU has no such counter. */
bool pmu_init(u64 period)
{
	if (cpuid(0).eax < CPUID_PMU)
		return false;
	u32 eax = cpuid(CPUID_PMU).eax;
	reload = -min_u64(period, MAX_PERIOD) & UINT32_MAX;
	return (eax & PMU_VERSION_MASK) >= PMU_VERSION_GLOBAL && (eax >> PMU_COUNTERS_SHIFT & 0xff);
}

void pmu_start_cpu(void)
{
	apic_counter_enable();
	wrmsr(MSR_PMC0, reload);
	wrmsr(MSR_PERFEVTSEL0, EVENT_INSTRUCTIONS | SELECT_USER | SELECT_KERNEL |
			       SELECT_INTERRUPT | SELECT_ENABLE);
	wrmsr(MSR_GLOBAL_CTRL, COUNTER_0);
}

bool pmu_overflowed(void)
{
	if (!(rdmsr(MSR_GLOBAL_STATUS) & COUNTER_0))
		return false;
	wrmsr(MSR_PMC0, reload);
	wrmsr(MSR_GLOBAL_OVF_CTRL, COUNTER_0);
	apic_counter_enable();
	return true;
}
