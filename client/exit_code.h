/* SPDX-License-Identifier: MIT */
/* Exit code - the exit status of a job as the exit status of jobctl. */
#ifndef EXIT_CODE_H
#define EXIT_CODE_H

#include <jansson.h>

/* exit_code_of - result: a Result or JobRow. Its exit code, 128+N for signal N, 127 where it could not be spawned, else otherwise; never 0 where
 * otherwise says that it failed. */
int exit_code_of(const json_t *result, int otherwise);

#endif
