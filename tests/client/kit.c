/* SPDX-License-Identifier: MIT */
#include "kit.h"

int kit_run(const char *suite, const TTest *const *tests)
{
	Suite *s = suite_create(suite);
	TCase *t = tcase_create(suite);
	SRunner *r;
	int failed;

	for (; *tests; tests++)
		tcase_add_test(t, *tests);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
