// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of CPUs from the ACPI MADT (ACPI 6.5, 5.2.5 RSDP, 5.2.7 RSDT, 5.2.8 XSDT, 5.2.12 MADT).
 */
#include "kernel.h"
#include "mm.h"

struct rsdp {
	char signature[8];
	u8 checksum;
	char oem[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
} __attribute__((packed));

struct table {
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem[6], oem_table[8];
	u32 oem_revision, creator, creator_revision;
} __attribute__((packed));

struct madt {
	struct table header;
	u32 apic_address, flags;
	u8 entries[];
} __attribute__((packed));

struct madt_local_apic { u8 type, length, processor, apic; u32 flags; } __attribute__((packed));

#define MADT_LOCAL_APIC	0
#define CPU_ENABLED	1

u32 cpu_apic_id[MAX_CPUS];

static const void *physical(u64 address, u64 size)
{
	return address && address + size <= DIRECT_MAP_BYTES ? phys_to_virt(address) : NULL;
}

static const struct table *find_table(const struct rsdp *rsdp, const char *signature)
{
	bool wide = rsdp->revision >= 2 && rsdp->xsdt;
	const struct table *root = physical(wide ? rsdp->xsdt : rsdp->rsdt, sizeof(*root));

	if (!root)
		return NULL;
	u32 width = wide ? 8 : 4;
	const u8 *entry = (const u8 *)(root + 1), *end = (const u8 *)root + root->length;
	for (; entry + width <= end; entry += width) {
		u64 address = 0;

		memcpy(&address, entry, width);
		const struct table *table = physical(address, sizeof(*table));
		if (table && memcmp(table->signature, signature, 4) == 0)
			return table;
	}
	return NULL;
}

/* Fill cpu_apic_id, the boot CPU first, the others in the order of the table. */
u32 acpi_find_cpus(void)
{
	const struct rsdp *rsdp = physical(acpi_rsdp, sizeof(*rsdp));
	const struct madt *madt = rsdp ? (const void *)find_table(rsdp, "APIC") : NULL;

	if (!madt)
		return 0;
	u32 own = apic_id(), count = 1;
	const u8 *end = (const u8 *)madt + madt->header.length;
	cpu_apic_id[0] = own;
	for (const u8 *entry = madt->entries; entry + 2 <= end && entry[1] >= 2; entry += entry[1]) {
		const struct madt_local_apic *cpu = (const void *)entry;

		if (cpu->type != MADT_LOCAL_APIC || !(cpu->flags & CPU_ENABLED) || cpu->apic == own)
			continue;
		if (count < MAX_CPUS)
			cpu_apic_id[count++] = cpu->apic;
	}
	return count;
}
