/* SPDX-License-Identifier: GPL-2.0-only */
/* What C says to the processor: ports, MSRs, interrupts, per-CPU variables, spinlocks. */
#ifndef CPU_H
#define CPU_H

#include "layout.h"
#include "types.h"

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port)); }
static inline void outw(u16 port, u16 value) { __asm__ volatile("outw %0, %1" :: "a"(value), "Nd"(port)); }

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" :: "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* Nanoseconds since the machine started: the TSC is taken to run at 1 GHz. */
static inline u64 clock_ns(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

struct cpuid { u32 eax, ebx, ecx, edx; };

static inline struct cpuid cpuid(u32 leaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
	return r;
}

static inline u64 read_cr2(void)
{
	u64 value;

	__asm__ volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

static inline void write_cr3(u64 value) { __asm__ volatile("movq %0, %%cr3" :: "r"(value) : "memory"); }
static inline void invlpg(u64 address) { __asm__ volatile("invlpg (%0)" :: "r"(address) : "memory"); }

static inline void flush_own_tlb(void)
{
	u64 cr3;

	__asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(cr3) :: "memory");
}

static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }
static inline void irq_enable(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void irq_disable(void) { __asm__ volatile("cli" ::: "memory"); }

static inline u64 irq_flags(void)
{
	u64 flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags) :: "memory");
	return flags;
}

static inline u64 irq_save(void)
{
	u64 flags = irq_flags();

	irq_disable();
	return flags;
}

static inline void irq_restore(u64 flags)
{
	if (flags & X86_EFLAGS_IF)
		irq_enable();
}

/*
 * Per-CPU variables (cpu/percpu.S). The plain name is this CPU's copy; per_cpu(name, cpu) is any
 * CPU's.
 */
struct task;
extern u32 __seg_gs cpu_number;
extern u32 __seg_gs preempt_count;
extern struct task *__seg_gs current_task;
extern u32 __seg_gs nmi_count;
extern u64 __seg_gs kernel_stack;
extern u64 __per_cpu_offset[MAX_CPUS];

#define per_cpu_pointer(name, cpu) ((void *)((uintptr_t)&(name) + __per_cpu_offset[cpu]))
#define current (current_task)

static inline bool in_nmi(void) { return preempt_count & NMI_MASK; }

struct spinlock { u32 locked; };

static inline void spin_lock(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE))
		while (READ_ONCE(lock->locked))
			cpu_relax();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

static inline u64 spin_lock_irqsave(struct spinlock *lock)
{
	u64 flags = irq_save();

	spin_lock(lock);
	return flags;
}

static inline void spin_unlock_irqrestore(struct spinlock *lock, u64 flags)
{
	spin_unlock(lock);
	irq_restore(flags);
}

/* cpu/cpu.c */
void cpu_init(u32 cpu);
void percpu_init(u32 cpu);
void idt_init(void);

#endif
