// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's command line: words NAME=VALUE, separated by spaces. */
#include "kernel.h"

char command_line[1024];

void command_line_set(const char *text)
{
	string_copy(command_line, text, sizeof(command_line));
}

/*
 * The value of NAME=VALUE; false, and value untouched, if the line has no such word. The last one
 * counts.
 */
bool command_line_word(const char *name, char *value, size_t size)
{
	size_t name_length = strlen(name);
	bool found = false;

	for (const char *word = command_line; *word; ) {
		size_t length = 0;

		while (word[length] && word[length] != ' ')
			length++;
		if (length > name_length && word[name_length] == '=' &&
		    memcmp(word, name, name_length) == 0) {
			size_t n = min_u64(length - name_length - 1, size - 1);

			memcpy(value, word + name_length + 1, n);
			value[n] = 0;
			found = true;
		}
		word += length;
		while (*word == ' ')
			word++;
	}
	return found;
}

u64 command_line_number(const char *name, u64 fallback)
{
	char text[24];
	u64 value = 0;

	if (!command_line_word(name, text, sizeof(text)))
		return fallback;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || value > 1000000000000ull) {
			printk("expected a number for %s=, found %s: using %lu\n", name, text, fallback);
			return fallback;
		}
		value = value * 10 + (*c - '0');
	}
	return value;
}

/* Whether a value NAME[,NAME]... has this name in it. */
bool list_has(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (*list) {
		size_t item = 0;

		while (list[item] && list[item] != ',')
			item++;
		if (item == length && memcmp(list, name, length) == 0)
			return true;
		list += item + (list[item] == ',');
	}
	return false;
}
