// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading a static ELF64 program. Nothing is copied: pages are read from the file when first
 * touched.
 */
#include "kernel.h"
#include "elf.h"

#define ET_EXEC		2
#define EM_X86_64	62
#define PT_LOAD		1
#define PT_INTERP	3
#define PF_X		1
#define PF_W		2
#define PF_R		4
#define MAX_PHDRS	64

static u32 segment_prot(u32 flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

static const char *check_header(const struct elf_header *header, u64 size)
{
	static const u8 ident[7] = { 0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */, 1 };

	if (size < sizeof(*header) || memcmp(header->ident, ident, 4))
		return "expected an ELF file, found something else";
	if (memcmp(header->ident, ident, sizeof(ident)) || header->machine != EM_X86_64)
		return "expected a 64-bit x86-64 ELF file, found another kind";
	if (header->type != ET_EXEC)
		return "expected a static executable (ET_EXEC), found another type";
	if (header->phentsize != sizeof(struct elf_phdr) || header->phnum > MAX_PHDRS ||
	    header->phoff > size || header->phnum * sizeof(struct elf_phdr) > size - header->phoff)
		return "expected program headers inside the file, found them outside";
	return NULL;
}

/* Enter one segment; its pages are whole, as the file's are. */
static const char *load_segment(struct mm *mm, const u8 *file, u64 size, const struct elf_phdr *segment)
{
	u64 lead = segment->vaddr % PAGE_SIZE;

	if (segment->filesz > segment->memsz || segment->offset > size ||
	    segment->filesz > size - segment->offset)
		return "expected segments inside the file, found one outside";
	if (segment->vaddr >= TASK_SIZE_MAX || segment->memsz > TASK_SIZE_MAX - segment->vaddr)
		return "expected segments in user space, found one outside";
	if (segment->filesz && segment->offset % PAGE_SIZE != lead)
		return "expected segments aligned as their file pages, found one that is not";
	const u8 *bytes = segment->filesz ? file + segment->offset - lead : NULL;
	u64 end = page_up(segment->vaddr + segment->memsz);
	u32 prot = segment_prot(segment->flags);
	if (vma_add(mm, segment->vaddr - lead, end, prot, bytes, segment->filesz + lead))
		return "expected segments on pages of their own above 64 KiB, found one that is not";
	mm->brk_start = max_u64(mm->brk_start, end);
	return NULL;
}

const char *elf_load(struct mm *mm, const u8 *file, u64 size, struct elf_image *image)
{
	const struct elf_header *header = (const void *)file;
	const char *problem = check_header(header, size);

	if (problem)
		return problem;
	*image = (struct elf_image) { .entry = header->entry, .phnum = header->phnum };
	const struct elf_phdr *segments = (const void *)(file + header->phoff);
	for (u32 i = 0; i < header->phnum; i++) {
		const struct elf_phdr *segment = &segments[i];

		if (segment->type == PT_INTERP)
			return "expected a static executable, found one that needs an interpreter";
		if (segment->type != PT_LOAD || !segment->memsz)
			continue;
		problem = load_segment(mm, file, size, segment);
		if (problem)
			return problem;
		if (header->phoff >= segment->offset && header->phoff - segment->offset < segment->filesz)
			image->phdr = segment->vaddr + header->phoff - segment->offset;
	}
	const struct vma *code = vma_find(mm, header->entry);
	if (!code || !(code->prot & PROT_EXEC))
		return "expected the entry point in an executable segment, found it elsewhere";
	mm->brk = mm->brk_start;
	return NULL;
}
