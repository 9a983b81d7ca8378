/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's page tables, complete as linked: 2 MiB pages only, and never changed
 * after boot. So kernel memory never faults, which the NMI path relies on.
 *
 *   DIRECT_MAP + 4 GiB      all of RAM that is used          rw, no execute
 *   KERNEL_BASE + 16 MiB    .text                            r-x
 *   KERNEL_BASE + 18 MiB    .rodata                          r--
 *   KERNEL_BASE + 20, 22    .data, .bss                      rw, no execute
 *   APIC_BASE               local APIC registers             rw, no execute, uncached
 *
 * boot_pgd has the first 4 GiB at their physical addresses besides, executable, for the
 * switch to long mode. Every process copies the upper half of init_pgd.
 */
#include "asm.h"

#define PHYS(symbol)	((symbol) - KERNEL_BASE)
#define PRESENT		0x1
#define WRITE		0x2
#define UNCACHED	0x18			/* PWT, PCD */
#define TOUCHED		0x60			/* accessed, dirty: the CPU need not write them */
#define LARGE		0x80
#define NX		(1 << 63)
#define TABLE		(PRESENT | WRITE)

	.section .data.page_aligned, "aw"

OBJECT boot_pgd, PAGE_SIZE
	.quad	PHYS(identity_pud) + TABLE	/* index 0: address 0 */
	.fill	272, 8, 0
	.quad	PHYS(direct_pud) + TABLE	/* index 273: DIRECT_MAP */
	.fill	237, 8, 0
	.quad	PHYS(kernel_pud) + TABLE	/* index 511: the last 512 GiB */
END boot_pgd

OBJECT init_pgd, PAGE_SIZE
	.fill	273, 8, 0
	.quad	PHYS(direct_pud) + TABLE
	.fill	237, 8, 0
	.quad	PHYS(kernel_pud) + TABLE
END init_pgd

OBJECT identity_pud, PAGE_SIZE
	.set	index, 0
	.rept	4
	.quad	PHYS(identity_pmd) + index * PAGE_SIZE + TABLE
	.set	index, index + 1
	.endr
	.fill	508, 8, 0
END identity_pud

OBJECT direct_pud, PAGE_SIZE
	.set	index, 0
	.rept	4
	.quad	PHYS(direct_pmd) + index * PAGE_SIZE + TABLE
	.set	index, index + 1
	.endr
	.fill	508, 8, 0
END direct_pud

OBJECT kernel_pud, PAGE_SIZE
	.fill	510, 8, 0
	.quad	PHYS(kernel_pmd) + TABLE	/* index 510: KERNEL_BASE */
	.quad	PHYS(device_pmd) + TABLE	/* index 511: the last GiB */
END kernel_pud

OBJECT identity_pmd, PAGE_SIZE
	.set	index, 0
	.rept	4 * 512
	.quad	index * LARGE_PAGE_SIZE + LARGE + TOUCHED + TABLE
	.set	index, index + 1
	.endr
END identity_pmd

OBJECT direct_pmd, PAGE_SIZE
	.set	index, 0
	.rept	4 * 512
	.quad	index * LARGE_PAGE_SIZE + LARGE + TOUCHED + TABLE + NX
	.set	index, index + 1
	.endr
END direct_pmd

OBJECT kernel_pmd, PAGE_SIZE
	.fill	KERNEL_PHYS / LARGE_PAGE_SIZE, 8, 0
	.quad	KERNEL_PHYS + LARGE + TOUCHED + PRESENT
	.quad	KERNEL_PHYS + LARGE_PAGE_SIZE + LARGE + TOUCHED + PRESENT + NX
	.quad	KERNEL_PHYS + 2 * LARGE_PAGE_SIZE + LARGE + TOUCHED + TABLE + NX
	.quad	KERNEL_PHYS + 3 * LARGE_PAGE_SIZE + LARGE + TOUCHED + TABLE + NX
	.fill	512 - KERNEL_PHYS / LARGE_PAGE_SIZE - 4, 8, 0
END kernel_pmd

OBJECT device_pmd, PAGE_SIZE
	.fill	511, 8, 0
	.quad	APIC_PHYS + LARGE + TOUCHED + UNCACHED + TABLE + NX
END device_pmd
