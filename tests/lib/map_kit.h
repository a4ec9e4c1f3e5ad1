/* SPDX-License-Identifier: MIT */
/*
 * Instruments for the tests of maps: a source that counts what it gives and who asks, work that counts, items that count their release.
 * What a map's threads see wrong goes into `broken`; assertions are for the thread of the test.
 */
#ifndef MAP_KIT_H
#define MAP_KIT_H

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "jobtree_map.h"

/* Gives 1, 2 ... n, then `end` (0 or a negative errno). */
struct feed {
	uint64_t n;
	int end;
	uint64_t bound;                   /* given - taken must never be above it; 0: not looked at */
	uint64_t tell_at;                 /* `told` is posted when so many were given */
	uint64_t block_at;                /* before this one (from 1), next waits for `go`; 0: never */
	uint64_t again_at;                /* before this one next says -EAGAIN, once; the descriptor is `fd`; 0: never */
	int fd;
	sem_t told, go, blocked;          /* blocked: posted when next is about to wait */
	atomic_ullong given, taken, made, released, held_max;
	atomic_int closed, broken, asked_again;
	pthread_t asker;
	bool ended, asked;
};
void feed_init(struct feed *f, uint64_t n);
struct jt_source feed_source(struct feed *f);
uint64_t number_of(const struct jt_item *item);
void feed_done(struct feed *f);           /* asserts: closed once, nothing broken, each item released once */

/* The output is twice the item. */
int twice(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret);
/* Makes an item whose release is counted in f (through `made` and `released`). */
struct jt_item counted_item(struct feed *f, uint64_t number);

struct jt_map *start(const struct jt_map_opts *o, struct feed *f, const struct jt_work *work);
/* The next result must be that of item seq. */
void expect_result(struct jt_map *m, uint64_t seq);
/* And the last status for ever. */
void expect_for_ever(struct jt_map *m, enum jt_map_status st);

unsigned count_of(const char *dir);       /* entries of /proc/self/task, /proc/self/fd */
int run_suite(const char *name, const TTest *const *tests, size_t n);

#endif
