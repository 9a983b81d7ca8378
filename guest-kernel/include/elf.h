/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF64 program files (System V ABI, "Object Files" and "Program Loading"). */
#ifndef ELF_H
#define ELF_H

#include "mm.h"

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

/* What the program's first stack tells about its file. */
struct elf_image {
	u64 entry;
	u64 phdr;		/* user address of the program headers, 0: not loaded */
	u64 phnum;
};

/* mm/elf.c: enter a file's segments into mm. NULL, or what is wrong with the file. */
const char *elf_load(struct mm *mm, const u8 *file, u64 size, struct elf_image *image);

#endif
