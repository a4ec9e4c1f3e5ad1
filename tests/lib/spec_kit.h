/* SPDX-License-Identifier: MIT */
/* What the tests of specifications share: a run and a job, read from texts. Each test begins with the run that has no options. */
#ifndef SPEC_KIT_H
#define SPEC_KIT_H

#include <check.h>
#include <jansson.h>

#include "proto/arena.h"
#include "proto/spec.h"

extern struct arena arena;
extern struct spec_run run;             /* as it was read last */
extern struct spec_job job;
extern struct spec_error err;

json_t *parse(const char *text);
int read_job(const char *text);         /* 0, or -1 with err */
void given_run(const char *text);       /* asserts that it is good; NULL: no options */
void given_job(const char *text);
void with(const char *members);         /* the job "a" with a command and these members is good */

/* Asserts that it is refused, for this field and in these words. refused_with: the same of the job "a", which the words begin with. */
void refused_run(const char *text, const char *field, const char *words);
void refused_job(const char *text, const char *field, const char *words);
void refused_with(const char *members, const char *field, const char *words);

char *big_job(const char *field_head, size_t n, const char *tail);      /* with n bytes in between; the caller frees */

#define URL "\"url\":\"https://user:secret@example.org/o?sig=secret\""
#define GOOD URL ",\"output\":\"o\""
const char *fetch_with(const char *members);    /* the job "a", a fetch; static */

int spec_suite(const char *name, const TTest *const *tests, size_t n);  /* an exit status */

#endif
