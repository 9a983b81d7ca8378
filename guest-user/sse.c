/* sse - two processes share a CPU, each with its own values in all sixteen xmm registers and in MXCSR. Neither may ever
 * see the other's: not after a system call, not after an interrupt, not after a switch. A child starts with its parent's.
 *
 * RUN    sse
 * OUTPUT child inherited kept
 * OUTPUT parent kept
 * EXIT   0
 */
#include "lib/sys.h"
#include "lib/text.h"

#define ROUNDS 100
#define SPINS 10000
#define DEFAULT_CONTROL 0x1f80U      /* MXCSR after reset: all exceptions masked, round to nearest */
#define ROUND_DOWN      0x2000U

struct state {
    _Alignas(16) unsigned long xmm[16][2];
    unsigned control;
};

#define ALL(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define LOAD(n) "movaps 16*" #n "(%[in]), %%xmm" #n "\n"
#define STORE(n) "movaps %%xmm" #n ", 16*" #n "(%[out])\n"
#define XMM                                                                                                       \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13", "xmm14", "xmm15"

/* Loads the state, spins, makes the system call, spins, and stores what is there then. Returns the call's result. One
 * piece of assembly, for between two the compiler may use the registers itself. */
static long carry(const struct state *in, struct state *out, long number)
{
    long result;

    __asm__ volatile(ALL(LOAD)
                     "ldmxcsr %[control]\n"
                     "mov %[spins], %%r12\n 1: dec %%r12\n jnz 1b\n"
                     "syscall\n"
                     "mov %[spins], %%r12\n 1: dec %%r12\n jnz 1b\n"
                     ALL(STORE)
                     "stmxcsr %[found]\n"
                     : "=a"(result), [found] "=m"(out->control)
                     : "a"(number), [in] "r"(in->xmm), [out] "r"(out->xmm), [control] "m"(in->control), [spins] "i"(SPINS)
                     : "rcx", "r11", "r12", "memory", XMM);
    return result;
}

static void make(struct state *state, unsigned long seed, unsigned control)
{
    for (int i = 0; i < 16; i++) {
        state->xmm[i][0] = seed + i;
        state->xmm[i][1] = ~seed - i;
    }
    state->control = control;
}

static int same(const struct state *a, const struct state *b)
{
    for (int i = 0; i < 16; i++)
        if (a->xmm[i][0] != b->xmm[i][0] || a->xmm[i][1] != b->xmm[i][1])
            return 0;
    return a->control == b->control;
}

static int keeps(const struct state *state)
{
    struct state found;

    for (int i = 0; i < ROUNDS; i++) {
        carry(state, &found, SYS_sched_yield);
        if (!same(state, &found))
            return 0;
    }
    return 1;
}

int main(void)
{
    static const unsigned long first_cpu = 1;
    struct state mine, found;

    SYSCALL(sched_setaffinity, 0, sizeof(first_cpu), &first_cpu);
    make(&mine, 0x1111111111111111, DEFAULT_CONTROL);
    long child = carry(&mine, &found, SYS_fork);
    if (child == 0) {
        int inherited = same(&mine, &found);

        make(&mine, 0xcccccccccccccccc, DEFAULT_CONTROL | ROUND_DOWN);
        say("child %s %s\n", inherited ? "inherited" : "started afresh", keeps(&mine) ? "kept" : "lost");
        return 0;
    }

    int status, kept = same(&mine, &found) && keeps(&mine);
    SYSCALL(wait4, child, &status, 0, 0);
    say("parent %s\n", kept ? "kept" : "lost");
    return 0;
}
