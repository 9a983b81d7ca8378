// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC in xAPIC mode (SDM 3A, chapter "Advanced Programmable Interrupt Controller"). */
#include "kernel.h"

#define APIC_ID			0x020
#define APIC_TPR		0x080
#define APIC_EOI		0x0b0
#define APIC_SPURIOUS		0x0f0
#define APIC_ICR_LOW		0x300
#define APIC_ICR_HIGH		0x310
#define APIC_LVT_TIMER		0x320
#define APIC_LVT_COUNTER	0x340
#define APIC_LVT_LINT0		0x350
#define APIC_LVT_LINT1		0x360
#define APIC_TIMER_INITIAL	0x380
#define APIC_TIMER_DIVIDE	0x3e0

#define SOFTWARE_ENABLE		0x100
#define LVT_MASKED		0x10000
#define DELIVER_NMI		0x400
#define DELIVER_INIT		0x500
#define DELIVER_STARTUP		0x600
#define LEVEL_ASSERT		0x4000
#define TO_SELF			0x40000
#define ICR_BUSY		0x1000
#define DIVIDE_BY_1		0xb

static u32 apic_read(u32 reg) { return *(volatile u32 *)(APIC_BASE + reg); }
static void apic_write(u32 reg, u32 value) { *(volatile u32 *)(APIC_BASE + reg) = value; }

/*
 * LINT1 is NMI on every CPU, as the MADT of a PC says. The old 8259 pair is masked: nothing
 * of it is used, and its timer would interrupt.
 */
void apic_init_cpu(void)
{
	if (cpu_number == 0) {
		outb(0x21, 0xff);
		outb(0xa1, 0xff);
	}
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SPURIOUS, SOFTWARE_ENABLE | SPURIOUS_VECTOR);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, DELIVER_NMI);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, LOCAL_TIMER_VECTOR);
}

u32 apic_id(void) { return apic_read(APIC_ID) >> 24; }
void apic_eoi(void) { apic_write(APIC_EOI, 0); }

/*
 * One interrupt at LOCAL_TIMER_VECTOR in delta_ns (at least 1, at most 4.29 s); 0: none. The timer
 * counts nanoseconds.
 */
void apic_timer_set(u64 delta_ns) { apic_write(APIC_TIMER_INITIAL, min_u64(delta_ns, UINT32_MAX)); }

/*
 * Delivery of a counter's overflow as NMI. The hardware masks the entry at each delivery, so this
 * is also its end.
 */
void apic_counter_enable(void) { apic_write(APIC_LVT_COUNTER, DELIVER_NMI); }

static void icr_wait(void)
{
	while (apic_read(APIC_ICR_LOW) & ICR_BUSY)
		cpu_relax();
}

/* The two halves belong together: in an NMI the high one may have just been written, and is put back. */
static void apic_send(u32 apic, u32 command)
{
	u64 flags = irq_save();
	u32 interrupted = in_nmi() ? apic_read(APIC_ICR_HIGH) : 0;

	icr_wait();
	apic_write(APIC_ICR_HIGH, apic << 24);
	apic_write(APIC_ICR_LOW, command);
	if (in_nmi()) {
		icr_wait();
		apic_write(APIC_ICR_HIGH, interrupted);
	}
	irq_restore(flags);
}

void apic_send_ipi(u32 cpu, u32 vector) { apic_send(cpu_apic_id[cpu], LEVEL_ASSERT | vector); }
void apic_send_init(u32 apic) { apic_send(apic, LEVEL_ASSERT | DELIVER_INIT); }
void apic_send_startup(u32 apic, u32 page) { apic_send(apic, LEVEL_ASSERT | DELIVER_STARTUP | page); }

/* Safe in an NMI: the shorthand needs no high half, so one that was just written stays good. */
void apic_send_ipi_self(u32 vector) { apic_write(APIC_ICR_LOW, TO_SELF | LEVEL_ASSERT | vector); }
