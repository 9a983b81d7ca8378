/* threads - two threads of one process, each on a stack of its own, and the main thread that waits for them. They mark
 * at different depths, several times, in between giving up the CPU.
 *
 * RUN    threads
 * OUTPUT first 5 second 9
 * STACK  getpid(1): descend*5 first thread_entry; ends: fp-below-sp
 * STACK  getpid(2): descend*9 second thread_entry; ends: fp-below-sp
 * STACK  getpid(3): main _start; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"
#include "lib/thread.h"

#define ROUNDS 4

static _Alignas(16) char stacks[2][8192];

/* Returns the number of its own frames. */
static OPAQUE long descend(long depth, long number)
{
    if (depth > 1)
        return descend(depth - 1, number) + 1;
    for (int i = 0; i < ROUNDS; i++) {
        MARK(number);
        SYSCALL(sched_yield);
    }
    return 1;
}

static OPAQUE void first(void *depth)
{
    *(long *)depth = descend(5, 1);
}

static OPAQUE void second(void *depth)
{
    *(long *)depth = descend(9, 2);
}

int main(void)
{
    static void (*const bodies[2])(void *) = { first, second };
    struct thread threads[2];
    long depths[2];

    for (int i = 0; i < 2; i++)
        thread_start(&threads[i], stacks[i] + sizeof(stacks[i]), bodies[i], &depths[i]);
    for (int i = 0; i < 2; i++)
        thread_join(&threads[i]);
    MARK(3);
    say("first %d second %d\n", depths[0], depths[1]);
    return 0;
}
