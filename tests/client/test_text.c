/* SPDX-License-Identifier: MIT */
/* Text for terminals and for JSON, times, the line of progress, trees. */
#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/event_line.h"
#include "client/exit_code.h"
#include "client/progress.h"
#include "client/render.h"
#include "client/times.h"
#include "client/tree_order.h"
#include "kit.h"

static struct buf out;

static const char *human(const char *s, size_t n)
{
	out.len = 0;
	escape_human(&out, s, n);
	return buf_text(&out);
}

START_TEST(no_single_byte_reaches_the_terminal_but_printable_ascii)
{
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		const char *text = human(&byte, 1);

		ck_assert_uint_ge(strlen(text), 1);
		for (const char *p = text; *p; p++)
			ck_assert_msg(*p >= 0x20 && *p < 0x7f, "byte %02x came out as \"%s\"", c, text);
		if (c >= 0x20 && c < 0x7f && c != '\\')
			ck_assert_msg(text[0] == byte && !text[1], "byte %02x came out as \"%s\"", c, text);
		else
			ck_assert_int_eq(text[0], '\\');
	}
}
END_TEST

static void shows(const char *in, const char *expected)
{
	ck_assert_str_eq(human(in, strlen(in)), expected);
}

START_TEST(what_turns_or_hides_text_is_shown_as_a_number)
{
	shows("plain text, \xc3\xbc, \xe2\x82\xac, \xf0\x9f\x99\x82", "plain text, \xc3\xbc, \xe2\x82\xac, \xf0\x9f\x99\x82");
	shows("\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m");
	shows("a\nb\tc\rd\x7f", "a\\nb\\tc\\rd\\x7f");
	shows("\xc2\x9b" "31m", "\\u{9b}31m");
	shows("\xe2\x80\xae" "evil", "\\u{202e}evil");
	shows("\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf", "\\u{2066}\\u{200b}\\u{feff}");
	shows("back\\slash", "back\\\\slash");
}
END_TEST

START_TEST(what_is_not_utf8_is_shown_byte_by_byte)
{
	shows("\xff", "\\xff");
	shows("\xc3", "\\xc3");
	shows("\xc0\xaf", "\\xc0\\xaf");
	shows("\xed\xa0\x80", "\\xed\\xa0\\x80");
	shows("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	shows("a\xe2\x82z", "a\\xe2\\x82z");
}
END_TEST

START_TEST(the_first_bad_byte_is_found_wherever_it_stands)
{
	char text[64];

	for (size_t i = 0; i < sizeof(text); i++) {
		memset(text, 'x', sizeof(text));
		ck_assert_uint_eq(utf8_bad(text, sizeof(text)), sizeof(text));
		text[i] = (char)0xff;
		ck_assert_uint_eq(utf8_bad(text, sizeof(text)), i);
	}
	ck_assert_uint_eq(utf8_bad("abcdefg\xc3\xbc", 9), 9);
	ck_assert_uint_eq(utf8_bad("abcdefg\xc3\xbc", 8), 7);
}
END_TEST

START_TEST(text_that_comes_in_pieces_is_judged_as_a_whole)
{
	static const struct { const char *text; bool is_text; } of[] = {
		{ "a\u00e9\u20ac\U0001f600z", true }, { "", true }, { "a\xc3", false }, { "\xe2\x82", false }, { "\xe2\x28\xa1", false },
		{ "\xed\xa0\x80", false }, { "\xf0\x80\x80\x80", false }, { "\x80z", false }, { "\xc3\xc3\xa9", false },
	};

	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		for (size_t len = strlen(of[i].text), a = 0; a <= len; a++)
			for (size_t b = a; b <= len; b++) {
				struct utf8_stream u = { 0 };

				utf8_feed(&u, of[i].text, a);
				utf8_feed(&u, of[i].text + a, b - a);
				utf8_feed(&u, of[i].text + b, len - b);
				ck_assert_int_eq(utf8_is_text(&u), of[i].is_text);
			}
}
END_TEST

START_TEST(json_text_reads_back_as_it_was)
{
	for (int c = 1; c < 128; c++) {
		char in[4] = { 'a', (char)c, 'b', '\0' };
		json_t *back;

		out.len = 0;
		escape_json(&out, in, 3);
		back = json_loadb(out.p, out.len, JSON_DECODE_ANY, NULL);
		ck_assert_msg(back != NULL, "byte %02x made %.*s", c, (int)out.len, out.p);
		ck_assert_str_eq(json_string_value(back), in);
		json_decref(back);
	}
}
END_TEST

START_TEST(times_are_read_with_their_zone)
{
	struct timespec ts;

	ck_assert_int_eq(times_read("1970-01-01T00:00:01Z", &ts), 0);
	ck_assert_int_eq(ts.tv_sec, 1);
	ck_assert_int_eq(times_read("2026-01-31T12:30:00.25+01:30", &ts), 0);
	ck_assert_int_eq(ts.tv_sec, 1769857200);
	ck_assert_int_eq(ts.tv_nsec, 250000000);
	ck_assert_int_eq(times_read("2026-01-31", &ts), -1);
	ck_assert_int_eq(times_read("2026-01-31T12:30:00", &ts), -1);
	ck_assert_int_eq(times_read("2026-01-31T12:30:00Zx", &ts), -1);
	ck_assert_int_eq(times_read("", &ts), -1);
	ck_assert_double_eq_tol(times_between("2026-01-31T12:00:00Z", "2026-01-31T13:00:00.5+00:00"), 3600.5, 1e-9);
	ck_assert_double_eq(times_between(NULL, NULL), -1);
}
END_TEST

START_TEST(durations_are_short)
{
	static const struct { double s; const char *text; } cases[] = {
		{ 0, "0s" }, { 0.0123, "0.012s" }, { 0.9999, "1.0s" }, { 4.21, "4.2s" }, { 59.99, "0m59s" }, { 187, "3m07s" },
		{ 7500, "2h05m" }, { 273600, "3d04h" }, { -1, "-" },
	};
	char text[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_str_eq(times_show_seconds(cases[i].s, text, sizeof(text)), cases[i].text);
}
END_TEST

static const char *line_of(const struct progress *p, size_t width)
{
	out.len = 0;
	progress_line(p, width, &out);
	return buf_text(&out);
}

START_TEST(progress_tells_rate_and_eta_once_something_has_ended)
{
	json_t *counts = json_pack("{s:i, s:i, s:i}", "total", 40, "waiting", 36, "running", 4);
	struct progress p;

	progress_init(&p, 100);
	progress_counts(&p, counts, 100);
	ck_assert_str_eq(line_of(&p, 0), "0/40 done, 4 running, 0 failed");
	json_object_set_new(counts, "waiting", json_integer(16));
	json_object_set_new(counts, "failed", json_integer(1));
	progress_counts(&p, counts, 110);
	progress_newest(&p, "a/b\033");
	ck_assert_str_eq(line_of(&p, 0), "20/40 done, 4 running, 1 failed, 2.0/s, eta 10.0s, a/b\\x1b");
	ck_assert_str_eq(line_of(&p, 10), "20/40 done");
	progress_done(&p);
	json_decref(counts);
}
END_TEST

static void no_leaf(void *arg, size_t i, FILE *f)
{
	(void)arg;
	fprintf(f, " [%zu]", i);
}

START_TEST(a_tree_shows_gaps_and_closes_its_branches)
{
	const char *const paths[] = { "a", "a/c", "a/c/d", "a/~/x", "a-b", "z/y/x" };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	tree_draw(paths, 6, f, no_leaf, NULL);
	fclose(f);
	ck_assert_str_eq(text, "├─ a [0]\n"
			       "│  ├─ c [1]\n"
			       "│  │  └─ d [2]\n"
			       "│  └─ ~/\n"
			       "│     └─ x [3]\n"
			       "├─ a-b [4]\n"
			       "└─ z/\n"
			       "   └─ y/\n"
			       "      └─ x [5]\n");
	free(text);
}
END_TEST

START_TEST(tree_order_keeps_a_directory_together)
{
	ck_assert_int_lt(tree_order_cmp("a", "a/c"), 0);
	ck_assert_int_lt(tree_order_cmp("a/c", "a-b"), 0);
	ck_assert_int_lt(tree_order_cmp("a/z/z", "a.b"), 0);
	ck_assert_int_lt(tree_order_cmp("a", "\xc3\xbc"), 0);
	ck_assert_int_eq(tree_order_cmp("a/b", "a/b"), 0);
}
END_TEST

static int exit_of(const char *json, int otherwise)
{
	json_t *row = json_loads(json, 0, NULL);
	int rc = exit_code_of(row, otherwise);

	json_decref(row);
	return rc;
}

START_TEST(a_jobs_end_becomes_an_exit_status)
{
	ck_assert_int_eq(exit_of("{\"exit_code\":3,\"signal\":null}", 1), 3);
	ck_assert_int_eq(exit_of("{\"exit_code\":null,\"signal\":15}", 1), 143);
	ck_assert_int_eq(exit_of("{\"exit_code\":null,\"signal\":null,\"reason\":\"spawn\"}", 1), 127);
	ck_assert_int_eq(exit_of("{\"reason\":\"upstream: a\"}", 1), 1);
	ck_assert_int_eq(exit_of("{\"reason\":\"timeout\",\"exit_code\":0}", 1), 1);
	ck_assert_int_eq(exit_of("{\"reason\":\"exit\",\"exit_code\":0}", 0), 0);
}
END_TEST

static const char *end_of(const char *json)
{
	static char text[512];
	json_t *row = json_loads(json, 0, NULL);

	render_end(row, text, sizeof(text));
	json_decref(row);
	return text;
}

START_TEST(an_end_is_told_in_words)
{
	ck_assert_str_eq(end_of("{\"reason\":\"exit\",\"exit_code\":2}"), "exit 2");
	ck_assert_str_eq(end_of("{\"reason\":\"signal\",\"signal\":9}"), "signal 9 (KILL)");
	ck_assert_str_eq(end_of("{\"reason\":\"timeout\",\"signal\":15}"), "timeout");
	ck_assert_str_eq(end_of("{\"reason\":\"upstream: a/b\"}"), "upstream: a/b");
	ck_assert_str_eq(end_of("{}"), "");
}
END_TEST

START_TEST(an_event_is_one_line_whatever_the_path_holds)
{
	json_t *event = json_pack("{s:i, s:s, s:i, s:s, s:s, s:i, s:s, s:s, s:i}", "seq", 1, "at", "nonsense", "run", 7, "path", "a\nb",
				  "kind", "ended", "attempt", 2, "state", "failed", "reason", "exit", "exit_code", 3);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	event_line(f, event, EVENT_OF_ANY_RUN);
	fclose(f);
	ck_assert_str_eq(text, "nonsense 7 ended a\\nb (attempt 2): failed, exit 3\n");
	free(text);
	json_decref(event);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		no_single_byte_reaches_the_terminal_but_printable_ascii, what_turns_or_hides_text_is_shown_as_a_number,
		what_is_not_utf8_is_shown_byte_by_byte, the_first_bad_byte_is_found_wherever_it_stands,
		text_that_comes_in_pieces_is_judged_as_a_whole, json_text_reads_back_as_it_was,
		times_are_read_with_their_zone, durations_are_short, progress_tells_rate_and_eta_once_something_has_ended,
		a_tree_shows_gaps_and_closes_its_branches, tree_order_keeps_a_directory_together, a_jobs_end_becomes_an_exit_status,
		an_end_is_told_in_words, an_event_is_one_line_whatever_the_path_holds, NULL
	};
	int rc = kit_run("text", tests);

	buf_done(&out);
	return rc;
}
