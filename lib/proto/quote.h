/* SPDX-License-Identifier: MIT */
/* Quote - text from outside, made fit for a message to a person: one line, short, valid UTF-8 where it was. */
#ifndef QUOTE_H
#define QUOTE_H

#include <stddef.h>

/* quote_short - s into buf: control characters become '?', what does not fit is cut out of the middle (`abc...xyz`). Returns buf. */
char *quote_short(char *buf, size_t size, const char *s, size_t len);

#endif
