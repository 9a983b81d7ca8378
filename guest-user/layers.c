/* layers [N] - N rounds of work, 4 where none is given, each part of it below the same five functions: arithmetic, system
 * calls, page faults. For samplers, which may hit it anywhere: the user stack is one of these three, or the end of one between two
 * parts. A function's first two instructions and its last are the exception that frame pointers always make: its caller is missing.
 *
 *     spin inner middle outer rounds main _start      150,000 instructions in user mode
 *     ask inner middle outer rounds main _start       20 system calls
 *     touch inner middle outer rounds main _start     16 pages: mapped, written to, unmapped
 *
 * RUN    layers
 * OUTPUT rounds 4: 80 calls, 64 pages
 * STACK  getpid(1): ask inner middle outer rounds main _start; ends: fp-below-sp
 * EXIT   0
 *
 * RUN    layers 1
 * OUTPUT rounds 1: 20 calls, 16 pages
 * STACK  getpid(1): ask inner middle outer rounds main _start; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"

#define TURNS 50000
#define CALLS 20
#define PAGES 16

struct done { long calls, pages; };

static OPAQUE void spin(void)
{
    KEEP_FRAME();
    for (long turn = TURNS; turn > 0; turn--)
        __asm__ volatile("" : "+r"(turn));
}

static OPAQUE long ask(void)
{
    long calls = 0;

    for (; calls < CALLS - 1; calls++)
        SYSCALL(gettid);
    MARK(1);
    return calls + 1;
}

static OPAQUE long touch(void)
{
    char *memory = (char *)SYSCALL(mmap, 0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long pages = 0;

    KEEP_FRAME();
    for (; pages < PAGES; pages++)
        memory[pages * PAGE] = 1;
    SYSCALL(munmap, memory, PAGES * PAGE);
    return pages;
}

static OPAQUE void inner(struct done *done)
{
    spin();
    done->calls += ask();
    done->pages += touch();
}

/* No call is the last thing that a frame does. */
static OPAQUE long middle(struct done *done) { inner(done); return 1; }
static OPAQUE long outer(struct done *done) { return middle(done) + 1; }

static OPAQUE struct done rounds(long count)
{
    struct done done = { 0, 0 };

    for (long i = 0; i < count; i++)
        outer(&done);
    return done;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? parse(argv[1]) : 4;
    struct done done = rounds(count);

    say("rounds %d: %d calls, %d pages\n", count, done.calls, done.pages);
    return 0;
}
