// SPDX-License-Identifier: GPL-2.0-only
/* Descriptor tables, TSS and MSRs of one CPU. */
#include "kernel.h"

struct tss {
	u32 reserved0;
	u64 sp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3, io_map;
} __attribute__((packed));

_Static_assert(offsetof(struct tss, sp) == TSS_sp0, "TSS_sp0");

struct table_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

struct gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_middle;
	u32 offset_high, reserved;
};

/* A row of the vector table in entry/exception.S. */
struct idt_entry {
	u64 handler;
	u8 vector, ist, ring, padding[5];
};

#define GATE_INTERRUPT	0x8e	/* present, 64-bit interrupt gate */
#define GATE_RING_SHIFT	5
#define GDT_BYTES	(TSS_SELECTOR + 16)
#define TSS_TYPE	0x89ull	/* present, available 64-bit TSS */

extern const struct idt_entry idt_entries[], idt_entries_end[];
extern u8 percpu_template[], percpu_template_end[], percpu_areas[], nmi_stacks[], fatal_stacks[];
extern struct tss __seg_gs cpu_tss;
extern u64 __seg_gs cpu_gdt[];
void entry_SYSCALL_64(void);

static struct gate idt[256] __attribute__((aligned(16)));

/*
 * One table for all CPUs. A vector that is not in the table raises #GP or #NP, which the table has.
 */
void idt_init(void)
{
	for (const struct idt_entry *entry = idt_entries; entry < idt_entries_end; entry++)
		idt[entry->vector] = (struct gate) {
			.offset_low = entry->handler,
			.offset_middle = entry->handler >> 16,
			.offset_high = entry->handler >> 32,
			.selector = KERNEL_CS,
			.ist = entry->ist,
			.type = GATE_INTERRUPT | entry->ring << GATE_RING_SHIFT,
		};
}

/* A fresh per-CPU area for a CPU other than the boot CPU, whose area head.S made. */
void percpu_init(u32 cpu)
{
	u64 area = (u64)percpu_areas - KERNEL_BASE + DIRECT_MAP + cpu * PAGE_SIZE;

	memcpy((void *)area, percpu_template, percpu_template_end - percpu_template);
	__per_cpu_offset[cpu] = area - (u64)percpu_template;
	*(u32 *)per_cpu_pointer(cpu_number, cpu) = cpu;
}

void cpu_init(u32 cpu)
{
	struct tss *tss = per_cpu_pointer(cpu_tss, cpu);
	u64 *gdt = per_cpu_pointer(cpu_gdt, cpu);
	u64 base = (u64)tss;

	tss->sp[0] = kernel_stack;
	tss->ist[IST_NMI - 1] = (u64)nmi_stacks + (cpu + 1) * NMI_STACK_SIZE;
	tss->ist[IST_FATAL - 1] = (u64)fatal_stacks + (cpu + 1) * NMI_STACK_SIZE;
	tss->io_map = sizeof(*tss);

	gdt[TSS_SELECTOR / 8] = (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | TSS_TYPE << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[TSS_SELECTOR / 8 + 1] = base >> 32;

	struct table_pointer gdt_pointer = { GDT_BYTES - 1, (u64)gdt };
	struct table_pointer idt_pointer = { sizeof(idt) - 1, (u64)idt };
	__asm__ volatile("lgdt %0" :: "m"(gdt_pointer));
	__asm__ volatile("movl %0, %%ss" :: "r"(KERNEL_DS));
	__asm__ volatile("ltr %w0" :: "r"(TSS_SELECTOR));	/* before the IDT, which needs its stacks */
	__asm__ volatile("lidt %0" :: "m"(idt_pointer));

	/* SYSRET adds 16 to the upper selector for cs and 8 for ss (SDM 2B, SYSRET). */
	wrmsr(MSR_STAR, (u64)USER32_CS << 48 | (u64)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (u64)entry_SYSCALL_64);
	wrmsr(MSR_SYSCALL_MASK, SYSCALL_MASK);
	__asm__ volatile("fninit");
}
