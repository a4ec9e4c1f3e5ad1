/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>

#include "map_kit.h"
#include "../play.h"

struct counted {
	uint64_t number;
	struct feed *f;
};

static void counted_release(void *data)
{
	struct counted *c = data;
	atomic_fetch_add(&c->f->released, 1);
	free(c);
}

struct jt_item counted_item(struct feed *f, uint64_t number)
{
	struct counted *c = malloc(sizeof(*c));
	*c = (struct counted){ number, f };
	atomic_fetch_add(&f->made, 1);
	return (struct jt_item){ c, sizeof(*c), counted_release };
}

uint64_t number_of(const struct jt_item *item)
{
	return ((const struct counted *)item->data)->number;
}

void feed_init(struct feed *f, uint64_t n)
{
	*f = (struct feed){ .n = n, .fd = -1 };
	sem_init(&f->told, 0, 0);
	sem_init(&f->go, 0, 0);
	sem_init(&f->blocked, 0, 0);
}

static void check_asker(struct feed *f)
{
	if (f->ended || (f->asked && !pthread_equal(f->asker, pthread_self())))
		atomic_fetch_add(&f->broken, 1);
	f->asker = pthread_self();
	f->asked = true;
}

/* `taken` is read after `given` has grown: the difference is never less than what is held by the map and this hand. */
static void check_bound(struct feed *f, uint64_t given)
{
	uint64_t held = given - atomic_load(&f->taken);
	if (held > atomic_load(&f->held_max))
		atomic_store(&f->held_max, held);
	if (f->bound > 0 && held > f->bound)
		atomic_fetch_add(&f->broken, 1);
}

static int feed_next(void *arg, struct jt_item *ret)
{
	struct feed *f = arg;
	uint64_t number = atomic_load(&f->given) + 1;
	check_asker(f);
	if (number == f->again_at && atomic_fetch_add(&f->asked_again, 1) == 0) {
		sem_post(&f->blocked);
		return -EAGAIN;
	}
	if (number == f->block_at) {
		sem_post(&f->blocked);
		while (sem_wait(&f->go) != 0)
			continue;
	}
	f->ended = number > f->n;
	if (f->ended)
		return f->end;
	*ret = counted_item(f, number);
	atomic_store(&f->given, number);
	check_bound(f, number);
	if (number == f->tell_at)
		sem_post(&f->told);
	return 1;
}

static int feed_fd(void *arg)
{
	struct feed *f = arg;
	check_asker(f);
	return f->fd;
}

static void feed_close(void *arg)
{
	struct feed *f = arg;
	atomic_fetch_add(&f->closed, 1);
}

struct jt_source feed_source(struct feed *f)
{
	return (struct jt_source){ feed_next, feed_fd, feed_close, f };
}

void feed_done(struct feed *f)
{
	ck_assert_int_eq(f->broken, 0);
	ck_assert_int_eq(f->closed, 1);
	ck_assert_uint_eq(f->released, f->made);
	sem_destroy(&f->told);
	sem_destroy(&f->go);
	sem_destroy(&f->blocked);
}

int twice(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	(void)call;
	*ret = counted_item(arg, 2 * number_of(item));
	return 0;
}

struct jt_map *start(const struct jt_map_opts *o, struct feed *f, const struct jt_work *work)
{
	struct jt_error err;
	struct jt_source source = feed_source(f);
	struct jt_map *m = jt_map_start(o, &source, work, &err);
	ck_assert_msg(m != NULL, "%s", m ? "" : err.text);
	return m;
}

void expect_result(struct jt_map *m, uint64_t seq)
{
	struct jt_map_result r;
	ck_assert_str_eq(jt_map_status_name(jt_map_next(m, &r, -1)), "result");
	ck_assert_uint_eq(r.seq, seq);
	ck_assert_uint_eq(number_of(&r.item), seq);
	jt_map_result_done(&r);
}

void expect_for_ever(struct jt_map *m, enum jt_map_status st)
{
	for (int i = 0; i < 1000; i++) {
		struct jt_map_result r;
		ck_assert_str_eq(jt_map_status_name(jt_map_next(m, &r, i % 2 ? 0 : -1)), jt_map_status_name(st));
		jt_map_stop(m, i % 3 ? JT_MAP_DRAIN : JT_MAP_NOW);
	}
}

unsigned count_of(const char *dir)
{
	unsigned n = 0;
	DIR *d = opendir(dir);
	ck_assert(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int run_suite(const char *name, const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create(name);
	TCase *t = tcase_create(name);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
