/* roundtrip [N] - N system calls in a row, 10000 where none is given: what one costs.
 *
 * RUN    roundtrip
 * OUTPUT calls 10000
 * EXIT   0
 *
 * RUN    roundtrip 500
 * OUTPUT calls 500
 * EXIT   0
 */
#include "lib/sys.h"
#include "lib/text.h"

int main(int argc, char **argv)
{
    long count = argc > 1 ? parse(argv[1]) : 10000;

    for (long i = 0; i < count; i++)
        SYSCALL(gettid);
    say("calls %d\n", count);
    return 0;
}
