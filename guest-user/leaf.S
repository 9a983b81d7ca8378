/* leaf - functions caught without a frame of their own. The walk starts from rbp, which is still the caller's: the
 * return address into the caller lies on the stack where nobody looks, and `caller` is missing from the chain. The last
 * mark is taken with the frame in place, and finds everybody.
 *
 * RUN    leaf
 * STACK  getpid(1): bare outer main _start; ends: fp-below-sp
 * STACK  getpid(2): prologue outer main _start; ends: fp-below-sp
 * STACK  getpid(3): epilogue outer main _start; ends: fp-below-sp
 * STACK  getpid(4): framed caller outer main _start; ends: fp-below-sp
 * EXIT   0
 */
#include "lib/asm.h"

function main
        push    %rbp
        mov     %rsp, %rbp
        call    outer
        xor     %eax, %eax
        pop     %rbp
        ret
end main

function outer
        push    %rbp
        mov     %rsp, %rbp
        call    caller
        pop     %rbp
        ret
end outer

function caller
        push    %rbp
        mov     %rsp, %rbp
        call    bare
        call    prologue
        call    epilogue
        call    framed
        pop     %rbp
        ret
end caller

# bare - has no frame at all.
function bare
        mark    1
        ret
end bare

# prologue - is caught between the two instructions that make its frame.
function prologue
        push    %rbp
        mark    2
        mov     %rsp, %rbp
        pop     %rbp
        ret
end prologue

# epilogue - is caught when its frame is already gone.
function epilogue
        push    %rbp
        mov     %rsp, %rbp
        pop     %rbp
        mark    3
        ret
end epilogue

# framed - has a frame: nobody is missing.
function framed
        push    %rbp
        mov     %rsp, %rbp
        mark    4
        pop     %rbp
        ret
end framed
