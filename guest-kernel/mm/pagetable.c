// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process's page tables: four levels, 4 KiB pages below, the kernel's half above. SDM 3A,
 * "4-Level Paging", 4.5.
 */
#include "kernel.h"
#include "mm.h"

#define LEVELS		4
#define ENTRIES		512
#define TABLE_FLAGS	(PTE_PRESENT | PTE_WRITE | PTE_USER)
#define USER_ENTRIES	(ENTRIES / 2)

u64 pgd_create(void)
{
	u64 *pgd = page_alloc_zeroed();

	if (!pgd)
		return 0;
	memcpy(pgd + USER_ENTRIES, init_pgd + USER_ENTRIES, USER_ENTRIES * sizeof(u64));
	return virt_to_phys(pgd);
}

static u32 table_index(u64 address, u32 level) { return address >> (12 + 9 * level) & (ENTRIES - 1); }

/* The entry for a user address, with the tables that lead to it made; NULL: no memory for them. */
u64 *pte_make(u64 pgd, u64 address)
{
	u64 *table = phys_to_virt(pgd);

	for (u32 level = LEVELS - 1; level; level--) {
		u64 *entry = &table[table_index(address, level)];

		if (!(*entry & PTE_PRESENT)) {
			void *page = page_alloc_zeroed();

			if (!page)
				return NULL;
			*entry = virt_to_phys(page) | TABLE_FLAGS;
		}
		table = phys_to_virt(*entry & PTE_ADDRESS);
	}
	return &table[table_index(address, 0)];
}

/*
 * The entry of the first page in [*address, end), and *address becomes its address; NULL: there is
 * none. What no table maps is skipped as a whole.
 */
u64 *pte_next(u64 pgd, u64 *address, u64 end)
{
	while (*address < end) {
		u64 *table = phys_to_virt(pgd);
		u64 *entry = &table[table_index(*address, LEVELS - 1)];
		u32 level = LEVELS - 1;

		for (; level && *entry & PTE_PRESENT; level--) {
			table = phys_to_virt(*entry & PTE_ADDRESS);
			entry = &table[table_index(*address, level - 1)];
		}
		if (!level && pte_has_page(*entry))
			return entry;
		u64 span = (u64)PAGE_SIZE << 9 * level;
		*address = (*address | (span - 1)) + 1;
	}
	return NULL;
}

static void table_free(u64 physical, u32 level)
{
	u64 *table = phys_to_virt(physical);

	for (u32 i = 0; i < (level == LEVELS - 1 ? USER_ENTRIES : ENTRIES); i++) {
		if (level && table[i] & PTE_PRESENT)
			table_free(table[i] & PTE_ADDRESS, level - 1);
		else if (!level && pte_has_page(table[i]))
			page_free(phys_to_virt(table[i] & PTE_ADDRESS));
	}
	page_free(table);
}

void pgd_free(u64 pgd) { table_free(pgd, LEVELS - 1); }

/* Without any permission the page is out of reach, for the kernel too, but kept. */
u64 pte_flags(u32 prot)
{
	if (!prot)
		return PTE_HELD;
	return PTE_PRESENT | PTE_USER | (prot & PROT_WRITE ? PTE_WRITE : 0) |
	       (prot & PROT_EXEC ? 0 : PTE_NX);
}
