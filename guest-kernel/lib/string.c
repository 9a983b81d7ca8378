// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

/*
 * Words first, then the bytes that are left: an emulator takes as long over a byte as over a word.
 */
void *memcpy(void *to, const void *from, size_t size)
{
	void *start = to;
	size_t words = size / 8, bytes = size % 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) :: "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) :: "memory");
	return start;
}

void *memset(void *to, int byte, size_t size)
{
	void *start = to;
	size_t words = size / 8, bytes = size % 8;
	u64 pattern = (u8)byte * 0x0101010101010101ull;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const u8 *x = a, *y = b;

	for (; size; size--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t length = 0;

	while (s[length])
		length++;
	return length;
}

bool string_equal(const char *a, const char *b)
{
	size_t length = strlen(a);

	return length == strlen(b) && memcmp(a, b, length) == 0;
}

void string_copy(char *to, const char *from, size_t size)
{
	size_t length = min_u64(strlen(from), size - 1);

	memcpy(to, from, length);
	to[length] = 0;
}
