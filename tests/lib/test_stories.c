/* SPDX-License-Identifier: MIT */
/* Plays the stories of the scheduler: what doc/semantics.md promises, a claim a test. */
#include "story_kit.h"
#include "../play.h"

int main(void)
{
	Suite *suite = suite_create("stories");
	suite_add_tcase(suite, stories_of_starting());
	suite_add_tcase(suite, stories_of_ending());
	suite_add_tcase(suite, stories_of_pacing());
	suite_add_tcase(suite, stories_of_holding());
	suite_add_tcase(suite, stories_of_stopping());
	suite_add_tcase(suite, stories_of_after());
	suite_add_tcase(suite, stories_of_streams());
	suite_add_tcase(suite, stories_of_renewal());
	suite_add_tcase(suite, stories_of_retry());
	suite_add_tcase(suite, stories_of_restarts());
	suite_add_tcase(suite, stories_of_looking());
	return play_suite(suite);
}
