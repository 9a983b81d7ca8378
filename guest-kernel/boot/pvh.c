// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the loader says: command line, memory map, modules, ACPI root. Everything is copied,
 * since the loader's structures lie in memory that is handed out later.
 * Source: Xen public headers, arch-x86/hvm/start_info.h
 */
#include "kernel.h"
#include "mm.h"

struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	u64 memmap_paddr;		/* from version 1 on */
	u32 memmap_entries, reserved;
};

struct hvm_modlist_entry { u64 paddr, size, cmdline_paddr, reserved; };
struct hvm_memmap_entry { u64 addr, size; u32 type, reserved; };

#define HVM_START_MAGIC	0x336ec578
#define MEMMAP_RAM	1
#define MODULE_COMMAND	256

struct module modules[MAX_MODULES];
u32 module_count;
struct region ram_regions[MAX_REGIONS];
u32 ram_region_count;
u64 acpi_rsdp;

static char module_commands[MAX_MODULES][MODULE_COMMAND];

static bool in_direct_map(u64 start, u64 size)
{
	return start < DIRECT_MAP_BYTES && size <= DIRECT_MAP_BYTES - start;
}

static void read_memory_map(const struct hvm_start_info *info)
{
	const struct hvm_memmap_entry *map = phys_to_virt(info->memmap_paddr);

	for (u32 i = 0; i < info->memmap_entries && ram_region_count < MAX_REGIONS; i++) {
		if (map[i].type != MEMMAP_RAM || map[i].addr >= DIRECT_MAP_BYTES)
			continue;
		u64 end = min_u64(map[i].addr + map[i].size, DIRECT_MAP_BYTES);
		ram_regions[ram_region_count++] = (struct region) { page_up(map[i].addr), page_down(end) };
	}
}

/* The command line must be known: it names the module that has none. */
static void read_modules(const struct hvm_start_info *info)
{
	const struct hvm_modlist_entry *list = phys_to_virt(info->modlist_paddr);

	for (u32 i = 0; i < info->nr_modules && module_count < MAX_MODULES; i++) {
		if (!in_direct_map(list[i].paddr, list[i].size))
			continue;
		char *command = module_commands[module_count];
		if (list[i].cmdline_paddr)
			string_copy(command, phys_to_virt(list[i].cmdline_paddr), MODULE_COMMAND);
		if (!command[0] && !command_line_word("init", command, MODULE_COMMAND))
			string_copy(command, "init", MODULE_COMMAND);
		modules[module_count++] = (struct module) { list[i].paddr, list[i].size, command };
	}
}

void pvh_read(u64 start_info)
{
	const struct hvm_start_info *info = phys_to_virt(start_info);

	if (info->magic != HVM_START_MAGIC || info->version < 1)
		panic("expected PVH start info version 1, found magic %x version %u",
		      info->magic, info->version);
	if (info->cmdline_paddr)
		command_line_set(phys_to_virt(info->cmdline_paddr));
	acpi_rsdp = info->rsdp_paddr;
	read_memory_map(info);
	read_modules(info);
}
