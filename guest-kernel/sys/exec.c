// SPDX-License-Identifier: GPL-2.0-only
/* Boot modules become processes: ELF loading and the first user stack. */
#include "kernel.h"
#include "mm.h"
#include "elf.h"
#include "signal.h"
#include "trace.h"

#define MAX_ARGUMENTS	32
#define BAD_PROGRAM	126	/* as a shell has it for a program that it found but cannot run */

/* Auxiliary vector (System V ABI, AMD64 supplement, "Auxiliary Vector"). */
#define AT_NULL		0
#define AT_PHDR		3
#define AT_PHENT	4
#define AT_PHNUM	5
#define AT_PAGESZ	6
#define AT_ENTRY	9
#define AT_UID		11
#define AT_EUID		12
#define AT_GID		13
#define AT_EGID		14
#define AT_SECURE	23
#define AT_RANDOM	25

struct first_stack {
	u64 argc;
	u64 words[MAX_ARGUMENTS + 2 + 2 * 13];	/* argv, NULL, no envp, NULL, auxv */
};

static const char *base_name(const char *path)
{
	const char *name = path;

	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

/*
 * The stack as Linux leaves it at a program's entry: argc, argv, envp, auxv, and above them the
 * strings and 16 "random" bytes, which here are always the same. Returns rsp; 0: no memory.
 */
static u64 build_stack(struct mm *mm, const char *command, const struct elf_image *image)
{
	static const u8 random_bytes[16] = "unwindlab-random";
	struct first_stack stack;
	u64 length = strlen(command) + 1, argc = 0, n = 0;
	char text[256];

	if (vma_add(mm, TASK_SIZE_MAX - STACK_BYTES, TASK_SIZE_MAX, PROT_READ | PROT_WRITE, NULL, 0))
		return 0;
	u64 random = TASK_SIZE_MAX - sizeof(random_bytes);
	u64 strings = random - length;
	string_copy(text, command, sizeof(text));
	for (char *c = text; *c && argc < MAX_ARGUMENTS; argc++) {
		stack.words[n++] = strings + (c - text);
		while (*c && *c != ' ')
			c++;
		while (*c == ' ')
			*c++ = 0;
	}
	stack.argc = argc;
	stack.words[n++] = 0;
	stack.words[n++] = 0;
	const u64 auxv[][2] = {
		{ AT_PHDR, image->phdr }, { AT_PHENT, sizeof(struct elf_phdr) }, { AT_PHNUM, image->phnum },
		{ AT_PAGESZ, PAGE_SIZE }, { AT_ENTRY, image->entry }, { AT_UID, 0 }, { AT_EUID, 0 },
		{ AT_GID, 0 }, { AT_EGID, 0 }, { AT_SECURE, 0 }, { AT_RANDOM, random }, { AT_NULL, 0 },
	};
	memcpy(&stack.words[n], auxv, sizeof(auxv));
	n += sizeof(auxv) / sizeof(u64);
	u64 bytes = (n + 1) * sizeof(u64);
	u64 sp = (strings - bytes) & ~15ull;
	if (copy_to_user((void *)random, random_bytes, sizeof(random_bytes)) ||
	    copy_to_user((void *)strings, text, length) || copy_to_user((void *)sp, &stack, bytes))
		return 0;
	return sp;
}

/*
 * From here on the thread's memory is the program's. Linux: fs/exec.c exec_mmap(), begin_new_exec()
 */
static void take_mm(struct mm *mm)
{
	u64 flags = irq_save();

	current->mm = mm;
	current->cr3 = mm->pgd;
	write_cr3(mm->pgd);
	irq_restore(flags);
}

static void report_maps(const struct mm *mm, const struct module *module, const char *name)
{
	for (const struct vma *vma = mm->vmas; vma; vma = vma->next)
		if (vma->prot & PROT_EXEC && vma->file)
			perf_map(vma->start, vma->end - vma->start,
				 virt_to_phys(vma->file) - module->start, name);
}

/* The function of a module's kernel thread: become the program, and return to its entry. */
static void run_module(void *argument)
{
	const struct module *module = argument;
	struct elf_image image;
	struct mm *mm = mm_create();
	const char *problem = "no memory";
	u64 sp = 0;

	if (mm) {
		problem = elf_load(mm, phys_to_virt(module->start), module->size, &image);
		take_mm(mm);
	}
	if (!problem && !(sp = build_stack(mm, module->command, &image)))
		problem = "no memory for its stack";
	if (problem) {
		printk("%s: cannot run: %s\n", current->comm, problem);
		do_exit_group(wait_status_exited(BAD_PROGRAM));
	}
	perf_comm(current);
	report_maps(mm, module, current->comm);
	*task_pt_regs(current) = (struct pt_regs) {
		.ip = image.entry, .sp = sp, .cs = USER_CS, .ss = USER_DS,
		.flags = X86_EFLAGS_IF | X86_EFLAGS_FIXED,
	};
	u64 flags = irq_save();		/* a switch between the two would save what was never loaded */
	__asm__ volatile("fxrstor64 %0" :: "m"(current->fpu));
	current->flags &= ~PF_KTHREAD;
	irq_restore(flags);
}

/* One process per module, in their order, so that the first is pid 1. */
void start_modules(void)
{
	struct task *tasks[MAX_MODULES];

	if (!module_count)
		panic("expected a boot module to run, found none: give one (QEMU: -initrd PROGRAM)");
	for (u32 i = 0; i < module_count; i++) {
		char name[256];

		string_copy(name, modules[i].command, sizeof(name));
		for (char *c = name; *c; c++)
			if (*c == ' ')
				*c = 0;
		tasks[i] = kernel_thread(base_name(name), run_module, &modules[i]);
		if (!task_become_process(tasks[i]))
			panic("no memory for module %s", tasks[i]->comm);
	}
	for (u32 i = 0; i < module_count; i++)
		sched_start(tasks[i]);
}
