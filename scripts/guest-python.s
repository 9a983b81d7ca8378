# A stand-in for libpython, of which perf's start needs the name and one object, which it copies. Functions are bound when they are
# first called, and only `perf script -s FILE.py` calls any: the dynamic linker then says what is missing.
	.data
	.globl	_Py_NoneStruct
	.type	_Py_NoneStruct, @object
_Py_NoneStruct:
	.quad	0, 0
	.size	_Py_NoneStruct, . - _Py_NoneStruct

	.section .note.GNU-stack, "", @progbits
