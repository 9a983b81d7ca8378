/* status [N] - ends with exit status N, 42 where none is given.
 *
 * RUN    status
 * EXIT   42
 *
 * RUN    status 0
 * EXIT   0
 *
 * RUN    status 127
 * EXIT   127
 */
#include "lib/text.h"

int main(int argc, char **argv)
{
    return argc > 1 ? (int)parse(argv[1]) : 42;
}
