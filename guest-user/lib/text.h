/* Text in and out. */
#ifndef TEXT_H
#define TEXT_H

/* A line in the making. All zero is the empty line; what goes beyond 255 bytes is cut. */
struct line {
    unsigned length;
    char bytes[255];
};

/* Adds formatted text to a line:
 *   %s string   %c character   %d long   %u unsigned long   %x unsigned long in hexadecimal, without 0x
 *   %e result of a system call: the number, or the error's name where it is -errno
 * Every number is passed as a long. */
void append(struct line *line, const char *format, ...);

/* Writes the line to standard output by one write(), and empties it. */
void flush(struct line *line);

/* append() and flush() of a line of its own. */
void say(const char *format, ...);

/* The decimal number that text begins with; 0 where there is none. */
long parse(const char *text);

int equal(const char *a, const char *b);

#endif
