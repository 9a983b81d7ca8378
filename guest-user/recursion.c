/* recursion [N] - N frames of one function, and a mark in the innermost. The image `deep` is the same source with
 * another default: more frames than one trace holds.
 *
 * RUN    recursion
 * OUTPUT depth 40
 * STACK  getpid(1): recurse*40 main _start; ends: fp-below-sp
 * EXIT   0
 *
 * RUN    recursion 3
 * OUTPUT depth 3
 * STACK  getpid(1): recurse recurse recurse main _start; ends: fp-below-sp
 * EXIT   0
 *
 * RUN    recursion 508
 * OUTPUT depth 508
 * STACK  getpid(1): recurse*508 main _start; ends: fp-below-sp
 * EXIT   0
 *
 * RUN    recursion 509
 * OUTPUT depth 509
 * STACK  getpid(1): recurse*509 main _start; ends: limit
 * EXIT   0
 *
 * RUN    deep
 * OUTPUT depth 600
 * STACK  getpid(1): recurse*600 main _start; ends: limit
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"

#ifndef DEPTH
#define DEPTH 40
#endif

/* Returns the number of its own frames, so that no call is the last thing that a frame does. */
static OPAQUE long recurse(long depth)
{
    if (depth > 1)
        return recurse(depth - 1) + 1;
    MARK(1);
    return 1;
}

int main(int argc, char **argv)
{
    say("depth %d\n", recurse(argc > 1 ? parse(argv[1]) : DEPTH));
    return 0;
}
