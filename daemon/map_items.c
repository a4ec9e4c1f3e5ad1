/* SPDX-License-Identifier: MIT */
/* Map - items: put, ended, delivered, stopped. See map.h. */
#include "map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static struct store_item record_of(const struct map_item *it)
{
	struct store_item si = { .run = it->map->run->id, .tag = it->tag, .seq = it->seq, .id = it->id, .base = it->base, .last = it->last,
				 .has_key = it->key.given };

	memcpy(si.key, it->key.bytes, sizeof(si.key));
	return si;
}

/* ---- put ---------------------------------------------------------------------------------------------------------------- */

/* input: the file that has to be on the disk with it, which the operation takes; -1: none. */
static void post_new(struct map_item *it, const char *text, size_t len, int input)
{
	struct run *r = it->map->run;
	struct store_op *op = engine_op(r->e, ST_ITEM_NEW, r);
	struct store_new_job *job = op->jobs = arena_alloc(&op->arena, sizeof(*job));
	size_t path_len;
	const char *path = jt_job_path(r->sched, JOB_IDX(it->id), &path_len);

	op->id = it->id;
	op->n_jobs = 1;
	job->path = arena_strndup(&op->arena, path, path_len);
	job->path_len = (uint32_t)path_len;
	job->spec = arena_strndup(&op->arena, text, len);
	job->spec_len = (uint32_t)len;
	op->item = record_of(it);
	op->sync_fd = input;
	engine_post(r->e, op);
}

void map_item_begin(struct map_item *it, const char *text, size_t len)
{
	struct map *m = it->map;

	map_place_set(it, map_place_take(m));
	it->state = ITEM_PUT;
	it->stored = true;
	it->base = it->last = run_mem(m->run, JOB_IDX(it->id))->attempts;
	it->spec_bytes = (int64_t)len;
	m->run->spec_bytes += len;
	m->n_unended++;
	post_new(it, text, len, map_input_place(it));
	run_wants(m->run);
}

/* It keeps its place, what it has come to, and goes on under another tag. */
static void take_over(struct map_item *it, const struct spec_put *p)
{
	struct map *m = it->map;
	struct store_op *op = engine_op(m->run->e, ST_ITEM_TAKEN, m->run);

	op->n = it->tag;
	map_item_claim(it, (uint64_t)p->tag, (uint64_t)p->seq);
	op->item = record_of(it);
	engine_post(m->run->e, op);
	if (it->state == ITEM_ENDED)
		map_tell_later(it);
}

/* Whether an end that an earlier client did not take is one that this client wants. */
static bool is_good(const struct map_item *it)
{
	return it->state != ITEM_ENDED || !(it->cancelled || (it->failed && it->map->rerun_failed));
}

static void keep_text(struct map_item *it, const struct spec_put *p)
{
	it->text = xcalloc(1, p->spec.len + 1);
	memcpy(it->text, p->spec.text, p->spec.len);
	it->text_len = p->spec.len;
}

/* True: it is to be asked for in the store. */
static bool put_one(struct map *m, const struct spec_put *p)
{
	struct map_item *it = p->key.given ? map_find_key(m, p->key.bytes) : NULL;

	if (it && is_good(it)) {
		take_over(it, p);
		return false;
	}
	if (it)
		map_item_forget(it);
	it = map_item_new(m, (uint64_t)p->tag, (uint64_t)p->seq, &p->key);
	m->n_put++;
	map_input_take(it, p);
	if (!m->resumed) {
		map_item_begin(it, p->spec.text, p->spec.len);
		return false;
	}
	it->state = ITEM_ASKED;
	keep_text(it, p);
	return true;
}

/* ---- known to the store? ---- */

static void begin_kept(struct map_item *it)
{
	map_item_begin(it, it->text, it->text_len);
	free(it->text);
	it->text = NULL;
}

static void found_one(struct map_item *it, const struct store_item *si)
{
	if (!si->tag) {
		begin_kept(it);
		return;
	}
	it->state = ITEM_KNOWN;
	it->id = si->id;
	it->base = si->base;
	it->last = si->last;
	map_tell_later(it);
}

/* In op->ids the tags of the items, since those of what was found are others. */
static void found(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, op->run.run);
	struct map *m = r ? r->map : NULL;

	for (size_t i = 0; m && op->since == m->n_clients && i < op->n_items; i++) {
		struct map_item *it = map_find(m, op->ids[i]);

		if (it && it->state == ITEM_ASKED)
			found_one(it, &op->items[i]);
	}
}

static struct store_op *question(struct map *m, size_t n)
{
	struct store_op *op = engine_op(m->run->e, ST_FIND_ITEMS, m->run);

	op->items = xcalloc(n, sizeof(*op->items));
	op->ids = xcalloc(n, sizeof(*op->ids));
	op->since = m->n_clients;
	op->urgent = true;
	op->done = found;
	return op;
}

static void ask_for(struct store_op *op, const struct spec_put *p)
{
	struct store_item *si = &op->items[op->n_items++];

	si->run = op->run.run;
	si->has_key = true;
	memcpy(si->key, p->key.bytes, sizeof(si->key));
	op->ids[op->n_ids++] = (uint64_t)p->tag;
}

/* ---- a batch ---- */

static int check_put(const struct map *m, const struct spec_put *p, struct req_error *err)
{
	const struct map_item *same = p->key.given ? map_find_key(m, p->key.bytes) : NULL;

	if ((uint64_t)p->tag < m->next_tag)
		return req_fail(err, "org.jobd.Refused", "tag %" PRId64 " is not above %" PRIu64 ": tags grow, and none is used twice", p->tag, m->next_tag - 1);
	if (p->key.given != map_is_named(m))
		return req_fail(err, "org.jobd.Refused", "item %" PRId64 " has %s: items of a map with a name have one, and of others none", p->tag,
				p->key.given ? "a key" : "no key");
	if (same && same->claimed)
		return req_fail(err, "org.jobd.Refused", "items %" PRIu64 " and %" PRId64 " have the same key", same->tag, p->tag);
	if (m->n_items >= m->set->window)
		return req_fail(err, "org.jobd.Refused", "item %" PRId64 " is one more than the window of %u: deliver first", p->tag, m->set->window);
	if (m->ending)
		return req_fail(err, "org.jobd.WrongState", "run %u has got its MapEnd: nothing can be put", m->run->id);
	return map_input_check(m, p, err);
}

static bool is_in_hand(const struct map *m, int64_t tag)
{
	const struct map_item *it = map_find(m, (uint64_t)tag);

	return it && it->claimed;
}

static int read_put(const json_t *obj, struct arena *a, struct spec_put *p, struct req_error *err)
{
	struct spec_error se;

	if (spec_put_read(obj, a, p, &se) == 0)
		return 0;
	req_fail(err, "org.jobd.Refused", "an item: %s", se.text);
	snprintf(err->field, sizeof(err->field), "%s", se.field);
	return -1;
}

int map_put(struct map *m, const json_t *items, struct req_error *err)
{
	struct store_op *op = m->resumed ? question(m, json_array_size(items) + 1) : NULL;
	struct arena scratch;
	struct spec_put p;
	json_t *obj;
	int rc = 0;
	size_t i;

	arena_init(&scratch);
	json_array_foreach(items, i, obj) {
		arena_reset(&scratch);
		rc = read_put(obj, &scratch, &p, err);
		if (rc == 0 && is_in_hand(m, p.tag))
			continue;       /* put again by a client that came back */
		if (rc == 0 && (rc = check_put(m, &p, err)) == 0 && (rc = quota_check(m->run, 1, p.spec.len, err)) == 0) {
			quota_charge(m->run, 1, p.spec.len);
			if (put_one(m, &p))
				ask_for(op, &p);
			map_input_drop(m);      /* none waits for its end: what is left is of an item that was known */
		}
		if (rc < 0)
			break;
	}
	arena_done(&scratch);
	if (op && op->n_items)
		engine_post(m->run->e, op);
	else
		store_op_free(op);
	return rc;
}

/* ---- ended ---------------------------------------------------------------------------------------------------------------- */

bool map_hurries(const struct map *m)
{
	return m->call && m->n_unended <= 2 * m->run->slots;
}

void map_item_weigh(struct map_item *it, const struct store_attempt *at)
{
	it->bytes = (at->out_bytes > 0 ? at->out_bytes : 0) + (at->err_bytes > 0 ? at->err_bytes : 0);
	it->map->undelivered += it->claimed ? it->bytes : 0;
}

/* Counted before it is durable: with the slot that is free again something else would start. */
void map_item_ending(struct active *a, const struct store_attempt *at)
{
	struct map_item *it = map_item_at(a->run->map, a->idx);

	if (it)
		map_item_weigh(it, at);
}

static bool is_packed(const char *text, int64_t bytes)
{
	return text || !bytes;
}

static void note_end(struct map_item *it, const struct store_op *op)
{
	struct map *m = it->map;

	it->state = ITEM_ENDED;
	it->cancelled = op->job.state == JT_CANCELLED;
	it->failed = op->job.state != JT_SOK;
	it->last = op->job.attempts;
	it->ended_at_us = op->job.ended_at_us;
	it->is_fileless = op->job.reason == WHY_EXIT && is_packed(op->attempt.out, op->attempt.out_bytes) &&
			  is_packed(op->attempt.err, op->attempt.err_bytes);
	m->run->spec_bytes -= (uint64_t)it->spec_bytes;
	m->n_unended--;
	m->n_ended++;
	m->n_failed += it->failed;
}

void map_item_ended(struct run *r, struct store_op *op)
{
	struct map_item *it = r->map ? map_item_at(r->map, JOB_IDX(op->id)) : NULL;

	if (!it || it->state != ITEM_PUT)
		return;
	note_end(it, op);
	map_input_gone(it);
	if (it->claimed)
		map_tell(it, &op->attempt, (enum job_reason)op->job.reason);
	map_read_on(it);
	map_check_end(r->map);
}

/* It runs on: a client that came back may have asked for what it writes already. */
void map_item_adopted(struct active *a)
{
	struct map_item *it = map_item_at(a->run->map, a->idx);

	map_slot_adopt(a, a->pid);
	if (it)
		map_read_on(it);
}

void map_item_started(struct active *a)
{
	struct map_item *it = map_item_at(a->run->map, a->idx);

	map_slot_note(a);
	if (it)
		map_read_on(it);
}

/* ---- delivered ------------------------------------------------------------------------------------------------------------ */

/* Their records go; so may the files, which nobody finds without them. In op->ids whether there may be such. */
static void outputs_gone(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, op->run.run);

	for (size_t i = 0; r && i < op->n_items; i++)
		if (op->ids[i] && op->items[i].last > op->items[i].base)        /* else `last` is that of the one before it in the place */
			output_remove(r, op->items[i].id, op->items[i].last);
}

static struct store_op *goodbye(struct map *m, size_t n)
{
	struct store_op *op = engine_op(m->run->e, ST_ITEMS_DELIVERED, m->run);

	op->items = xcalloc(n + 1, sizeof(*op->items));
	op->ids = xcalloc(n + 1, sizeof(*op->ids));
	op->done = outputs_gone;
	return op;
}

static void add_goodbye(struct store_op *op, const struct map_item *it, bool keep)
{
	struct store_item *si = &op->items[op->n_items];

	*si = record_of(it);
	si->delivered = keep;
	op->ids[op->n_items++] = !keep && !it->is_fileless;
}

static void post_goodbye(struct map *m, struct store_op *op)
{
	if (op->n_items)
		engine_post(m->run->e, op);
	else
		store_op_free(op);
}

void map_item_forget(struct map_item *it)
{
	struct map *m = it->map;
	struct store_op *op = goodbye(m, 1);

	if (it->stored)
		add_goodbye(op, it, false);
	map_item_free(it);
	post_goodbye(m, op);
}

/* What it wrote goes when another record has taken the place of its own, which takes the attempts along (ST_ITEM_NEW). */
void map_item_again(struct map_item *it)
{
	struct map *m = it->map;
	struct store_op *op = goodbye(m, 1);

	add_goodbye(op, it, false);
	op->items[0].tag = 0;
	begin_kept(it);
	post_goodbye(m, op);
}

static int deliver_one(struct map *m, const json_t *tag, struct store_op *op, struct req_error *err)
{
	struct map_item *it = json_is_integer(tag) && json_integer_value(tag) > 0 ? map_find(m, (uint64_t)json_integer_value(tag)) : NULL;

	if (!it || !it->claimed)
		return req_fail(err, "org.jobd.Refused", "item %" JSON_INTEGER_FORMAT " cannot be delivered: it is not in hand", json_integer_value(tag));
	if (it->state != ITEM_ENDED && it->state != ITEM_KNOWN)
		return req_fail(err, "org.jobd.Refused", "item %" PRIu64 " cannot be delivered: it has not ended", it->tag);
	if (it->stored)
		add_goodbye(op, it, map_is_named(m) && !it->cancelled);         /* what was cut off has no result: it is not known */
	map_item_free(it);
	m->n_delivered++;
	return 0;
}

int map_delivered(struct map *m, const json_t *tags, struct req_error *err)
{
	struct store_op *op = goodbye(m, json_array_size(tags));
	int rc = 0;

	for (size_t i = 0; i < json_array_size(tags) && rc == 0; i++)
		rc = deliver_one(m, json_array_get(tags, i), op, err);
	post_goodbye(m, op);
	run_wants(m->run);      /* some may have waited for it to be delivered */
	return rc;
}

/* ---- stopped ----------------------------------------------------------------------------------------------------------------- */

/* Nobody has heard of it: it ends here. */
static void end_asked(struct map_item *it)
{
	struct store_attempt none = { .exit_code = -1 };

	it->state = ITEM_ENDED;
	it->cancelled = it->failed = true;
	it->ended_at_us = now_us();
	map_input_gone(it);
	map_tell(it, &none, WHY_CANCELLED);
	map_read_on(it);
}

static void stop_list(struct map *m, struct item_list *list, bool now)
{
	struct map_item *it;

	TAILQ_FOREACH(it, list, link)
		if (it->state == ITEM_PUT)
			control_cancel_job(m->run, JOB_IDX(it->id), now);
		else if (it->state == ITEM_ASKED)
			end_asked(it);
}

void map_stop(struct map *m, bool now)
{
	m->stopped = true;
	stop_list(m, &m->items, now);
	stop_list(m, &m->others, now);
	run_wants(m->run);
}

/* ---- the end of the run --------------------------------------------------------------------------------------------------------- */

/* Of a map that may go on the results stay that were not delivered; what was cut off runs again. What nobody has asked for goes, unless the
 * client was stopped before it could. */
static bool stays(const struct map_item *it)
{
	return map_is_named(it->map) && (it->claimed || it->map->stopped) && it->stored && it->state == ITEM_ENDED && !it->cancelled;
}

static void forget_list(struct item_list *list, struct store_op *op)
{
	struct map_item *it;

	while ((it = TAILQ_FIRST(list))) {
		if (it->stored && !stays(it))
			add_goodbye(op, it, false);
		map_item_free(it);
	}
}

static void finish(struct map *m)
{
	struct store_op *op = goodbye(m, (size_t)m->n_places + m->n_items);
	enum run_state as = m->ends_as;
	struct run *r = m->run;

	forget_list(&m->others, op);
	forget_list(&m->items, op);
	post_goodbye(m, op);
	run_end(r, as);
}

void map_check_end(struct map *m)
{
	if (m->ending && !m->n_unended && !run_is_final(m->run))
		finish(m);
}

void map_end(struct map *m, enum run_state as)
{
	if (m->ending)
		return;
	m->ending = true;
	m->ends_as = m->stopped ? RUN_CANCELLED : as;
	if (m->n_unended)
		map_stop(m, false);
	map_check_end(m);
}
