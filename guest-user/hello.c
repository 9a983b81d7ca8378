/* hello - the smallest program: one write, one exit.
 *
 * RUN    hello
 * OUTPUT hello, world
 * STACK  write(1): main _start; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/stack.h"

int main(void)
{
    static const char text[] = "hello, world\n";

    KEEP_FRAME();
    SYSCALL(write, 1, text, sizeof(text) - 1);
    return 0;
}
