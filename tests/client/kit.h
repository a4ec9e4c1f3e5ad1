/* SPDX-License-Identifier: MIT */
/* What the unit tests of the client share: running a suite, and saying in one line what a text should become. */
#ifndef CLIENT_KIT_H
#define CLIENT_KIT_H

#include <check.h>

/* kit_run - tests: NULL-terminated. The exit status of the program. */
int kit_run(const char *suite, const TTest *const *tests);

#endif
