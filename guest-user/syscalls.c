/* syscalls - every system call that the kernel knows, each where it succeeds and where it must fail. A line is printed
 * per call: what it returned, numbers and errors as strace would print them, and words where the number has no meaning
 * of its own (addresses, process ids). A refusal is always the first one that Linux's own order of tests comes to.
 *
 * RUN    syscalls
 * OUTPUT read 0 EFAULT EBADF
 * OUTPUT abc
 * OUTPUT write 4 0 EFAULT EBADF
 * OUTPUT defg
 * OUTPUT writev 5 0 EFAULT EINVAL EBADF
 * OUTPUT mmap zeroed EINVAL EINVAL EINVAL ENOMEM
 * OUTPUT mprotect 0 0 EINVAL ENOMEM
 * OUTPUT munmap 0 0 EINVAL EINVAL EFAULT
 * OUTPUT brk grown zeroed kept shrunk EFAULT
 * OUTPUT nanosleep 0 EINVAL EINVAL EFAULT
 * OUTPUT sched_yield 0
 * OUTPUT getpid same gettid same getppid parent
 * OUTPUT clone shared EINVAL EINVAL
 * OUTPUT fork 7 copied
 * OUTPUT wait4 ECHILD ECHILD EINVAL 0 0 9
 * OUTPUT exit 0 exit_group 5
 * OUTPUT kill 0 ESRCH EINVAL
 * OUTPUT futex EAGAIN 0 EFAULT EINVAL ENOSYS ETIMEDOUT
 * OUTPUT clock_gettime forward EINVAL EFAULT
 * OUTPUT sched_setaffinity 0 EINVAL EFAULT ESRCH
 * OUTPUT getcpu 0 0 EFAULT
 * OUTPUT arch_prctl 0 0 same EPERM EFAULT EINVAL
 * OUTPUT set_tid_address tid
 * OUTPUT unknown ENOSYS ENOSYS
 * EXIT   0
 */
#include "lib/sys.h"
#include "lib/text.h"
#include "lib/thread.h"

/* Three addresses that no program can use: never mapped, the kernel's, not an address at all. */
#define UNMAPPED 8L
#define KERNEL 0xffffffff81000000L
#define NONCANONICAL 0x8000000000000000L

#define NOBODY 0x3fffffffL /* above every pid */
#define NO_FILE 99L

static struct line line;

/* Results are taken one statement at a time, for C leaves the order of a call's arguments open. */
#define CALL(...) append(&line, " %e", SYSCALL(__VA_ARGS__))

static void result(long value)
{
    append(&line, " %e", value);
}

static void word(const char *text)
{
    append(&line, " %s", text);
}

static void begin(const char *name)
{
    append(&line, "%s", name);
}

static void end(void)
{
    append(&line, "\n");
    flush(&line);
}

static _Alignas(16) char stack[8192];
static const struct timespec bad_fraction = { 0, 1000000000 }, negative = { -1, 0 };
static struct timespec moment = { 0, 20000 };

/* The exit status of a child that was waited for, or the signal that ended it. */
static long ending(int status)
{
    return status & 0x7f ? status & 0x7f : status >> 8 & 0xff;
}

static void files(void)
{
    static const struct iovec parts[] = { { "de", 2 }, { "", 0 }, { "fg\n", 3 } };
    char byte;

    begin("read");
    CALL(read, 0, &byte, 0);
    CALL(read, 0, KERNEL, 1);
    CALL(read, NO_FILE, &byte, 1);
    end();

    begin("write");
    CALL(write, 1, "abc\n", 4);
    CALL(write, 1, "", 0);
    CALL(write, 1, UNMAPPED, 4);
    CALL(write, NO_FILE, "", 0);
    end();

    begin("writev");
    CALL(writev, 1, parts, 3);
    CALL(writev, 1, parts, 0);
    CALL(writev, 1, NONCANONICAL, 1);
    CALL(writev, 1, parts, -1);
    CALL(writev, NO_FILE, parts, 1);
    end();
}

static void mappings(void)
{
    const long rw = PROT_READ | PROT_WRITE, private = MAP_PRIVATE | MAP_ANONYMOUS;
    volatile char *page = (char *)SYSCALL(mmap, 0, 4 * PAGE, rw, private, -1, 0);

    begin("mmap");
    word(page[0] == 0 && page[4 * PAGE - 1] == 0 ? "zeroed" : "not zeroed");
    CALL(mmap, 0, 0, rw, private, -1, 0);                    /* no length */
    CALL(mmap, 0, PAGE, rw, MAP_ANONYMOUS, -1, 0);           /* neither shared nor private */
    CALL(mmap, 1, PAGE, rw, private | MAP_FIXED, -1, 0);     /* fixed, not on a page */
    CALL(mmap, 0, 1L << 50, rw, private, -1, 0);             /* more than there are addresses */
    end();

    begin("mprotect");
    CALL(mprotect, page, PAGE, PROT_READ);
    CALL(mprotect, page, PAGE, rw);
    CALL(mprotect, page + 1, PAGE, rw);
    CALL(mprotect, 0, PAGE, rw);                             /* nothing there */
    end();

    begin("munmap");
    CALL(munmap, page, 4 * PAGE);
    CALL(munmap, page, PAGE);                                /* a hole: nothing to do, no error */
    CALL(munmap, page + 1, PAGE);
    CALL(munmap, page, 0);
    CALL(write, 1, page, 1);                                 /* it is gone */
    end();
}

static void data_segment(void)
{
    long start = SYSCALL(brk, 0), limit = start + 2 * PAGE;

    begin("brk");
    word(SYSCALL(brk, limit) == limit ? "grown" : "refused");
    word(*(volatile char *)(limit - 1) == 0 ? "zeroed" : "not zeroed");
    word(SYSCALL(brk, UNMAPPED) == limit ? "kept" : "moved");
    word(SYSCALL(brk, start) == start ? "shrunk" : "refused");
    CALL(write, 1, limit - 1, 1);
    end();
}

static void pauses(void)
{
    begin("nanosleep");
    CALL(nanosleep, &moment, 0);
    CALL(nanosleep, &bad_fraction, 0);
    CALL(nanosleep, &negative, 0);
    CALL(nanosleep, UNMAPPED, 0);
    end();

    begin("sched_yield");
    CALL(sched_yield);
    end();
}

static void set(void *flag)
{
    *(volatile int *)flag = 1;
}

static void exit_all(void *status)
{
    SYSCALL(exit_group, status);
}

/* Forks a child that does as it is told and, if that comes back, exits with the result. Returns the child's pid. */
static long child(long (*task)(void))
{
    long pid = SYSCALL(fork);

    if (pid == 0)
        SYSCALL(exit_group, task());
    return pid;
}

static long wait_for(long pid)
{
    int status = 0;
    long result = SYSCALL(wait4, pid, &status, 0, 0);

    return result == pid ? ending(status) : result;
}

static volatile long parent;
static volatile int shared;

static long is_child_of_parent(void)
{
    return SYSCALL(getppid) == parent;
}

static long change(void)
{
    shared = 2;
    return 7;
}

static long exit_thread_only(void)
{
    SYSCALL(exit, 0);
    return 1;
}

static long exit_from_thread(void)
{
    struct thread thread;

    thread_start(&thread, stack + sizeof(stack), exit_all, (void *)5);
    thread_join(&thread);
    return 1;
}

static long sleep_long(void)
{
    static const struct timespec hour = { 3600, 0 };

    return SYSCALL(nanosleep, &hour, 0);
}

static void identities(void)
{
    parent = SYSCALL(getpid);

    begin("getpid");
    word(parent == SYSCALL(getpid) ? "same" : "other");
    word("gettid");
    word(parent == SYSCALL(gettid) ? "same" : "other");
    word("getppid");
    word(wait_for(child(is_child_of_parent)) == 1 ? "parent" : "other");
    end();
}

static void creation(void)
{
    char *top = stack + sizeof(stack);
    struct thread thread;

    begin("clone");
    thread_start(&thread, top, set, (void *)&shared);
    thread_join(&thread);
    word(shared == 1 ? "shared" : "copied");
    CALL(clone, CLONE_THREAD | CLONE_VM, top);               /* a thread shares its parent's handlers … */
    CALL(clone, CLONE_SIGHAND, top);                         /* … and handlers need shared memory */
    end();

    begin("fork");
    result(wait_for(child(change)));
    word(shared == 1 ? "copied" : "shared");
    end();
}

static void endings(void)
{
    int status;

    begin("wait4");
    CALL(wait4, -1, &status, 0, 0);                          /* no children at all */
    CALL(wait4, NOBODY, &status, WNOHANG, 0);
    CALL(wait4, -1, &status, 0x10000, 0);                    /* no such option */
    long sleeper = child(sleep_long);
    CALL(wait4, sleeper, &status, WNOHANG, 0);               /* still running */
    CALL(kill, sleeper, SIGKILL);
    result(wait_for(sleeper));
    end();

    begin("exit");
    result(wait_for(child(exit_thread_only)));
    word("exit_group");
    result(wait_for(child(exit_from_thread)));
    end();

    begin("kill");
    CALL(kill, parent, 0);                                   /* signal 0 only asks */
    CALL(kill, NOBODY, 0);
    CALL(kill, parent, 65);
    end();
}

static void waiting(void)
{
    struct timespec before, after;

    begin("futex");
    CALL(futex, &shared, FUTEX_WAIT, shared + 1, 0);         /* the word has another value */
    CALL(futex, &shared, FUTEX_WAKE, 1);                     /* nobody waits */
    CALL(futex, UNMAPPED, FUTEX_WAIT, 0, 0);
    CALL(futex, (char *)&shared + 1, FUTEX_WAIT, 0, 0);
    CALL(futex, &shared, 99, 0, 0);
    CALL(futex, &shared, FUTEX_WAIT, shared, &moment);
    end();

    SYSCALL(clock_gettime, CLOCK_MONOTONIC, &before);
    SYSCALL(nanosleep, &moment, 0);
    SYSCALL(clock_gettime, CLOCK_MONOTONIC, &after);
    long passed = (after.seconds - before.seconds) * 1000000000 + after.nanoseconds - before.nanoseconds;

    begin("clock_gettime");
    word(passed >= moment.nanoseconds ? "forward" : "too slow");
    CALL(clock_gettime, 99, &after);
    CALL(clock_gettime, CLOCK_MONOTONIC, UNMAPPED);
    end();
}

static void processors(void)
{
    static const unsigned long first = 1, none = 0;
    unsigned cpu = 99, node;

    begin("sched_setaffinity");
    CALL(sched_setaffinity, 0, sizeof(first), &first);
    CALL(sched_setaffinity, 0, sizeof(none), &none);
    CALL(sched_setaffinity, 0, sizeof(first), UNMAPPED);
    CALL(sched_setaffinity, NOBODY, sizeof(first), &first);
    end();

    begin("getcpu");
    CALL(getcpu, &cpu, &node, 0);
    result(cpu);
    CALL(getcpu, UNMAPPED, 0, 0);
    end();
}

static void thread_state(void)
{
    static unsigned long local = 77;
    unsigned long base = 0, through;

    begin("arch_prctl");
    CALL(arch_prctl, ARCH_SET_FS, &local);
    CALL(arch_prctl, ARCH_GET_FS, &base);
    __asm__ volatile("mov %%fs:0, %0" : "=r"(through));
    word(base == (unsigned long)&local && through == local ? "same" : "other");
    CALL(arch_prctl, ARCH_SET_FS, KERNEL);
    CALL(arch_prctl, ARCH_GET_FS, UNMAPPED);
    CALL(arch_prctl, 99, 0);
    end();

    begin("set_tid_address");
    word(SYSCALL(set_tid_address, 0) == SYSCALL(gettid) ? "tid" : "other");
    end();

    begin("unknown");
    result(syscall6(1000, 0, 0, 0, 0, 0, 0));
    result(syscall6(-1, 0, 0, 0, 0, 0, 0));
    end();
}

int main(void)
{
    files();
    mappings();
    data_segment();
    pauses();
    identities();
    creation();
    endings();
    waiting();
    processors();
    thread_state();
    return 0;
}
