/* tracers - one thread makes system calls while another turns ftrace off and on. Where ftrace is on as the program starts
 * it is on as it ends. Elsewhere, and on Linux, which has no such call, nothing is turned.
 *
 * RUN    tracers
 * OUTPUT calls 60 turns 40
 * STACK  getpid(1): call make_calls thread_entry; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"
#include "lib/thread.h"

#define FTRACE 1
#define CALLS 60
#define TURNS 40

static _Alignas(16) char stacks[2][8192];

static OPAQUE void call(void)
{
    MARK(1);
}

static OPAQUE void make_calls(void *calls)
{
    for (long i = 0; i < CALLS; i++) {
        call();
        SYSCALL(sched_yield);
        ++*(long *)calls;
    }
}

static OPAQUE void turn(void *turns)
{
    for (long i = 0; i < TURNS; i++) {
        SYSCALL(tracer_control, FTRACE, i % 2);
        SYSCALL(sched_yield);
        ++*(long *)turns;
    }
}

int main(void)
{
    static void (*const bodies[2])(void *) = { make_calls, turn };
    struct thread threads[2];
    long done[2] = { 0, 0 };

    for (int i = 0; i < 2; i++)
        thread_start(&threads[i], stacks[i] + sizeof(stacks[i]), bodies[i], &done[i]);
    for (int i = 0; i < 2; i++)
        thread_join(&threads[i]);
    say("calls %d turns %d\n", done[0], done[1]);
    return 0;
}
