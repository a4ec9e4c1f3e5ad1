/* SPDX-License-Identifier: MIT */
/*
 * Budget - what the files of outputs take on the disk, in all and of each user, and what happens when that is too much: the oldest runs that
 * have ended and are not needed lose their outputs (not their records); where that is not enough, jobs run on, and of what they write
 * little is kept.
 *
 * Counted are the outputs of attempts that have ended. Those that run may have up to output_max each besides.
 */
#include "engine.h"
#include "health.h"
#include "log.h"

#define KEPT_WHEN_FULL 8192             /* of each output: so much goes into the attempt's row */

struct user_bytes {
	uid_t uid;
	int64_t bytes;
};

/* The users of a machine are few. */
static struct user_bytes *user_of(struct engine *e, uid_t uid)
{
	for (size_t i = 0; i < e->n_out_users; i++)
		if (e->out_users[i].uid == uid)
			return &e->out_users[i];
	e->out_users = xrealloc(e->out_users, (e->n_out_users + 1) * sizeof(*e->out_users));
	e->out_users[e->n_out_users] = (struct user_bytes){ .uid = uid };
	return &e->out_users[e->n_out_users++];
}

static bool reaches(int64_t bytes, uint64_t limit)
{
	return limit && bytes >= (int64_t)limit;
}

static bool all_is_full(const struct engine *e)
{
	return reaches(e->out_bytes, e->conf.output_total);
}

static bool is_full_for(struct engine *e, uid_t uid)
{
	return all_is_full(e) || reaches(user_of(e, uid)->bytes, e->conf.output_per_user);
}

static bool somebody_is_full(const struct engine *e)
{
	for (size_t i = 0; i < e->n_out_users; i++)
		if (reaches(e->out_users[i].bytes, e->conf.output_per_user))
			return true;
	return all_is_full(e);
}

static void count(struct run *r, int64_t bytes)
{
	r->out_bytes += bytes;
	r->e->out_bytes += bytes;
	user_of(r->e, r->uid)->bytes += bytes;
}

static void give_up(struct run *r)
{
	log_info("run %u: its outputs (%lld bytes) are given up for newer ones: output_%s is reached", r->id, (long long)r->out_bytes,
		 all_is_full(r->e) ? "total" : "per_user");
	sweep_remove(r->e->sweep, r->id);
	count(r, -r->out_bytes);
}

static void give_up_the_oldest(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct run *r = e->runs[i];

		if (r && r->out_bytes && is_full_for(e, r->uid) && !run_is_needed(r))
			give_up(r);
	}
}

static void tell(struct engine *e)
{
	if (!e->out_stuck)
		health_end(e, TROUBLE_BUDGET);
	else
		health_begin(e, TROUBLE_BUDGET, "outputs %s have reached output_%s (jobd.conf), and none may go: of further ones %d KiB each are kept; "
			     "`jobctl rm` makes room", all_is_full(e) ? "of all" : "of a user", all_is_full(e) ? "total" : "per_user",
			     KEPT_WHEN_FULL / 1024);
}

void budget_make_room(struct engine *e)
{
	if (somebody_is_full(e))
		give_up_the_oldest(e);
	e->out_stuck = somebody_is_full(e);
	tell(e);
}

void budget_add(struct run *r, int64_t bytes)
{
	count(r, bytes);
	if (!r->e->out_stuck)
		budget_make_room(r->e);
}

bool budget_takes(struct run *r, int64_t bytes)
{
	const struct conf *c = &r->e->conf;

	if (is_full_for(r->e, r->uid))
		budget_make_room(r->e);
	return (!c->output_total || r->e->out_bytes + bytes <= (int64_t)c->output_total) &&
	       (!c->output_per_user || user_of(r->e, r->uid)->bytes + bytes <= (int64_t)c->output_per_user);
}

void budget_forget(struct run *r)
{
	count(r, -r->out_bytes);
	budget_make_room(r->e);
}

static uint64_t lower(uint64_t max, uint64_t limit)
{
	return limit && limit < max ? limit : max;
}

/* An item fails beyond it: the file is whole, and goes when it has been delivered. */
static uint64_t item_max(const struct run *r)
{
	const struct conf *c = &r->e->conf;
	int64_t given = r->spec->map->output_max;

	return lower(lower(given ? (uint64_t)given : c->output_max, c->output_per_user), c->output_total);
}

uint64_t budget_output_max(const struct run *r)
{
	uint64_t max = r->e->conf.output_max;

	if (r->is_map)
		return item_max(r);

	return is_full_for(r->e, r->uid) && max > KEPT_WHEN_FULL ? KEPT_WHEN_FULL : max;
}
