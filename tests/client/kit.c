/* SPDX-License-Identifier: MIT */
#include "kit.h"
#include "../play.h"

int kit_run(const char *suite, const TTest *const *tests)
{
	Suite *s = suite_create(suite);
	TCase *t = tcase_create(suite);

	for (; *tests; tests++)
		tcase_add_test(t, *tests);
	suite_add_tcase(s, t);
	return play_suite(s);
}
