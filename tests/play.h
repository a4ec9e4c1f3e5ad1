/* SPDX-License-Identifier: MIT */
/* Play - what every main() of a test program in C ends with. */
#ifndef PLAY_H
#define PLAY_H

#include <check.h>

/* play_suite - runs and frees it; CK_VERBOSITY says how much it tells. The exit status: 1 if some test failed. */
static inline int play_suite(Suite *suite)
{
	SRunner *r = srunner_create(suite);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#endif
