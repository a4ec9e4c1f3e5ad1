/* SPDX-License-Identifier: MIT */
/* Batches as a source: where they are cut, what is handed on when nothing comes, and that each item is released once. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "jobtree_map.h"
#include "../play.h"

/* Words, then `end`. "..." is -EAGAIN. */
struct words {
	const char *const *v;
	size_t at;
	int end, closed, made, released, fd;
};
static struct words words;

struct word {
	char text[32];
};

static void release(void *data)
{
	words.released++;
	free(data);
}

static int next_word(void *arg, struct jt_item *ret)
{
	struct words *w = arg;
	const char *s = w->v[w->at];
	if (!s)
		return w->end;
	w->at++;
	if (strcmp(s, "...") == 0)
		return -EAGAIN;
	struct word *copy = calloc(1, sizeof(*copy));
	snprintf(copy->text, sizeof(copy->text), "%s", s);
	w->made++;
	*ret = (struct jt_item){ copy, strlen(s), release };
	return 1;
}

static int word_fd(void *arg)
{
	return ((struct words *)arg)->fd;
}

static void close_words(void *arg)
{
	((struct words *)arg)->closed++;
}

static struct jt_source batches(const char *const *v, int end, const struct jt_batch_opts *o)
{
	struct jt_error err;
	struct jt_source ret;
	words = (struct words){ .v = v, .end = end, .fd = eventfd(0, EFD_CLOEXEC) };
	struct jt_source s = { next_word, word_fd, close_words, &words };
	ck_assert_msg(jt_batches(&s, o, &ret, &err) == 0, "%s", err.text);
	return ret;
}

/* The next batch as "a+b", or "again", "end", "error n". */
static const char *next(struct jt_source *s)
{
	static char out[256];
	struct jt_item batch;
	size_t at = 0;
	int r = s->next(s->arg, &batch);
	if (r == -EAGAIN)
		return "again";
	if (r <= 0) {
		snprintf(out, sizeof(out), r == 0 ? "end" : "error %d", -r);
		return out;
	}
	const struct jt_item *item = batch.data;
	for (size_t i = 0; i < batch.len; i++)
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", i > 0 ? "+" : "", (int)item[i].len,
				       (const char *)item[i].data);
	jt_item_done(&batch);
	return out;
}

static void done(struct jt_source *s)
{
	s->close(s->arg);
	ck_assert_int_eq(words.closed, 1);
	ck_assert_int_eq(words.made, words.released);
	close(words.fd);
}

START_TEST(cut_by_number_and_the_last_is_what_is_left)
{
	static const char *const v[] = { "a", "b", "c", "d", "e", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.items = 2 });
	ck_assert_str_eq(next(&s), "a+b");
	ck_assert_int_eq(words.made, 2);        /* a full batch does not wait for the next item */
	ck_assert_str_eq(next(&s), "c+d");
	ck_assert_str_eq(next(&s), "e");
	ck_assert_str_eq(next(&s), "end");
	ck_assert_str_eq(next(&s), "end");
	done(&s);
}
END_TEST

START_TEST(what_does_not_fit_begins_the_next)
{
	static const char *const v[] = { "aaaa", "bb", "cccccccccc", "d", NULL };
	size_t two = jt_arg_cost(4) + jt_arg_cost(2);
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits = { .bytes = two, .string = 8 } });
	ck_assert_str_eq(next(&s), "aaaa+bb");
	ck_assert_str_eq(next(&s), "cccccccccc");
	ck_assert_str_eq(next(&s), "d");
	ck_assert_str_eq(next(&s), "end");
	done(&s);
}
END_TEST

START_TEST(an_error_comes_after_what_was_there)
{
	static const char *const v[] = { "a", "b", "c", NULL };
	struct jt_source s = batches(v, -EIO, &(struct jt_batch_opts){ .limits.items = 2 });
	ck_assert_str_eq(next(&s), "a+b");
	ck_assert_str_eq(next(&s), "c");
	ck_assert_str_eq(next(&s), "error 5");
	done(&s);
}
END_TEST

START_TEST(what_is_left_at_the_end_is_spread)
{
	static const char *const v[] = { "a", "b", "c", "d", "e", "f", "g", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.items = 100, .spread = 3 });
	ck_assert_str_eq(next(&s), "a+b+c");
	ck_assert_str_eq(next(&s), "d+e");
	ck_assert_str_eq(next(&s), "f+g");
	ck_assert_str_eq(next(&s), "end");
	done(&s);
}
END_TEST

START_TEST(a_partial_batch_lingers_and_is_handed_on)
{
	static const char *const v[] = { "a", "...", "b", "...", "...", "c", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.items = 10, .linger_ns = 30000000 });
	ck_assert_str_eq(next(&s), "again");
	int fd = s.fd(s.arg);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
	ck_assert_str_eq(next(&s), "again");    /* b came: the linger begins anew */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000), 1);
	ck_assert_str_eq(next(&s), "a+b");
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = s.fd(s.arg), .events = POLLIN }, 1, 0), 0);
	ck_assert_str_eq(next(&s), "c");
	done(&s);
}
END_TEST

START_TEST(a_batch_that_came_to_its_end_lingers_no_more)
{
	static const char *const v[] = { "a", "...", "b", "...", "...", "c", "...", "d", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.items = 2, .linger_ns = 1 });
	ck_assert_str_eq(next(&s), "again");
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = s.fd(s.arg), .events = POLLIN }, 1, 10000), 1);
	ck_assert_str_eq(next(&s), "a+b");
	ck_assert_str_eq(next(&s), "again");
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = s.fd(s.arg), .events = POLLIN }, 1, 0), 0);
	done(&s);
}
END_TEST

START_TEST(the_descriptor_is_that_of_the_source_too)
{
	static const char *const v[] = { "a", "...", "b", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.items = 2, .linger_ns = INT64_C(3600000000000) });
	ck_assert_str_eq(next(&s), "again");
	int fd = s.fd(s.arg);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
	ck_assert_int_eq(eventfd_write(words.fd, 1), 0);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 1);
	ck_assert_str_eq(next(&s), "a+b");
	done(&s);
}
END_TEST

START_TEST(joined_batches_are_one_string)
{
	static const char *const v[] = { "a", "", "bc", "d", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits = { .items = 3, .joined = true, .join = 2 }, .separator = ", " });
	struct jt_item item;
	ck_assert_int_eq(s.next(s.arg, &item), 1);
	ck_assert_uint_eq(item.len, 7);
	ck_assert_mem_eq(item.data, "a, , bc", 7);
	jt_item_done(&item);
	ck_assert_int_eq(s.next(s.arg, &item), 1);
	ck_assert_mem_eq(item.data, "d", 1);
	jt_item_done(&item);
	ck_assert_int_eq(s.next(s.arg, &item), 0);
	done(&s);
}
END_TEST

START_TEST(closed_in_the_middle_nothing_is_left)
{
	static const char *const v[] = { "aaaa", "bbbb", "...", "c", NULL };
	struct jt_source s = batches(v, 0, &(struct jt_batch_opts){ .limits.bytes = jt_arg_cost(6), .linger_ns = 1 });
	ck_assert_str_eq(next(&s), "aaaa");
	done(&s);
}
END_TEST

/* Two sources of words, zipped, and batches of their tuples. */
static struct words seconds;

static struct jt_source batches_of_pairs(const char *const *a, const char *const *b, const struct jt_batch_opts *o)
{
	struct jt_error err;
	struct jt_source ret;
	words = (struct words){ .v = a, .fd = -1 };
	seconds = (struct words){ .v = b, .fd = -1 };
	struct jt_source s[] = { { next_word, word_fd, close_words, &words }, { next_word, word_fd, close_words, &seconds } };
	ck_assert_int_eq(jt_zip(s, 2, JT_ZIP_SHORT, NULL, &ret, &err), 0);
	ck_assert_msg(jt_batches(&ret, o, &ret, &err) == 0, "%s", err.text);
	return ret;
}

static void done_with_pairs(struct jt_source *s)
{
	s->close(s->arg);
	ck_assert_int_eq(words.closed + seconds.closed, 2);
	ck_assert_int_eq(words.made + seconds.made, words.released);
}

static const char *const firsts[] = { "a", "b", "...", "c", NULL }, *const others[] = { "1", "2", "3", NULL };

START_TEST(tuples_stay_together)
{
	struct jt_source s = batches_of_pairs(firsts, others, &(struct jt_batch_opts){ .limits = { .items = 2, .columns = 2 } });
	ck_assert_str_eq(next(&s), "a+1+b+2");
	ck_assert_str_eq(next(&s), "again");
	ck_assert_str_eq(next(&s), "c+3");
	ck_assert_str_eq(next(&s), "end");
	done_with_pairs(&s);
	s = batches_of_pairs(firsts, others, &(struct jt_batch_opts){ .limits = { .bytes = 2 * jt_arg_cost(1), .columns = 2 } });
	ck_assert_str_eq(next(&s), "a+1");
	done_with_pairs(&s);
	s = batches_of_pairs(firsts, others, &(struct jt_batch_opts){ .limits = { .items = 9, .columns = 2 }, .spread = 2 });
	ck_assert_str_eq(next(&s), "again");
	ck_assert_str_eq(next(&s), "a+1+b+2");
	ck_assert_str_eq(next(&s), "c+3");
	done_with_pairs(&s);
}
END_TEST

START_TEST(tuples_are_joined_by_column)
{
	struct jt_batch_limits l = { .items = 9, .joined = true, .join = 2, .columns = 2 };
	struct jt_source s = batches_of_pairs(firsts, others, &(struct jt_batch_opts){ .limits = l, .separator = "; " });
	ck_assert_str_eq(next(&s), "again");
	ck_assert_str_eq(next(&s), "a; b; c+1; 2; 3");
	ck_assert_str_eq(next(&s), "end");
	done_with_pairs(&s);
}
END_TEST

int main(void)
{
	static const TTest *const *const tests[] = { &cut_by_number_and_the_last_is_what_is_left,
						     &what_does_not_fit_begins_the_next,
						     &an_error_comes_after_what_was_there,
						     &what_is_left_at_the_end_is_spread,
						     &a_partial_batch_lingers_and_is_handed_on,
						     &a_batch_that_came_to_its_end_lingers_no_more,
						     &the_descriptor_is_that_of_the_source_too,
						     &joined_batches_are_one_string,
						     &closed_in_the_middle_nothing_is_left,
						     &tuples_stay_together,
						     &tuples_are_joined_by_column };
	Suite *suite = suite_create("batches");
	TCase *t = tcase_create("batches");
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		tcase_add_test(t, *tests[i]);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
