/* compute [N] - N million instructions, 5 where none is given: how fast a machine runs code that asks nothing of it. The
 * loop is ten instructions long: arithmetic, a load, a store and a branch, as ordinary code has them.
 *
 * RUN    compute
 * OUTPUT 5 million instructions: 7d64ae417418ee0b
 * EXIT   0
 *
 * RUN    compute 1
 * OUTPUT 1 million instructions: 8a50c7482e45b947
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"

/* Runs 10 * count + 4 instructions, from its first to its return. */
unsigned long loop(unsigned long count, unsigned long *cell);
__asm__(".text\n"
        ".globl loop\n"
        ".type loop, @function\n"
        "loop:\n"
        "    push  %rbp\n"
        "    mov   %rsp, %rbp\n"
        "1:  mov   (%rsi), %rax\n"
        "    lea   (%rax,%rax,4), %rax\n"
        "    add   $7, %rax\n"
        "    mov   %rax, %rdx\n"
        "    shr   $29, %rdx\n"
        "    xor   %rdx, %rax\n"
        "    add   %rdi, %rax\n"
        "    mov   %rax, (%rsi)\n"
        "    dec   %rdi\n"
        "    jnz   1b\n"
        "    pop   %rbp\n"
        "    ret\n"
        ".size loop, . - loop\n");

int main(int argc, char **argv)
{
    unsigned long millions = argc > 1 ? (unsigned long)parse(argv[1]) : 5;
    unsigned long cell = 1;

    loop(millions * 100000, &cell);
    say("%d million instructions: %x\n", millions, cell);
    return 0;
}
