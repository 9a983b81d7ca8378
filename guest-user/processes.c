/* processes - a parent on CPU 0 and its child on CPU 1, at work at the same time; where there is one CPU they share it.
 * After the fork each has a memory of its own and the same stack below it.
 *
 * RUN    processes
 * OUTPUT child 300 on its CPU
 * OUTPUT parent 200 on its CPU
 * OUTPUT child exited with 3
 * STACK  getpid(1): work parent main _start; ends: fp-below-sp
 * STACK  getpid(2): work child main _start; ends: fp-below-sp
 * STACK  wait4(-1): parent main _start; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"

static volatile long rounds;

/* Pins the caller to the CPU. Returns 1 if it then runs there, or if there is no such CPU. */
static OPAQUE int pin(unsigned cpu)
{
    unsigned long mask = 1UL << cpu;
    unsigned here = cpu;

    if (SYSCALL(sched_setaffinity, 0, sizeof(mask), &mask) == 0)
        SYSCALL(getcpu, &here, 0, 0);
    return here == cpu;
}

static OPAQUE void work(long number, long count)
{
    for (long i = 0; i < count; i++) {
        MARK(number);
        rounds++;
        for (volatile int spin = 0; spin < 200; spin++)
            ;
    }
}

static OPAQUE int child(void)
{
    int pinned = pin(1);

    work(2, 300);
    say("child %d %s\n", rounds, pinned ? "on its CPU" : "elsewhere");
    return 3;
}

static OPAQUE int parent(void)
{
    int pinned = pin(0), status;

    work(1, 200);
    KEEP_FRAME();
    SYSCALL(wait4, -1, &status, 0, 0);
    say("parent %d %s\nchild exited with %d\n", rounds, pinned ? "on its CPU" : "elsewhere", (long)status >> 8);
    return 0;
}

int main(void)
{
    if (SYSCALL(fork) == 0)
        return child();
    return parent();
}
