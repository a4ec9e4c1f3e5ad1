/* SPDX-License-Identifier: MIT */
/* Map - how one begins, goes on with another client, comes back after a restart. See map.h. */
#include "map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "proto/varlink.h"
#include "rpc.h"

#define NOBODY_S 60             /* after a start: for the clients to come back */

/* ---- a new one ----------------------------------------------------------------------------------------------------------- */

static void open_new(struct engine *e, struct call *call, const struct map_wish *w)
{
	struct req_error err = { 0 };
	struct run *r = submit_map(e, call, w->options, &err);

	if (!r) {
		call_fail(call, &err);
		return;
	}
	map_attach(r->map, call);
	map_greet(r->map, true);
}

/* ---- items that are there already ---------------------------------------------------------------------------------------- */

/* In no order but that of their tags. */
static void restore_item(void *arg, const struct store_item *si)
{
	struct map *m = arg;
	struct run *r = m->run;
	struct spec_item_key key = { .given = si->has_key };
	jt_job place = JOB_IDX(si->id);
	enum jt_state st = place < r->n_jobs ? jt_job_state(r->sched, place) : JT_LOST;
	struct map_item *it;

	memcpy(key.bytes, si->key, sizeof(key.bytes));
	if (place >= r->n_jobs || map_item_at(m, place)) {
		log_error("run %u: the record of item %" PRIu64 " names a place that is not its own; it is left out", r->id, si->tag);
		return;
	}
	it = map_item_new(m, si->tag, si->seq, &key);
	map_place_set(it, place);
	it->stored = true;
	it->base = si->base;
	it->last = run_mem(r, place)->attempts;
	it->state = jt_state_is_final(st) ? ITEM_ENDED : ITEM_PUT;
	it->cancelled = st == JT_CANCELLED;
	it->failed = st != JT_SOK;
	m->n_unended += it->state == ITEM_PUT;
	if (it->state == ITEM_ENDED) {
		it->bytes = si->bytes;
		m->undelivered += it->bytes;
	}
	map_input_restore(it);
}

static void free_places(struct map *m)
{
	for (jt_job j = m->run->n_jobs; j-- > 0;)
		if (!map_item_at(m, j)) {
			map_input_unplace(m, j);
			map_place_free(m, j);
		}
}

static void set_last_tag(struct map *m, uint64_t tag)
{
	if (m->next_tag <= tag)
		m->next_tag = tag + 1;
}

static void disclaim_all(struct map *m)
{
	struct map_item *it;

	while ((it = TAILQ_FIRST(&m->items)))
		map_item_disclaim(it);
}

/* ---- after a restart ------------------------------------------------------------------------------------------------------- */

static void nobody_came(evutil_socket_t fd, short what, void *arg)
{
	struct map *m = arg;

	(void)fd, (void)what;
	if (!m->call)
		map_leave(m);
}

/* Its client has 60 s to come back; until then the items are still its own. */
static void await_client(struct map *m)
{
	struct timeval tv = { .tv_sec = NOBODY_S };

	m->nobody = xtimer(m->run->e->base, nobody_came, m);
	event_add(m->nobody, &tv);
}

int map_recover(struct run *r, struct store_error *err)
{
	struct req_error re = { 0 };
	uint64_t last_tag = 0;

	if (map_new(r, &re) < 0) {
		snprintf(err->text, sizeof(err->text), "run %u: %.400s", r->id, re.text);
		return -1;
	}
	if (store_load_items(r->e->store, r->id, restore_item, r->map, &last_tag, err) < 0)
		return -1;
	set_last_tag(r->map, last_tag);
	free_places(r->map);
	await_client(r->map);
	return 0;
}

/* ---- its own client comes back ------------------------------------------------------------------------------------------------ */

static void tell_ended(struct map *m)
{
	struct map_item *it;

	TAILQ_FOREACH(it, &m->items, link)
		if (it->state == ITEM_ENDED)
			map_tell_later(it);
}

/* After a restart nothing says which client had asked for what, but the tags. */
static void disclaim_before(struct map *m, uint64_t tag)
{
	struct map_item *it, *next;

	for (it = TAILQ_FIRST(&m->items); it; it = next) {
		next = TAILQ_NEXT(it, link);
		if (it->tag < tag)
			map_item_disclaim(it);
	}
}

static void attach(struct engine *e, struct call *call, const struct map_wish *w)
{
	struct req_error err = { 0 };
	struct run *r;
	char name[16];

	snprintf(name, sizeof(name), "%u", (unsigned)w->attach);
	r = rpc_run(e, call, name, MAY_CHANGE);
	if (!r)
		return;
	if (!r->map || r->map->call || r->map->ending) {
		req_fail(&err, "org.jobd.WrongState", "run %u is %s", r->id,
			 !r->map ? "no map that goes on" : r->map->call ? "a map that a client has" : "a map that is being stopped");
		call_fail(call, &err);
		return;
	}
	disclaim_before(r->map, (uint64_t)w->from_tag);
	r->map->resumed = w->resume;
	r->map->rerun_failed = w->rerun_failed;
	map_attach(r->map, call);
	map_greet(r->map, true);
	tell_ended(r->map);
}

/* ---- another client goes on ------------------------------------------------------------------------------------------------------ */

/* A client that waits for the run, or its items, to be read. */
struct going_on {
	struct engine *e;
	struct call *call;              /* NULL: it has gone */
	uint32_t run;
	char *options;
	bool rerun_failed;
};

static void going_on_free(struct going_on *g)
{
	free(g->options);
	free(g);
}

static bool same_words(const struct spec_map *a, const struct spec_map *b)
{
	if (a->words.n != b->words.n || a->shell != b->shell || a->item_on_stdin != b->item_on_stdin)
		return false;
	for (size_t i = 0; i < a->words.n; i++)
		if (strcmp(a->words.v[i], b->words.v[i]) != 0)
			return false;
	return true;
}

/* The map takes the new settings. -1: they are refused, and it is as it was. */
static int take_settings(struct run *r, const char *options, bool *ret_same, struct req_error *err)
{
	const struct spec_run *old = r->spec;
	char *old_options = r->options;
	struct spec_error se;

	r->options = xstrdup(options);
	if (run_read_options(r, &se) < 0)
		refuse_spec(err, &se);
	else if (map_settings_changed(r->map, r->spec, err) == 0) {
		*ret_same = same_words(old->map, r->spec->map);
		r->slots = r->spec->workers;
		r->interval_ns = r->spec->interval_ms * INT64_C(1000000);
		jt_sched_set_slots(r->sched, r->slots);
		free(old_options);
		return 0;
	}
	free(r->options);
	r->options = old_options;
	r->spec = (struct spec_run *)(uintptr_t)old;
	return -1;
}

/* Of another command: nobody will ask for them. */
static void give_up_others(struct map *m)
{
	struct map_item *it, *next;

	for (it = TAILQ_FIRST(&m->others); it; it = next) {
		next = TAILQ_NEXT(it, link);
		if (it->state == ITEM_PUT)
			control_cancel_job(m->run, JOB_IDX(it->id), false);
		else
			map_item_forget(it);
	}
}

static void go_on(struct run *r, struct going_on *g)
{
	struct req_error err = { 0 };
	struct map *m = r->map;
	bool same = true;

	if (take_settings(r, g->options, &same, &err) < 0) {
		call_fail(g->call, &err);
		return;
	}
	disclaim_all(m);
	submit_map_again(r);
	m->resumed = true;
	m->rerun_failed = g->rerun_failed;
	map_attach(m, g->call);
	if (!same)
		give_up_others(m);
	map_greet(m, same);
	run_wants(r);
}

/* ---- a map that has ended lives again ---- */

static void items_read(struct store_op *op)
{
	struct going_on *g = op->arg;
	struct run *r = engine_run(g->e, g->run);
	struct req_error err = { 0 };

	run_unuse(g->e, g->run);
	if (!g->call) {
		going_on_free(g);
		return;
	}
	call_on_abort(g->call, NULL, NULL);
	if (!r || !r->sched || r->map || r->removing || !run_is_final(r) || map_new(r, &err) < 0) {
		req_fail(&err, "org.jobd.WrongState", "run %u is not what it was when it was asked for: ask again", g->run);
		call_fail(g->call, &err);
	} else {
		for (size_t i = 0; i < op->n_items; i++)
			restore_item(r->map, &op->items[i]);
		free_places(r->map);
		set_last_tag(r->map, op->n);
		go_on(r, g);
		if (!r->map->call)
			map_free(r->map);
	}
	going_on_free(g);
}

static void jobs_read(void *arg, struct run *r)
{
	struct going_on *g = arg;
	struct store_op *op;
	struct req_error err = { 0 };

	if (g->call && r->sched && !r->removing) {
		run_use(r);
		op = engine_op(g->e, ST_LOAD_ITEMS, r);
		op->urgent = true;
		op->done = items_read;
		op->arg = g;
		engine_post(g->e, op);
		return;
	}
	if (g->call) {
		call_on_abort(g->call, NULL, NULL);
		req_fail(&err, "org.jobd.Failed", "run %u cannot be read from the database: see jobd's log", r->id);
		call_fail(g->call, &err);
	}
	going_on_free(g);
}

static void client_gone(void *arg, struct call *call)
{
	(void)call;
	((struct going_on *)arg)->call = NULL;
}

static void resume(struct run *r, struct call *call, const struct map_wish *w)
{
	struct going_on *g = xcalloc(1, sizeof(*g));

	*g = (struct going_on){ .e = r->e, .call = call, .run = r->id, .options = submit_map_options(w->options), .rerun_failed = w->rerun_failed };
	if (r->map) {
		go_on(r, g);
		going_on_free(g);
		return;
	}
	call_on_abort(call, client_gone, g);
	run_with_sched(r, jobs_read, g);
}

/* ---- which ------------------------------------------------------------------------------------------------------------------------ */

/* The latest map of this name that is the user's; those of others are not seen. */
static struct run *find_named(struct engine *e, uid_t uid, const json_t *options)
{
	const char *name = json_string_value(json_object_get(options, "name"));
	struct run *r = name ? engine_find(e, name) : NULL;

	while (r && (r->uid != uid || !r->is_map || r->removing))
		r = r->by_name;
	return r;
}

static int check_free(const struct run *r, bool wants_to_resume, struct req_error *err)
{
	if (r->map && r->map->call && !r->map->ending)
		return req_fail(err, "org.jobd.WrongState", "map \"%.200s\" (run %u) is at work: another client has it", r->name, r->id);
	if (!wants_to_resume)
		return req_fail(err, "org.jobd.Refused", "\"%.200s\" has results of an earlier map: go on with --resume, or remove it (`jobctl rm %u`)", r->name,
				r->id);
	return 0;
}

/* ---- after one that is just ending ---- */

struct map_next {
	struct engine *e;
	uint32_t run;
	struct call *call;
	json_t *options;
	bool rerun_failed;
	TAILQ_ENTRY(map_next) entry;
};

static void next_free(struct map_next *n)
{
	TAILQ_REMOVE(&n->e->map_nexts, n, entry);
	json_decref(n->options);
	free(n);
}

static void next_gone(void *arg, struct call *call)
{
	(void)call;
	next_free(arg);
}

static void wait_for_end(struct run *r, struct call *call, const struct map_wish *w)
{
	struct map_next *n = xcalloc(1, sizeof(*n));

	*n = (struct map_next){ .e = r->e, .run = r->id, .call = call, .options = json_incref((json_t *)(uintptr_t)w->options),
				.rerun_failed = w->rerun_failed };
	TAILQ_INSERT_TAIL(&r->e->map_nexts, n, entry);
	call_on_abort(call, next_gone, n);
	call_continue(call, json_pack("{s:b}", "ending", true));
}

static struct map_next *next_of(const struct run *r)
{
	struct map_next *n;

	TAILQ_FOREACH(n, &r->e->map_nexts, entry)
		if (n->run == r->id)
			return n;
	return NULL;
}

/* The first of them gets it. */
void map_nexts_open(struct run *r)
{
	struct map_next *n;

	while ((n = next_of(r))) {
		json_t *options = json_incref(n->options);
		struct map_wish w = { .options = options, .resume = true, .rerun_failed = n->rerun_failed };
		struct call *call = n->call;

		call_on_abort(call, NULL, NULL);
		next_free(n);
		map_open(r->e, call, &w);
		json_decref(options);
	}
}

void map_open(struct engine *e, struct call *call, const struct map_wish *w)
{
	struct req_error err = { 0 };
	struct run *old;

	if (w->attach) {
		attach(e, call, w);
		return;
	}
	old = find_named(e, session_peer(call_session(call))->uid, w->options);
	if (!old) {
		open_new(e, call, w);
	} else if (check_free(old, w->resume, &err) < 0) {
		snprintf(err.field, sizeof(err.field), "name");
		call_fail(call, &err);
	} else if (old->map && old->map->ending) {
		wait_for_end(old, call, w);
	} else {
		resume(old, call, w);
	}
}
