/* SPDX-License-Identifier: MIT */
/* Help - usage texts, made from the tables of verbs and options. */
#ifndef HELP_H
#define HELP_H

#include <stdio.h>

struct verb;

/* Both return CTL_OK. */
int help_all(FILE *out);
int help_verb(const struct verb *v);

#endif
