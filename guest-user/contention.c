/* contention - four threads and one counter behind a mutex. Some hold the mutex while they yield or sleep, so that others
 * must wait for it in the kernel. No increment may be lost, and nobody may sleep for ever.
 *
 * RUN    contention
 * OUTPUT counter 400
 * OUTPUT turns 100 100 100 100
 * EXIT   0
 */
#include "lib/sys.h"
#include "lib/text.h"
#include "lib/thread.h"

#define THREADS 4
#define TURNS 100

static _Alignas(16) char stacks[THREADS][8192];
static struct mutex mutex;
static volatile long counter;
static long turns[THREADS];

static void take_turns(void *mine)
{
    static const struct timespec nap = { 0, 20000 };

    for (int i = 0; i < TURNS; i++) {
        mutex_lock(&mutex);
        long seen = counter;
        if (i % 4 == 0)
            SYSCALL(sched_yield);
        if (i % 16 == 0)
            SYSCALL(nanosleep, &nap, 0);
        counter = seen + 1;
        mutex_unlock(&mutex);
        ++*(long *)mine;
        if (i % 32 == 0)
            SYSCALL(nanosleep, &nap, 0);
    }
}

int main(void)
{
    struct thread threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        thread_start(&threads[i], stacks[i] + sizeof(stacks[i]), take_turns, &turns[i]);
    for (int i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    say("counter %d\nturns %d %d %d %d\n", counter, turns[0], turns[1], turns[2], turns[3]);
    return 0;
}
