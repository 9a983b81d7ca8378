/* System calls with arguments of every kind that our tables know: good, bad, empty. strace is the oracle. */
	.macro	call nr, a=0, b=0, c=0, d=0, e=0, f=0
	mov	$\nr, %eax
	mov	$\a, %rdi
	mov	$\b, %rsi
	mov	$\c, %rdx
	mov	$\d, %r10
	mov	$\e, %r8
	mov	$\f, %r9
	syscall
	.endm

	.globl	_start
	.text
_start:
	/* write: short, 32 bytes, longer, every escape, no bytes, bad pointer, null */
	call	1, 99, hello, 6
	call	1, 99, digits, 32
	call	1, 99, digits, 33
	call	1, 99, escapes, 24
	call	1, 99, hello, 0
	call	1, 99, 16, 3
	call	1, 99, 0, 3
	call	1, -1, high, 5
	call	18, 99, hello, 6, -1
	call	20, 99, buffers, 3
	call	20, 99, buffers, 0
	call	20, 99, buffers, 33
	call	20, 99, bad_buffers, 2
	call	20, 99, page_end-16, 2
	call	20, 99, 16, 2
	call	20, 99, 0, 2
	/* open and friends: paths, flags, modes */
	call	2, path, 0, 0
	call	2, path, 0x241, 0644
	call	2, path, 0x80802, 0
	call	2, path, 0x40000003, 0
	call	2, 16, 0x101001, 0
	call	2, 0, 0x10000, 0
	call	257, -100, path, 0x2, 0
	call	257, 5, path, 0x40, 01
	call	21, path, 0
	call	21, path, 7
	call	21, path, 4
	call	21, path, 0x40
	call	83, path, 0
	call	8, 99, -5, 1
	call	8, 99, 5, 9
	call	3, 99
	call	3, -1
	/* memory */
	call	9, 0, 4096, 3, 0x22, -1, 0
	call	9, 0x10000000, 8192, 0, 0x31, -1, 0
	call	9, 0x10000000, 8192, 7, 0x100032, -1, 0
	call	9, 0, 4096, 1, 0x2, 99, 0x1000
	call	9, 0, 4096, 0x100, 0x22, -1, 0
	call	9, 0, 4096, 0x103, 0x4022, -1, 0
	call	9, 0, 4096, 3, 0x20022, -1, 0
	call	9, 0, 4096, 3, 0x8022, -1, 0
	call	9, 0, 4096, 3, 0x20, -1, 0
	call	9, 0, 0, 3, 0x22, -1, 0
	call	10, 0x10000000, 4096, 0
	call	10, 0x10000000, 4096, 5
	call	10, 0x30000000, 4096, 1
	call	11, 0x10000000, 8192
	call	12, 0
	/* pipe, and reading from it */
	call	22, fds
	call	22, 16
	call	1, 4, hello, 6
	call	0, 3, buffer, 10
	call	0, 99, buffer, 10
	call	0, 3, buffer, 0
	call	32, 99
	call	33, 99, 5
	/* time */
	call	35, short_time, 0
	call	35, short_time, rest
	call	35, bad_time, 0
	call	35, 16, 0
	call	35, 0, 0
	call	228, 77, rest
	call	228, 1, 16
	call	230, 1, 0, short_time, 0
	call	230, 0, 1, short_time, 0
	call	24
	/* futex: each operation that has a shape */
	call	202, word, 0, 3, 0
	call	202, word, 0, 2, short_time
	call	202, word, 128, 2, short_time
	call	202, word, 1, 1
	call	202, word, 129, 0x7fffffff
	call	202, word, 3, 1, 2, fds
	call	202, word, 4, 1, 2, fds, 77
	call	202, word, 137, 3, 0, 0, -1
	call	202, word, 265, 3, short_time, 0, 5
	call	202, word, 10, 1, 0, 0, -1
	call	202, word, 7
	call	202, word, 99, 1, 2, 3, 4
	call	202, 16, 0, 2, 0
	/* CPUs */
	call	203, 99999999, 8, short_time+8
	call	203, 0, 8, rest
	call	203, 0, 8, 16
	call	203, 0, 4, fds
	call	204, 0, 1, buffer
	call	204, 0, 128, 16
	call	309, 16, 0, 0
	call	309, 0, 0, 0
	call	309, cpu, 0, 0
	/* tasks and signals */
	call	62, 99999999, 9
	call	62, 99999999, 0
	call	62, 99999999, 34
	call	62, 99999999, 99
	call	234, 1, 99999999, 15
	call	200, 99999999, 11
	call	61, -1, status, 1, 0
	call	61, -1, 0, 0x40000003, 0
	call	158, 0x1002, 0
	call	158, 0x9999, 0
	call	158, 0x1004, 16
	call	158, 0x1004, base
	call	158, 0x1003, 0
	call	57
	test	%eax, %eax
	jnz	1f
	call	60, 3
1:	call	61, -1, status, 0, 0
	call	56, 17, 0, 0, 0, 0
	test	%eax, %eax
	jnz	1f
	hlt
1:	call	61, -1, status, 0x40000000, 0
	call	56, 0x7fffff00, 0x1000, 16, 0, 0
	/* numbers without a row or a name */
	call	999, 1, 0, 3, 4, 5, 6
	call	-1, 1, 2, 3
	call	105, 0
	call	102
	call	231, 7

	.data
hello:	.ascii	"hello\n"
digits:	.ascii	"012345678901234567890123456789012345678901234567"
escapes: .ascii	"\t\n\v\f\r\"\\\0\001a\0011\377\3779 ~\177\33[0m'?"
high:	.ascii	"\303\244\0\0\0"
path:	.asciz	"/no/such/file/whose/name/is/longer/than/thirty-two/bytes"
	.balign	16
short_time: .quad 0, 5000
bad_time: .quad	-1, 2000000000
rest:	.quad	0, 0
buffer:	.skip	16
fds:	.long	0, 0
status:	.long	0
word:	.long	2
cpu:	.long	0
base:	.quad	0
	.balign	8
buffers: .quad	hello, 5, hello, 0, digits, 40
	.rept	30
	.quad	hello, 3
	.endr
bad_buffers: .quad 16, 3, hello, 1
	.balign	4096
page_end:
