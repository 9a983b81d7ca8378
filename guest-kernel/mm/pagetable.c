// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process's page tables: four levels, 4 KiB pages below, the kernel's half above. SDM 3A,
 * "4-Level Paging", 4.5.
 */
#include "kernel.h"
#include "mm.h"

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

static u64 level_span(u32 level) { return (u64)PAGE_SIZE << 9 * level; }

/*
 * The first entry of a level that is in use and maps something of [*address, end), and *address
 * becomes where it does; NULL: there is none. What no table maps is skipped as a whole.
 */
static u64 *entry_next(u64 pgd, u32 wanted, u64 *address, u64 end)
{
	while (*address < end) {
		u32 level = LEVELS - 1;
		u64 *entry = (u64 *)phys_to_virt(pgd) + table_index(*address, level);

		for (; level > wanted && *entry & PTE_PRESENT; level--) {
			u64 *table = phys_to_virt(*entry & PTE_ADDRESS);

			entry = &table[table_index(*address, level - 1)];
		}
		do {	/* along this table, until an entry is found or leads further down */
			if (level == wanted && pte_has_page(*entry))
				return entry;
			if (level > wanted && *entry & PTE_PRESENT)
				break;
			*address = (*address | (level_span(level) - 1)) + 1;
			entry++;
		} while (*address < end && table_index(*address, level));
	}
	return NULL;
}

u64 *pte_next(u64 pgd, u64 *address, u64 end) { return entry_next(pgd, 0, address, end); }

/* Free what the entries of one level in [address, end) name: pages (level 0), or emptied tables. */
void entries_free(u64 pgd, u32 level, u64 address, u64 end)
{
	for (u64 *entry; (entry = entry_next(pgd, level, &address, end)); ) {
		page_free(phys_to_virt(*entry & PTE_ADDRESS));
		*entry = 0;
		address = (address | (level_span(level) - 1)) + 1;
	}
}

/* Without any permission the page is out of reach, for the kernel too, but kept. */
u64 pte_flags(u32 prot)
{
	if (!prot)
		return PTE_HELD;
	return PTE_PRESENT | PTE_USER | (prot & PROT_WRITE ? PTE_WRITE : 0) |
	       (prot & PROT_EXEC ? 0 : PTE_NX);
}
