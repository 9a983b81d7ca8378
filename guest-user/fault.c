/* fault [NAME] - the ways to die. With a name the program does that one thing, and its exit status is 128 + signal as a
 * shell says it; without one it does each in a child and says what became of it.
 *
 * RUN    fault
 * OUTPUT null SIGSEGV
 * OUTPUT kernel SIGSEGV
 * OUTPUT noncanonical SIGSEGV
 * OUTPUT read-only SIGSEGV
 * OUTPUT no-execute SIGSEGV
 * OUTPUT nowhere SIGSEGV
 * OUTPUT overflow SIGSEGV
 * OUTPUT privileged SIGSEGV
 * OUTPUT undefined SIGILL
 * OUTPUT divide SIGFPE
 * OUTPUT breakpoint SIGTRAP
 * OUTPUT terminated SIGTERM
 * EXIT   0
 *
 * RUN    fault null
 * EXIT   139
 *
 * RUN    fault nowhere
 * EXIT   139
 *
 * RUN    fault overflow
 * EXIT   139
 *
 * RUN    fault undefined
 * EXIT   132
 *
 * RUN    fault divide
 * EXIT   136
 *
 * RUN    fault terminated
 * EXIT   143
 */
#include "lib/stack.h"
#include "lib/text.h"

static void read_from(long address)
{
    __asm__ volatile("mov (%0), %%al" : : "r"(address) : "rax", "memory");
}

static void jump_to(const void *address)
{
    __asm__ volatile("jmp *%0" : : "r"(address));
}

static void null(void) { read_from(0); }
static void kernel(void) { read_from(0xffffffff81000000L); }
static void noncanonical(void) { read_from(0x8000000000000000L); }
static void read_only(void) { __asm__ volatile("movb $0, %0" : : "m"(*(char *)null) : "memory"); }
static void nowhere(void) { jump_to((void *)0x10000); }
static void privileged(void) { __asm__ volatile("hlt"); }
static void undefined(void) { __asm__ volatile("ud2"); }
static void divide(void) { __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" : : : "rax", "rcx", "rdx"); }
static void breakpoint(void) { __asm__ volatile("int3"); }

static void no_execute(void)
{
    static char code[] = { '\xc3' }; /* ret, where only data may be */

    jump_to(code);
}

/* A page of stack a frame, and more frames than any stack holds. */
static OPAQUE long overflow_by(unsigned long frames)
{
    volatile char page[PAGE];

    page[0] = 1;
    return frames ? overflow_by(frames - 1) + page[0] : 0;
}

static void overflow(void)
{
    overflow_by(1UL << 40);
}

static void terminated(void)
{
    long self = SYSCALL(getpid);

    SYSCALL(kill, self, SIGTERM);
}

static const struct { const char *name; void (*act)(void); } ways[] = {
    { "null", null },
    { "kernel", kernel },
    { "noncanonical", noncanonical },
    { "read-only", read_only },
    { "no-execute", no_execute },
    { "nowhere", nowhere },
    { "overflow", overflow },
    { "privileged", privileged },
    { "undefined", undefined },
    { "divide", divide },
    { "breakpoint", breakpoint },
    { "terminated", terminated },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

static const char *signal_name(int signal)
{
    switch (signal) {
    case 0: return "survived";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGSEGV: return "SIGSEGV";
    case SIGTERM: return "SIGTERM";
    default: return "another signal";
    }
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < WAYS; i++) {
        if (argc > 1) {
            if (equal(argv[1], ways[i].name))
                ways[i].act();
            continue;
        }

        int status;
        if (SYSCALL(fork) == 0) {
            ways[i].act();
            return 0;
        }
        SYSCALL(wait4, -1, &status, 0, 0);
        say("%s %s\n", ways[i].name, signal_name(status & 0x7f));
    }
    return argc > 1; /* with a name: no such way, or one that was survived */
}
