/* echo - gives back one line of standard input, or what there is before its end.
 *
 * RUN    echo
 * INPUT  what goes in must come out
 * OUTPUT what goes in must come out
 * EXIT   0
 *
 * RUN    echo
 * EXIT   0
 */
#include "lib/sys.h"

int main(void)
{
    char text[64];

    for (;;) {
        long length = SYSCALL(read, 0, text, sizeof(text));

        if (length <= 0)
            return length < 0;
        SYSCALL(write, 1, text, length);
        if (text[length - 1] == '\n')
            return 0;
    }
}
