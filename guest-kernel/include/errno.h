/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux's error numbers. Those that assembly returns too are in layout.h. */
#ifndef ERRNO_H
#define ERRNO_H

#include "layout.h"

#define EPERM		1
#define EINTR		4
#define EBADF		9
#define ECHILD		10
#define EAGAIN		11
#define ENODEV		19
#define ETIMEDOUT	110

#endif
