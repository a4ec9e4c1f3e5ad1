/* SPDX-License-Identifier: MIT */
/*
 * JSON as the protocol takes it: the classes of documents on which parsers differ, each with what has to become of it. What is accepted is
 * the same after it has been written and read again.
 *
 *   YES  every parser takes it      NO  no parser may      OURS  parsers may choose; we refuse it (or, where said, take it)
 *
 * A case is a value; it is tried as a member, as an element, and with blanks around it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/varlink.h"
#include "../play.h"

struct text { const char *s; size_t n; };
#define T(s) { s, sizeof(s) - 1 }

static const struct text yes[] = {
	T("null"), T("true"), T("false"), T("[]"), T("{}"), T("\"\""), T("0"), T("-0"), T("1"), T("-1"), T("10"), T("123456789"), T("1.0"), T("0.5"),
	T("-0.5"), T("0e1"), T("0e+1"), T("0E-1"), T("1e5"), T("1E5"), T("1e+5"), T("1e-5"), T("1.5e10"), T("123.456e-78"), T("1e-400"),
	T("-0.000000000000000000000000000000000000000000000000000000000000000001"), T("9007199254740993"), T("9223372036854775807"),
	T("-9223372036854775808"), T("1.7976931348623157e308"), T("20e1"), T("-237462374673276894279832749832423479823246327846.5"),
	T("[1]"), T("[1,2]"), T("[null,1,\"1\",{}]"), T("[[]]"), T("[ ]"), T("[\n]"), T("[1 , 2]"), T("[1,\n2]"), T("[\t1\r]"), T("[\"\"]"),
	T("{\"a\":1}"), T("{\"a\":1,\"b\":2}"), T("{\"\":0}"), T("{\"a\":{\"a\":{\"a\":1}}}"), T("{ \"a\" : 1 }"), T("{\"a\":[]}"), T("{\n\"a\"\n:\n1\n}"),
	T("{\"a b\":1}"), T("{\"\\u0061\":1,\"b\":2}"), T("{\"\\\"\":1}"), T("{\"A\":1,\"a\":2}"),
	T("\"a\""), T("\"a/b\""), T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), T("\"\\u0060\""), T("\"\\u012a\""), T("\"\\u00e9\""), T("\"\\uFFFF\""),
	T("\"\\ud801\\udc37\""), T("\"\\uD83d\\uDe00\\ud83d\\ude00\""), T("\"\\u0001\""), T("\"\\u001f\\u007f\\u0080\""), T("\"\\u2028\\u2029\""),
	T("\"\\ufeff\\ufdd0\\ufffe\""), T("\"\\\\u0000\""), T("\"\\\\a\""), T("\"new\\u000aline\""), T("\"a\x7f\""), T("\" \""), T("\"{[,]}:\""),
	T("\"\xc3\xa9\""), T("\"\xe2\x82\xac\""), T("\"\xf0\x9d\x84\x9e\""), T("\"\xef\xbb\xbf\""), T("\"\xef\xbf\xbf\""), T("\"\xf4\x8f\xbf\xbf\""),
	T("\"\xe2\x80\xa8\""), T("\"\xc2\x80\""), T("\"\xed\x9f\xbf\""), T("\"\xee\x80\x80\""),
};

static const struct text no[] = {
	/* words */
	T(""), T("nul"), T("nulll"), T("Null"), T("NULL"), T("tru"), T("True"), T("fals"), T("truth"), T("undefined"), T("NaN"), T("-NaN"), T("Infinity"),
	T("-Infinity"), T("Inf"), T("a"), T("'a'"), T("*"), T("<null>"), T("$"), T("@"), T("/"), T("/* */"), T("// "), T("1//"), T("#"), T("\\u0031"), T("\xe2\x81\xa0"),
	/* numbers */
	T("+1"), T("++1"), T("-"), T("--1"), T("- 1"), T("-a"), T("-01"), T("01"), T("012"), T("00"), T("-00"), T("0x1"), T("0x"), T("1."), T("-1."), T("0.e1"),
	T(".5"), T("-.5"), T("1.e1"), T("1e"), T("1e+"), T("1e-"), T("1ee2"), T("1e1.5"), T("0e"), T("0e+"), T("1.2.3"), T("1 000"), T("1_000"), T("1a"),
	T("1e1e"), T("2.e+3"), T("1/2"), T("1+2"), T("0.1.2"), T("\xef\xbc\x91"), T("1e\xe5"), T("-\xe9"), T("1L"), T("0b1"), T("0o7"), T("9.e+"), T("1eE2"),
	/* lists */
	T("["), T("]"), T("[1"), T("1]"), T("[1,]"), T("[,1]"), T("[,]"), T("[,"), T("[1,,2]"), T("[1 2]"), T("[1;2]"), T("[1:2]"), T("[1}"), T("[]]"), T("[[]"),
	T("[\"a\""), T("[\"a\":1]"), T("[a"), T("[1,2"), T("[1,\n"), T("[\"\",]"), T("[\v1]"), T("[\f1]"), T("[(1)]"), T("[*]"), T("[1]x"), T("[][]"), T("[\"x\"]]"),
	/* objects */
	T("{"), T("}"), T("{,}"), T("{\"a\"}"), T("{\"a\":}"), T("{\"a\":1"), T("{\"a\":1,}"), T("{\"a\":1,,\"b\":2}"), T("{a:1}"), T("{'a':1}"), T("{1:1}"),
	T("{null:1}"), T("{\"a\" 1}"), T("{\"a\",1}"), T("{\"a\"::1}"), T("{\"a\":1 \"b\":2}"), T("{\"a\":1}}"), T("{[]:1}"), T("{\"a\":1}#"), T("{\"a\":1}//"),
	T("{\"a\":\"b\"]"), T("{\"a\":1/**/}"), T("{\"a\":/**/1}"), T("{\"a"), T("{\"a\":"), T("{\"a\":\"b"), T("{:1}"), T("{\"a\":1;}"), T("{{}}"), T("{\"a\":1,\"b\"}"),
	T("{\"x\":1,*}"), T("{9999E9:1}"), T("{\"a\":b}"), T("{\xf0\x9f\x87\xa8}"), T("{\"a\":1,\"a\":1}"), T("{\"a\":1,\"a\":2}"), T("{\"a\":1,\"\\u0061\":2}"),
	T("{\"b\":{\"a\":1,\"a\":2}}"),
	/* strings */
	T("\""), T("\"a"), T("a\""), T("\"\\\""), T("\"\\x41\""), T("\"\\a\""), T("\"\\'\""), T("\"\\0\""), T("\"\\\t\""), T("\"\\\n\""), T("\"\\U0041\""), T("\"\\u\""),
	T("\"\\u0\""), T("\"\\u00\""), T("\"\\u004\""), T("\"\\u00G0\""), T("\"\\u{41}\""), T("\"\\u 041\""), T("\"\\u+041\""), T("\"\\\xf0\x9f\x8c\x80\""),
	T("\"a\nb\""), T("\"a\tb\""), T("\"a\rb\""), T("\"\x1f\""), T("\"\x01\""), T("\"\x1b[2J\""), T("\"\" \"\""), T("\"\"x"), T("\"\\\""), T("\"\\ud800\\\""), T("\"\\u\\\""),
};

static const struct text ours[] = {
	T("\"\\ud800\""), T("\"\\udc00\""), T("\"\\ud800a\""), T("\"\\ud800\\n\""), T("\"\\ud800\\ud800\""), T("\"\\udc00\\ud800\""), T("\"\\ud83d\\u0041\""),
	T("\"\\u0000\""), T("\"a\\u0000b\""), T("{\"\\u0000\":1}"), T("{\"a\\u0000b\":1}"),
	T("\"\xff\""), T("\"\xfe\xff\""), T("\"\x80\""), T("\"\xbf\""), T("\"\xc0\x80\""), T("\"\xc0\xaf\""), T("\"\xc1\xbf\""), T("\"\xe0\x80\x80\""), T("\"\xe0\x9f\xbf\""),
	T("\"\xf0\x80\x80\x80\""), T("\"\xf0\x8f\xbf\xbf\""), T("\"\xf4\x90\x80\x80\""), T("\"\xf5\x80\x80\x80\""), T("\"\xf8\x88\x80\x80\x80\""), T("\"\xfc\x84\x80\x80\x80\x80\""),
	T("\"\xed\xa0\x80\""), T("\"\xed\xbf\xbf\""), T("\"\xed\xa0\x81\xed\xb0\xb7\""), T("\"\xc3\""), T("\"\xe2\x82\""), T("\"\xf0\x9d\x84\""), T("\"\xc3(\""), T("\"\xe2(\xa1\""),
	T("\"\xe9\""), T("{\"\xff\":1}"), T("\"\xe6\x97\xa5\xd1\x88\xfa\""),
	T("9223372036854775808"), T("-9223372036854775809"), T("100000000000000000000"), T("-123123123123123123123123123123"), T("1e400"), T("-1e400"),
	T("1.5e999999999999"), T("123123e100000"), T("0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999999969999999006"),
};

/* ---- each in its places -------------------------------------------------------------------------------------------------- */

static const struct place { const char *before, *after; } places[] = {
	{ "{\"v\":", "}" }, { "{\"v\":[", "]}" }, { " \t\r\n{ \"v\" :\n", " } \n" }, { "{\"u\":0,\"v\":", ",\"w\":[]}" },
};
#define N_PLACES (int)(sizeof(places) / sizeof(*places))

static json_t *read_at(const struct place *p, const struct text *t, struct vl_why *why)
{
	size_t before = strlen(p->before), after = strlen(p->after), n = before + t->n + after;
	char *all = malloc(n);          /* exactly, so that a sanitizer sees one byte more */
	json_t *obj;

	memcpy(all, p->before, before);
	memcpy(all + before, t->s, t->n);
	memcpy(all + before + t->n, p->after, after);
	obj = vl_parse(all, n, why);
	free(all);
	return obj;
}

static void check_same_again(const json_t *obj, const struct text *t)
{
	struct vl_why why;
	size_t len;
	char *text = vl_pack(obj, &len);
	json_t *again = vl_parse(text, len - 1, &why);

	ck_assert_msg(again && json_equal(obj, again), "%s became %s", t->s, text);
	json_decref(again);
	free(text);
}

START_TEST(what_every_parser_takes_is_taken_and_stays_the_same)
{
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		struct vl_why why = { "" };
		json_t *obj = read_at(&places[_i], &yes[i], &why);

		ck_assert_msg(obj != NULL, "%s: %s", yes[i].s, why.text);
		check_same_again(obj, &yes[i]);
		json_decref(obj);
	}
}
END_TEST

static void expect_refusals(const struct text *v, size_t n, const struct place *p)
{
	for (size_t i = 0; i < n; i++) {
		struct vl_why why = { "" };
		json_t *obj = v[i].n || !strchr(p->before, '[') ? read_at(p, &v[i], &why) : NULL;      /* [] is a list */

		ck_assert_msg(obj == NULL, "%s was taken", v[i].s);
		ck_assert_msg(*why.text || !v[i].n, "%s was refused without a reason", v[i].s);
	}
}

START_TEST(what_no_parser_may_take_is_refused)
{
	expect_refusals(no, sizeof(no) / sizeof(*no), &places[_i]);
}
END_TEST

START_TEST(what_parsers_may_choose_we_refuse)
{
	expect_refusals(ours, sizeof(ours) / sizeof(*ours), &places[_i]);
}
END_TEST

/* ---- the message as a whole ---------------------------------------------------------------------------------------------- */

START_TEST(a_message_is_one_object_and_nothing_else)
{
	static const struct text bad[] = {
		T(""), T(" "), T("null"), T("true"), T("1"), T("\"a\""), T("[]"), T("[{}]"), T("{}{}"), T("{} {}"), T("{},"), T("{}x"), T("{}\0"), T("\0{}"), T("{\0}"), T("\xef\xbb\xbf{}"),
		T("\xff\xfe{\0}\0"), T("\0{\0}"), T("{}\x1a"), T("\v{}"), T("{}\f"), T("\xc2\xa0{}"), T("{}\xe2\x80\xa8"), T("{}#"), T("//\n{}"),
	};
	struct vl_why why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!vl_parse(bad[i].s, bad[i].n, &why), "case %zu was taken", i);
	json_decref(vl_parse("{}", 2, &why));
}
END_TEST

/* Prefix and suffix n times, in an object: n + 1 levels. */
static json_t *nested(const char *open, const char *close, int n, struct vl_why *why)
{
	size_t len = 0;
	char *text = malloc((strlen(open) + strlen(close)) * (size_t)n + 16);
	json_t *obj;

	len += (size_t)sprintf(text + len, "{\"v\":");
	for (int i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s", open);
	len += (size_t)sprintf(text + len, "%s", *close == '}' ? "0" : "");
	for (int i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s", close);
	text[len++] = '}';
	obj = vl_parse(text, len, why);
	free(text);
	return obj;
}

START_TEST(nesting_has_a_limit_and_costs_no_stack)
{
	static const struct { const char *open, *close; } kinds[] = { { "[", "]" }, { "{\"a\":", "}" }, { " [ ", "\n]" } };
	struct vl_why why;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		json_t *obj = nested(kinds[i].open, kinds[i].close, VL_DEPTH_MAX - 1, &why);

		ck_assert_ptr_nonnull(obj);
		json_decref(obj);
		ck_assert_ptr_null(nested(kinds[i].open, kinds[i].close, VL_DEPTH_MAX, &why));
		ck_assert_ptr_null(nested(kinds[i].open, kinds[i].close, 100000, &why));
		ck_assert_ptr_null(nested(kinds[i].open, "", 100000, &why));
	}
}
END_TEST

START_TEST(every_byte_alone_in_a_string_is_escaped_valid_or_refused)
{
	for (unsigned c = 0; c < 256; c++) {
		const char bytes[3] = { '"', (char)c, '"' };
		struct vl_why why;
		json_t *obj = read_at(&places[0], &(struct text){ bytes, 3 }, &why);
		bool valid = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

		ck_assert_msg((obj != NULL) == valid, "byte %u", c);
		json_decref(obj);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *tc = tcase_create("json");

	tcase_add_loop_test(tc, what_every_parser_takes_is_taken_and_stays_the_same, 0, N_PLACES);
	tcase_add_loop_test(tc, what_no_parser_may_take_is_refused, 0, N_PLACES);
	tcase_add_loop_test(tc, what_parsers_may_choose_we_refuse, 0, N_PLACES);
	tcase_add_test(tc, a_message_is_one_object_and_nothing_else);
	tcase_add_test(tc, nesting_has_a_limit_and_costs_no_stack);
	tcase_add_test(tc, every_byte_alone_in_a_string_is_escaped_valid_or_refused);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
