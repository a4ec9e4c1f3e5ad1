/* SPDX-License-Identifier: MIT */
/* What files of jobs mean: YAML without its surprises, JSON with places, lines, and which of them a text is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/document.h"
#include "client/escape.h"
#include "client/source.h"
#include "kit.h"

static struct fault f;

/* ---- YAML ----------------------------------------------------------------------------------------------------------- */

static void reads(int (*read)(const char *, const char *, size_t, json_t **, struct places *, struct fault *), const char *text,
		  const char *expected)
{
	struct places places = { 0 };
	json_t *got = NULL;
	char *json;

	ck_assert_msg(read("f", text, strlen(text), &got, &places, &f) == 0, "%s", f.text);
	json = json_dumps(got, JSON_COMPACT);
	ck_assert_str_eq(json, expected);
	free(json);
	json_decref(got);
	places_done(&places);
}

static void refuses(int (*read)(const char *, const char *, size_t, json_t **, struct places *, struct fault *), const char *text,
		    const char *expected)
{
	struct places places = { 0 };
	json_t *got = NULL;

	ck_assert_int_eq(read("f", text, strlen(text), &got, &places, &f), -1);
	ck_assert_msg(strncmp(f.text, expected, strlen(expected)) == 0, "got: %s\nexpected: %s", f.text, expected);
	places_done(&places);
}

START_TEST(scalars_are_text_where_text_is_due)
{
	reads(spec_yaml_read, "jobs:\n  no: {argv: [no, 0777, 1:30, 1e3, null, ~, yes, 0x1f, 2001-01-01, .inf]}\n",
	      "{\"jobs\":{\"no\":{\"argv\":[\"no\",\"0777\",\"1:30\",\"1e3\",\"null\",\"~\",\"yes\",\"0x1f\",\"2001-01-01\",\".inf\"]}}}");
	reads(spec_yaml_read, "name: 42\njobs: {a: {env: {N: 7, E: }, umask: 0027, labels: {x: 1.0}, stdin: {text: 5}}}",
	      "{\"name\":\"42\",\"jobs\":{\"a\":{\"env\":{\"N\":\"7\",\"E\":\"\"},\"umask\":\"0027\",\"labels\":{\"x\":\"1.0\"},"
	      "\"stdin\":{\"text\":\"5\"}}}}");
}
END_TEST

START_TEST(scalars_are_numbers_where_numbers_are_due)
{
	reads(spec_yaml_read, "workers: 4\ndeadline-s: 1.5\ndefaults: {timeout_s: 60}\njobs:\n- {path: a, nice: -5, success_exit: [0, 3], "
	      "retry: {max: 2, on: [exit], on_exit: [1]}}",
	      "{\"workers\":4,\"deadline-s\":1.5,\"defaults\":{\"timeout_s\":60},\"jobs\":[{\"path\":\"a\",\"nice\":-5,"
	      "\"success_exit\":[0,3],\"retry\":{\"max\":2,\"on\":[\"exit\"],\"on_exit\":[1]}}]}");
}
END_TEST

START_TEST(a_fetch_has_numbers_sizes_and_flags)
{
	reads(spec_yaml_read, "defaults: {fetch: {streams: 8}}\njobs:\n  true:\n    fetch: {url: 1, output: true, range: 0-9, streams: 4, min-part: 8M, at: 0, "
	      "durable: true, http2: false, mtime: yes, stall_timeout_s: 0.5, checksum: [7]}",
	      "{\"defaults\":{\"fetch\":{\"streams\":8}},\"jobs\":{\"true\":{\"fetch\":{\"url\":\"1\",\"output\":\"true\",\"range\":\"0-9\",\"streams\":4,"
	      "\"min-part\":\"8M\",\"at\":0,\"durable\":true,\"http2\":false,\"mtime\":\"yes\",\"stall_timeout_s\":0.5,\"checksum\":[\"7\"]}}}}");
}
END_TEST

START_TEST(what_is_no_number_stays_text_for_the_check_to_refuse)
{
	reads(spec_yaml_read, "workers: 0777", "{\"workers\":\"0777\"}");
	reads(spec_yaml_read, "workers: \"4\"", "{\"workers\":\"4\"}");
	reads(spec_yaml_read, "workers: 1:30", "{\"workers\":\"1:30\"}");
	reads(spec_yaml_read, "workers: [1, true]", "{\"workers\":[1,\"true\"]}");
	reads(spec_yaml_read, "workers:", "{\"workers\":null}");
}
END_TEST

START_TEST(block_and_quoted_text_is_kept)
{
	reads(spec_yaml_read, "jobs:\n  a: |\n    one\n    two\n  b: 'it''s'\n  c: \"tab\\t\"\n  ~/end: >-\n    x\n    y\n",
	      "{\"jobs\":{\"a\":\"one\\ntwo\\n\",\"b\":\"it's\",\"c\":\"tab\\t\",\"~/end\":\"x y\"}}");
}
END_TEST

START_TEST(yaml_mistakes_have_a_line_and_a_column)
{
	refuses(spec_yaml_read, "jobs:\n  a: x\n  a: y\n", "f:3:3: \"a\" stands twice");
	refuses(spec_yaml_read, "name: x\nname: y\n", "f:2:1: \"name\" stands twice");
	refuses(spec_yaml_read, "jobs:\n  a: &x y\n", "f:2:6: anchors (&x) are not taken");
	refuses(spec_yaml_read, "jobs: &x\n  a: y\n", "f:1:7: anchors (&x) are not taken");
	refuses(spec_yaml_read, "jobs:\n  a: *x\n", "f:2:6: aliases (*x) are not taken");
	refuses(spec_yaml_read, "jobs:\n  *x : y\n", "f:2:3: aliases (*x) are not taken");
	refuses(spec_yaml_read, "jobs:\n  a: !!str y\n", "f:2:6: tags (");
	refuses(spec_yaml_read, "jobs: !x {a: y}\n", "f:1:7: tags (!x)");
	refuses(spec_yaml_read, "---\njobs: {a: y}\n---\njobs: {b: x}\n", "f:3:1: a second document begins here");
	refuses(spec_yaml_read, "jobs:\n\ta: y\n", "f:2:1: a tab cannot indent in YAML; use blanks");
	refuses(spec_yaml_read, "jobs:\n  a: [x\n  b: y\n", "f:3:");
	refuses(spec_yaml_read, "? [a]\n: y\n", "f:1:3: a key must be text");
	refuses(spec_yaml_read, "- a\n", "f:1:1: expected a mapping");
	refuses(spec_yaml_read, "", "f: there is nothing in it");
	refuses(spec_yaml_read, "jobs: {a: \"x\\0y\"}\n", "f:1:11: text cannot hold a NUL");
	refuses(spec_yaml_read, "jobs:\n  a: b\n  b: \xff\n", "f:3:6: invalid leading UTF-8 octet");
}
END_TEST

START_TEST(deep_nesting_is_refused_before_the_stack_is)
{
	char text[20003];

	memset(text, '[', 20000);
	memcpy(text + 20000, "\n", 2);
	refuses(spec_yaml_read, text, "f:1:");
	refuses(spec_json_read, text, "f:1:");
}
END_TEST

/* ---- JSON ------------------------------------------------------------------------------------------------------------ */

START_TEST(json_mistakes_have_a_line_and_a_column)
{
	refuses(spec_json_read, "{\"jobs\":\n {\"a\" 1}}", "f:2:");
	refuses(spec_json_read, "{\"jobs\":{\"a\":\"x\",\"a\":\"y\"}}", "f:1:");
	refuses(spec_json_read, "[]", "f:1:1: expected an object");
}
END_TEST

static struct place find(const char *text, const char *a, const char *b, const char *field)
{
	struct places places = { 0 };
	struct place at;
	json_t *top = NULL;

	ck_assert_int_eq(spec_json_read("f", text, strlen(text), &top, &places, &f), 0);
	at = places_of_field(&places, (const char *[]){ a, b }, 2, field);
	json_decref(top);
	places_done(&places);
	return at;
}

START_TEST(the_place_of_a_field_is_found_as_deep_as_it_is_there)
{
	const char *text = "{ \"jobs\": {\n  \"a\": \"}\\\"{\",\n  \"\xc3\xbc/b\": { \"argv\": [\"x\",\n \"y\"], \"retry\":{\"max\": 1} } } }";
	struct place at = find(text, "jobs", "\xc3\xbc/b", "retry.max");

	ck_assert_uint_eq(at.line, 4);
	ck_assert_uint_eq(at.col, 17);
	at = find(text, "jobs", "\xc3\xbc/b", "argv[1]");
	ck_assert_uint_eq(at.line, 4);
	ck_assert_uint_eq(at.col, 2);
	at = find(text, "jobs", "\xc3\xbc/b", "retry.min_s");
	ck_assert_uint_eq(at.line, 4);
	ck_assert_uint_eq(at.col, 8);
	at = find(text, "jobs", "a", "");
	ck_assert_uint_eq(at.line, 2);
	ck_assert_uint_eq(at.col, 3);
}
END_TEST

/* ---- documents -------------------------------------------------------------------------------------------------------- */

static void finishes(const char *yaml, const char *run, const char *jobs)
{
	struct places places = { 0 };
	struct document d;
	json_t *top = NULL;
	char *text;

	ck_assert_msg(spec_yaml_read("f", yaml, strlen(yaml), &top, &places, &f) == 0, "%s", f.text);
	ck_assert_msg(document_finish("f", top, &places, &d, &f) == 0, "%s", f.text);
	text = json_dumps(d.run, JSON_COMPACT);
	ck_assert_str_eq(text, run);
	free(text);
	text = json_dumps(d.jobs, JSON_COMPACT);
	ck_assert_str_eq(text, jobs);
	free(text);
	document_done(&d);
}

static void does_not_finish(const char *yaml, const char *expected)
{
	struct places places = { 0 };
	struct document d;
	json_t *top = NULL;

	ck_assert_msg(spec_yaml_read("f", yaml, strlen(yaml), &top, &places, &f) == 0, "%s", f.text);
	ck_assert_int_eq(document_finish("f", top, &places, &d, &f), -1);
	ck_assert_str_eq(f.text, expected);
}

START_TEST(jobs_are_a_mapping_or_a_list)
{
	finishes("name: n\njobs: {a: x, b/c: {argv: [y]}}", "{\"name\":\"n\"}",
		 "[{\"shell\":\"x\",\"path\":\"a\"},{\"argv\":[\"y\"],\"path\":\"b/c\"}]");
	finishes("jobs:\n- {path: a, shell: x}", "{}", "[{\"path\":\"a\",\"shell\":\"x\"}]");
	does_not_finish("name: x", "f: there are no jobs: expected \"jobs:\" with a command for each path");
	does_not_finish("name: x\njobs: y", "f:2:1: jobs must be a mapping of paths to commands, or a list of jobs");
	does_not_finish("jobs:\n- x", "f:2:3: job \"0\": expected a mapping of fields with a path");
	does_not_finish("jobs:\n  a: [x]", "f:2:3: job \"a\": expected a command or a mapping of fields");
	does_not_finish("jobs:\n  a: {path: b}", "f:2:7: job \"a\": path stands twice: as the key and as a field");
}
END_TEST

START_TEST(env_inherit_is_resolved_here)
{
	setenv("JOBCTL_TEST_A", "from outside", 1);
	unsetenv("JOBCTL_TEST_B");
	finishes("defaults: {env_inherit: [JOBCTL_TEST_A]}\njobs: {a: {shell: x, env: {JOBCTL_TEST_A: own}, "
		 "env-inherit: [JOBCTL_TEST_A, JOBCTL_TEST_B]}}",
		 "{\"defaults\":{\"env\":{\"JOBCTL_TEST_A\":\"from outside\"}}}",
		 "[{\"shell\":\"x\",\"env\":{\"JOBCTL_TEST_A\":\"own\"},\"path\":\"a\"}]");
	setenv("JOBCTL_TEST_A", "\xff", 1);
	does_not_finish("jobs:\n  a: {shell: x, env_inherit: [JOBCTL_TEST_A]}",
			"f:2:3: env_inherit: the value of JOBCTL_TEST_A is not UTF-8; pass it in another way");
	unsetenv("JOBCTL_TEST_A");
}
END_TEST

/* ---- lines ------------------------------------------------------------------------------------------------------------ */

static void line(const char *text, const char *expected)
{
	struct buf out = { 0 };

	ck_assert_msg(lines_job("f", 7, text, strlen(text), &out, &f) == 1, "%s", f.text);
	ck_assert_str_eq(buf_text(&out), expected);
	buf_done(&out);
}

static void no_line(const char *text, size_t len, int rc, const char *expected)
{
	struct buf out = { 0 };

	f.text[0] = '\0';
	ck_assert_int_eq(lines_job("f", 7, text, len, &out, &f), rc);
	ck_assert_msg(strncmp(f.text, expected, strlen(expected)) == 0, "got: %s\nexpected: %s", f.text, expected);
	buf_done(&out);
}

START_TEST(a_line_is_a_path_and_a_command)
{
	line("a: true", "{\"path\":\"a\",\"shell\":\"true\"}");
	line("  a/b:\techo \"x: y\" # not a comment\r", "{\"path\":\"a/b\",\"shell\":\"echo \\\"x: y\\\" # not a comment\"}");
	line("host:8080/x: curl a:b", "{\"path\":\"host:8080/x\",\"shell\":\"curl a:b\"}");
	line("a : x", "{\"path\":\"a\",\"shell\":\"x\"}");
	line("\xc3\xbc: \xe2\x82\xac", "{\"path\":\"\xc3\xbc\",\"shell\":\"\xe2\x82\xac\"}");
	line("~/end: x\ty", "{\"path\":\"~/end\",\"shell\":\"x\\ty\"}");
}
END_TEST

START_TEST(a_line_can_name_what_it_waits_for)
{
	line("b < a: x", "{\"path\":\"b\",\"after\":[\"a\"],\"shell\":\"x\"}");
	line("b  <  a   c/d/ : x", "{\"path\":\"b\",\"after\":[\"a\",\"c/d/\"],\"shell\":\"x\"}");
}
END_TEST

START_TEST(comments_and_blank_lines_are_no_jobs)
{
	no_line("", 0, 0, "");
	no_line(" \t\r", 3, 0, "");
	no_line("# a: b", 6, 0, "");
	no_line("   # a: b", 9, 0, "");
}
END_TEST

START_TEST(mistakes_in_lines_have_a_column)
{
	no_line("nothing", 7, -1, "f:7:1: expected `path: command`: there is no colon");
	no_line("a:x", 3, -1, "f:7:1: expected `path: command`: there is no colon");
	no_line("a:", 2, -1, "f:7:2: the command is missing");
	no_line("a:   ", 5, -1, "f:7:2: the command is missing");
	no_line(": x", 3, -1, "f:7:1: the path is missing");
	no_line("a b: x", 6, -1, "f:7:3: expected `path: command` or `path < dep dep: command`; names with blanks need NDJSON");
	no_line("\xc3\xbc b: x", 7, -1, "f:7:3: expected");
	no_line("a <b: x", 7, -1, "f:7:3: expected");
	no_line("a < : x", 7, -1, "f:7:5: a path that it waits for is missing");
	no_line("a: \xff", 4, -1, "f:7:4: text is not UTF-8");
	no_line("a: x\0y", 6, -1, "f:7:5: a NUL character");
}
END_TEST

START_TEST(a_text_tells_what_it_is)
{
	static const struct { const char *file, *text; enum format format; } cases[] = {
		{ "-", "a: true\n", FORMAT_LINES }, { "-", "# x\na < b: c\n", FORMAT_LINES }, { "-", "", FORMAT_LINES },
		{ "-", "\n {\"path\":\"a\"}\n", FORMAT_NDJSON }, { "-", "{\"name\":\"a\"}\n{", FORMAT_NDJSON },
		{ "-", "{\"jobs\":{}}", FORMAT_JSON }, { "-", "{\n\"jobs\":{}}", FORMAT_JSON }, { "-", "{}\n", FORMAT_NDJSON },
		{ "-", "---\nname: x\n", FORMAT_YAML }, { "-", "name: x\njobs:\n  a: y\n", FORMAT_YAML },
		{ "-", "jobs: # all\n", FORMAT_YAML }, { "-", "jobs: {a: b}\n", FORMAT_YAML }, { "-", "jobs: list them\n", FORMAT_LINES },
		{ "x.yml", "{}", FORMAT_YAML }, { "x.json", "a: b", FORMAT_JSON }, { "x.jsonl", "", FORMAT_NDJSON },
		{ "dir.d/x", "a: b", FORMAT_LINES },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(format_guess(cases[i].file, cases[i].text, strlen(cases[i].text), true) == cases[i].format, "%s: %s",
			      cases[i].file, cases[i].text);
}
END_TEST

START_TEST(a_text_that_has_only_begun_tells_it_as_soon_as_it_can)
{
	static const struct { const char *text; enum format format; } cases[] = {
		{ "", FORMAT_GUESS }, { "a: tr", FORMAT_GUESS }, { "a: true\n", FORMAT_LINES }, { "# x\na: true\nb", FORMAT_LINES },
		{ "# x\n", FORMAT_GUESS }, { "name: x\n", FORMAT_GUESS }, { "defaults:\n  nice: 1\n\nworkers: 3\n", FORMAT_GUESS },
		{ "name: x\njobs:", FORMAT_GUESS }, { "name: x\njobs:\n", FORMAT_YAML }, { "name: x\nb: y\n", FORMAT_LINES },
		{ "names: x\n", FORMAT_LINES }, { "--", FORMAT_GUESS }, { "---\n", FORMAT_YAML }, { "{\"path\":", FORMAT_GUESS },
		{ "{\"path\":\"a\"}\n", FORMAT_NDJSON }, { "{\n", FORMAT_JSON },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(format_guess("-", cases[i].text, strlen(cases[i].text), false) == cases[i].format, "%s", cases[i].text);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		scalars_are_text_where_text_is_due, scalars_are_numbers_where_numbers_are_due,
		a_fetch_has_numbers_sizes_and_flags,
		what_is_no_number_stays_text_for_the_check_to_refuse, block_and_quoted_text_is_kept, yaml_mistakes_have_a_line_and_a_column,
		deep_nesting_is_refused_before_the_stack_is, json_mistakes_have_a_line_and_a_column,
		the_place_of_a_field_is_found_as_deep_as_it_is_there, jobs_are_a_mapping_or_a_list, env_inherit_is_resolved_here,
		a_line_is_a_path_and_a_command, a_line_can_name_what_it_waits_for, comments_and_blank_lines_are_no_jobs,
		mistakes_in_lines_have_a_column, a_text_tells_what_it_is,
		a_text_that_has_only_begun_tells_it_as_soon_as_it_can, NULL
	};

	return kit_run("spec", tests);
}
