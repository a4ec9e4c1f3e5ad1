/* SPDX-License-Identifier: MIT */
#include "spec_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../play.h"

struct arena arena;
struct spec_run run;
struct spec_job job;
struct spec_error err;

json_t *parse(const char *text)
{
	json_error_t jerr;
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &jerr);

	ck_assert_msg(v != NULL, "%s: %s", text, jerr.text);
	return v;
}

static int read_run(const char *text)
{
	json_t *obj = text ? parse(text) : NULL;
	int rc = spec_run_read(obj, &arena, &run, &err);

	json_decref(obj);
	return rc;
}

int read_job(const char *text)
{
	json_t *obj = parse(text);
	int rc = spec_job_read(obj, &run, &arena, &job, &err);

	json_decref(obj);
	return rc;
}

void given_run(const char *text)
{
	ck_assert_msg(read_run(text) == 0, "%s", err.text);
}

void given_job(const char *text)
{
	ck_assert_msg(read_job(text) == 0, "%s: %s", text, err.text);
}

void refused_job(const char *text, const char *field, const char *words)
{
	memset(&err, 0, sizeof(err));
	ck_assert_msg(read_job(text) == -1, "%s was taken", text);
	ck_assert_str_eq(err.text, words);
	ck_assert_str_eq(err.field, field);
	ck_assert_int_ne(err.code, JT_OK);
}

/* The job "a" with a command and these members. */
void with(const char *members)
{
	char text[1024];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"shell\":\"true\",%s}", members), (int)sizeof(text));
	given_job(text);
}

void refused_with(const char *members, const char *field, const char *words)
{
	char text[1024], due[1024];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"shell\":\"true\",%s}", members), (int)sizeof(text));
	ck_assert_int_lt(snprintf(due, sizeof(due), "job \"a\": %s", words), (int)sizeof(due));
	refused_job(text, field, due);
}

void refused_run(const char *text, const char *field, const char *words)
{
	memset(&err, 0, sizeof(err));
	ck_assert_msg(read_run(text) == -1, "%s was taken", text);
	ck_assert_str_eq(err.text, words);
	ck_assert_str_eq(err.field, field);
}

char *big_job(const char *field_head, size_t n, const char *tail)
{
	char *text = malloc(strlen(field_head) + n + strlen(tail) + 1), *to = stpcpy(text, field_head);

	memset(to, 'x', n);
	memcpy(to + n, tail, strlen(tail) + 1);
	return text;
}

const char *fetch_with(const char *members)
{
	static char text[2048];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"fetch\":{%s}}", members), (int)sizeof(text));
	return text;
}

static void setup(void)
{
	arena_init(&arena);
	given_run(NULL);
}

static void teardown(void)
{
	arena_done(&arena);
}

int spec_suite(const char *name, const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
