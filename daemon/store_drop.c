/* SPDX-License-Identifier: MIT */
/*
 * Forgetting a run. Its row goes at once, so that it is out of sight and its key free; what may be a million rows more is
 * noted in the table `dropped` and deleted in slices, each a short transaction between those of others. A restart goes on
 * where it was: a slice looks for what is there, and nothing else is remembered.
 */
#include "store_priv.h"

#define SLICE_JOBS 2000
#define SLICE_ATTEMPTS 10000
#define SLICE_ITEMS 10000
#define SLICE_EVENTS 10000

static int run_with(struct store *st, enum sql q, int64_t a)
{
	struct stmt s = stmt_of(st, q);

	put_int(&s, a);
	return stmt_run(&s);
}

static int run_with2(struct store *st, enum sql q, int64_t a, int64_t b)
{
	struct stmt s = stmt_of(st, q);

	put_int(&s, a);
	put_int(&s, b);
	return stmt_run(&s);
}

int store_drop(struct store *st, uint32_t run)
{
	struct stmt keep = stmt_of(st, SQL_DROP_KEEP_SEQ);
	int rc = run_with(st, SQL_DROP_MARK, run);

	if (!rc)
		rc = run_with(st, SQL_DROP_RUN, run);
	if (!rc)
		rc = stmt_run(&keep);
	st->drops = true;
	return rc;
}

/* The last of at most `limit` rows in [from, to), as the statement finds it; 0: there is none. */
static int slice_end(struct store *st, enum sql q, int64_t from, int64_t to, int limit, int64_t *ret)
{
	struct stmt s = stmt_of(st, q);

	*ret = 0;
	put_int(&s, from);
	put_int(&s, to);
	put_int(&s, limit);
	if (stmt_row(&s) == SQLITE_ROW)
		*ret = get_int(&s);
	return stmt_end(&s);
}

struct dropped {
	int64_t run, first_seq, last_seq;
};

/* A place of a map may have had any number of attempts: of jobs that have too many for a slice some go, and the jobs later. */
static int drop_some_attempts(struct store *st, int64_t from, int64_t to, bool *ret_some)
{
	struct stmt find = stmt_of(st, SQL_DROP_ATTEMPTS_END);
	struct stmt s = stmt_of(st, SQL_DROP_ATTEMPTS_TO);
	int rc;

	put_int(&find, from);
	put_int(&find, to);
	put_int(&find, SLICE_ATTEMPTS);
	put_int(&s, from);
	*ret_some = stmt_row(&find) == SQLITE_ROW;
	if (*ret_some) {
		put_int(&s, get_int(&find));
		put_int(&s, get_int(&find));
	}
	rc = stmt_end(&find);
	return rc || !*ret_some ? rc : stmt_run(&s);
}

static int drop_whole_jobs(struct store *st, int64_t from, int64_t to)
{
	int rc = run_with2(st, SQL_DROP_JOBS, from, to);

	if (!rc)
		rc = run_with2(st, SQL_DROP_STATES, from, to);
	return rc ? rc : run_with2(st, SQL_DROP_ATTEMPTS, from, to);
}

static int drop_jobs(struct store *st, const struct dropped *d, bool *ret_some)
{
	int64_t from = (int64_t)JOB_ID(d->run, 0);
	int64_t to;
	bool many;
	int rc = slice_end(st, SQL_DROP_JOBS_END, from, (int64_t)JOB_ID(d->run + 1, 0), SLICE_JOBS, &to);

	*ret_some = to != 0;
	if (rc || !to)
		return rc;
	rc = drop_some_attempts(st, from, to, &many);
	return rc || many ? rc : drop_whole_jobs(st, from, to);
}

static int drop_items(struct store *st, const struct dropped *d, bool *ret_some)
{
	struct stmt s = stmt_of(st, SQL_DROP_ITEMS_END);
	int64_t to = 0;
	int rc;

	put_int(&s, d->run);
	put_int(&s, SLICE_ITEMS);
	if (stmt_row(&s) == SQLITE_ROW)
		to = get_int(&s);
	*ret_some = to != 0;
	rc = stmt_end(&s);
	return rc || !to ? rc : run_with2(st, SQL_DROP_ITEMS, d->run, to);
}

static int drop_events(struct store *st, const struct dropped *d, bool *ret_some)
{
	struct stmt s = stmt_of(st, SQL_DROP_EVENTS);
	int64_t to;
	int rc = slice_end(st, SQL_DROP_EVENTS_END, d->first_seq, d->last_seq, SLICE_EVENTS, &to);

	*ret_some = to != 0;
	if (rc || !to)
		return rc;
	put_int(&s, d->first_seq);
	put_int(&s, to);
	put_int(&s, d->run);
	rc = stmt_run(&s);
	return rc ? rc : run_with2(st, SQL_DROP_EVENTS_DONE, d->run, to + 1);
}

static int drop_rest(struct store *st, const struct dropped *d)
{
	int rc = run_with(st, SQL_DROP_SEALED, d->run);

	return rc ? rc : run_with(st, SQL_DROP_DONE, d->run);
}

/* run 0: nothing is left */
static int next(struct store *st, struct dropped *ret)
{
	struct stmt s = stmt_of(st, SQL_DROP_NEXT);

	*ret = (struct dropped){ 0 };
	if (stmt_row(&s) == SQLITE_ROW) {
		ret->run = get_int(&s);
		ret->first_seq = get_int(&s);
		ret->last_seq = get_int(&s);
	}
	return stmt_end(&s);
}

int store_drop_slice(struct store *st)
{
	struct dropped d;
	bool some = false;
	int rc = next(st, &d);

	if (rc)
		return rc;
	if (!d.run) {
		st->drops = false;
		return SQLITE_OK;
	}
	rc = drop_jobs(st, &d, &some);
	if (!rc && !some)
		rc = drop_items(st, &d, &some);
	if (!rc && !some)
		rc = drop_events(st, &d, &some);
	if (!rc && !some)
		rc = drop_rest(st, &d);
	return rc;
}
