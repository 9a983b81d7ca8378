/* Text in and out. */
#ifndef TEXT_H
#define TEXT_H

/* Formats a line and writes it to standard output by one write().
 *   %s string   %d long   %u unsigned long   %x unsigned long in hexadecimal, without 0x
 *   %e result of a system call: the number, or the error's name where it is -errno
 * Every number is passed as a long. Lines are cut at 255 bytes. */
void say(const char *format, ...);

/* The decimal number that text begins with; 0 where there is none. */
long parse(const char *text);

int equal(const char *a, const char *b);

#endif
