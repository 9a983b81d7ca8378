#include "text.h"

#include <stdarg.h>

#include "sys.h"

static void put(struct line *line, char c)
{
    if (line->length < sizeof(line->bytes))
        line->bytes[line->length++] = c;
}

static void put_string(struct line *line, const char *s)
{
    while (*s)
        put(line, *s++);
}

static void put_number(struct line *line, unsigned long n, unsigned base)
{
    char digits[20];
    int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (count)
        put(line, digits[--count]);
}

static void put_signed(struct line *line, long n)
{
    if (n < 0)
        put(line, '-');
    put_number(line, n < 0 ? -(unsigned long)n : (unsigned long)n, 10);
}

static const struct { long number; const char *name; } errors[] = {
    { EPERM, "EPERM" },   { ESRCH, "ESRCH" },   { EBADF, "EBADF" },   { ECHILD, "ECHILD" }, { EAGAIN, "EAGAIN" },
    { ENOMEM, "ENOMEM" }, { EFAULT, "EFAULT" }, { EINVAL, "EINVAL" }, { ENOSYS, "ENOSYS" }, { ETIMEDOUT, "ETIMEDOUT" },
};

static void put_result(struct line *line, long result)
{
    for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        if (result == -errors[i].number)
            return put_string(line, errors[i].name);
    put_signed(line, result);
}

static void append_list(struct line *line, const char *format, va_list arguments)
{
    for (; *format; format++) {
        if (*format != '%') {
            put(line, *format);
            continue;
        }
        switch (*++format) {
        case 's': put_string(line, va_arg(arguments, const char *)); break;
        case 'c': put(line, (char)va_arg(arguments, long)); break;
        case 'd': put_signed(line, va_arg(arguments, long)); break;
        case 'u': put_number(line, va_arg(arguments, unsigned long), 10); break;
        case 'x': put_number(line, va_arg(arguments, unsigned long), 16); break;
        case 'e': put_result(line, va_arg(arguments, long)); break;
        default: __builtin_trap();
        }
    }
}

void append(struct line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append_list(line, format, arguments);
    va_end(arguments);
}

void flush(struct line *line)
{
    SYSCALL(write, 1, line->bytes, line->length);
    line->length = 0;
}

void say(const char *format, ...)
{
    struct line line = { .length = 0 };
    va_list arguments;

    va_start(arguments, format);
    append_list(&line, format, arguments);
    va_end(arguments);
    flush(&line);
}

long parse(const char *text)
{
    long n = 0;

    while (*text >= '0' && *text <= '9')
        n = n * 10 + (*text++ - '0');
    return n;
}

int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}
