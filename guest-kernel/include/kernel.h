/* SPDX-License-Identifier: GPL-2.0-only */
/* Console, strings, devices, boot: the small services. */
#ifndef KERNEL_H
#define KERNEL_H

#include "task.h"

/* lib/string.c */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
bool string_equal(const char *a, const char *b);
void string_copy(char *to, const char *from, size_t size);	/* cut to size - 1, always terminated */

/* lib/format.c: %s %d %u %x %lx %lu %c %%; returns the length written. */
size_t format(char *to, size_t size, const char *text, __builtin_va_list arguments);

/* lib/printk.c */
__attribute__((format(printf, 1, 2))) void printk(const char *text, ...);
__attribute__((format(printf, 1, 2))) noreturn void panic(const char *text, ...);
void console_write(const char *bytes, size_t size);
void warn(const char *where, const char *what);
void warn_flush(void);

/* dev/uart.c */
void uart_init(void);
void uart_put(const char *bytes, size_t size);
void uart_drain(void);
#define END_OF_INPUT 4	/* control-D, as on a terminal: the read that meets it returns 0 */
long uart_read(char *to, u64 size);

/* dev/apic.c */
void apic_init_cpu(void);
u32 apic_id(void);
void apic_eoi(void);
void apic_timer_set(u64 delta_ns);
void apic_send_ipi(u32 cpu, u32 vector);
void apic_send_ipi_self(u32 vector);
void apic_send_init(u32 apic);
void apic_send_startup(u32 apic, u32 page);
void apic_counter_enable(void);

/* dev/power.c */
noreturn void power_off(s32 status);
noreturn void power_off_panic(void);

/* boot/pvh.c */
struct module { u64 start, size; const char *command; };
struct region { u64 start, end; };
#define MAX_MODULES 16
#define MAX_REGIONS 32
extern struct module modules[MAX_MODULES];
extern u32 module_count;
extern struct region ram_regions[MAX_REGIONS];
extern u32 ram_region_count;
extern u64 acpi_rsdp;
void pvh_read(u64 start_info);

/* boot/command_line.c */
extern char command_line[1024];
void command_line_set(const char *text);
bool command_line_word(const char *name, char *value, size_t size);
u64 command_line_number(const char *name, u64 fallback);
bool list_has(const char *list, const char *name);

/* boot/acpi.c, boot/smp.c */
extern u32 cpu_apic_id[MAX_CPUS];
u32 acpi_find_cpus(void);		/* fills cpu_apic_id; 0: no table */
void smp_boot(u32 cpus);

/* entry/trap.c */
noreturn void die(struct pt_regs *regs, u32 vector);

/* sys/exec.c: the boot modules' processes. */
void start_modules(void);

#endif
