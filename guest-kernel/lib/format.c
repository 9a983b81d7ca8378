// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

struct output { char *to; size_t size, length; };

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->to[out->length++] = c;
}

static void put_number(struct output *out, u64 value, u32 base)
{
	char digits[20];
	u32 n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(out, digits[--n]);
}

size_t format(char *to, size_t size, const char *text, __builtin_va_list arguments)
{
	struct output out = { to, size, 0 };

	for (; *text; text++) {
		if (*text != '%') {
			put(&out, *text);
			continue;
		}
		text++;
		bool is_long = *text == 'l';
		if (is_long)
			text++;
		switch (*text) {
		case 's':
			for (const char *s = __builtin_va_arg(arguments, const char *); *s; s++)
				put(&out, *s);
			break;
		case 'd': {
			s64 value = is_long ? __builtin_va_arg(arguments, s64)
					    : __builtin_va_arg(arguments, s32);
			if (value < 0)
				put(&out, '-');
			put_number(&out, value < 0 ? -(u64)value : (u64)value, 10);
			break;
		}
		case 'u':
		case 'x': {
			u64 value = is_long ? __builtin_va_arg(arguments, u64)
					    : __builtin_va_arg(arguments, u32);
			put_number(&out, value, *text == 'u' ? 10 : 16);
			break;
		}
		default:
			put(&out, *text);
		}
	}
	out.to[out.length] = 0;
	return out.length;
}
