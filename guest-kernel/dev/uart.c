// SPDX-License-Identifier: GPL-2.0-only
/* The serial console: a 16550 at COM1, polled. */
#include "kernel.h"
#include "sched.h"

#define UART		0x3f8
#define UART_DATA	(UART + 0)
#define UART_IER	(UART + 1)
#define UART_FCR	(UART + 2)
#define UART_LCR	(UART + 3)
#define UART_LSR	(UART + 5)
#define LCR_8N1		0x03
#define LCR_DLAB	0x80
#define FCR_ENABLE	0x07	/* and clear both queues */
#define LSR_DATA	0x01
#define LSR_THR_EMPTY	0x20
#define LSR_IDLE	0x40

void uart_init(void)
{
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_DLAB);
	outb(UART_DATA, 1);	/* divisor 1: 115200 baud */
	outb(UART_IER, 0);
	outb(UART_LCR, LCR_8N1);
	outb(UART_FCR, FCR_ENABLE);
}

void uart_put(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		while (!(inb(UART_LSR) & LSR_THR_EMPTY))
			cpu_relax();
		outb(UART_DATA, bytes[i]);
	}
}

/* Wait until the last byte is on the wire. */
void uart_drain(void)
{
	while (!(inb(UART_LSR) & LSR_IDLE))
		cpu_relax();
}

/* The bytes that have arrived, up to `size`; 0: none. An END_OF_INPUT comes alone. */
long uart_read(char *to, u64 size)
{
	static char held;	/* an END_OF_INPUT that followed other bytes */
	u64 n = 0;

	if (held) {
		to[0] = held;
		held = 0;
		return 1;
	}
	while (n < size && (inb(UART_LSR) & LSR_DATA)) {
		char c = inb(UART_DATA);

		if (c == END_OF_INPUT && n) {
			held = c;
			return n;
		}
		to[n++] = c;
		if (c == END_OF_INPUT)
			return n;
	}
	return n;
}
