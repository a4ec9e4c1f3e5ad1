/* SPDX-License-Identifier: MIT */
/*
 * The closed form of "What the scheduler does" 2 and 6, evaluated from strings, naively, in cubic time. Shares no code with the library.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdbool.h>

#define ORACLE_MAX 256

enum oracle_outcome { O_OK, O_WARN, O_SKIP, O_FAIL, O_CANCELLED };   /* the last: before it began */
enum oracle_when { O_ON_SUCCESS, O_ON_FAILURE, O_ON_FINISHED };
struct oracle_job {
	char path[64];
	char after[64];                 /* "" : none */
	enum oracle_when when;
	enum oracle_outcome outcome;    /* if it runs */
};
struct oracle {
	struct oracle_job job[ORACLE_MAX];
	int n;
	bool runs[ORACLE_MAX], goes_on[ORACLE_MAX];
};

bool oracle_needs(const struct oracle *o, int j, int k);     /* whether j waits for k */
bool oracle_has_cycle(const struct oracle *o);
void oracle_judge(struct oracle *o);                         /* fills runs and goes_on; no cycle */

#endif
