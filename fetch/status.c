/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

int fail_set(struct fail *f, enum fetch_status status, const char *fmt, ...)
{
	va_list ap;

	if (f->status != FETCH_OK)
		return -1;
	f->status = status;
	va_start(ap, fmt);
	if (vsnprintf(f->text, sizeof(f->text), fmt, ap) < 0)
		f->text[0] = '\0';
	va_end(ap);
	return -1;
}
