/* SPDX-License-Identifier: MIT */
/* Map - its memory: the template, places, items by tag and by key. See map.h. */
#include "map.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TABLE_MIN 64

/* ---- the command --------------------------------------------------------------------------------------------------- */

#define SHELL_ITEMS "\"$@\""

/* Of a text for sh -c every {} becomes "$@", and nothing else is touched: items are its parameters. */
static char *shell_text(const char *text)
{
	char *copy = xcalloc(strlen(text) / 2 + 1, sizeof(SHELL_ITEMS)), *to = copy;

	for (const char *place; (place = strstr(text, "{}")); text = place + 2)
		to = stpcpy(mempcpy(to, text, (size_t)(place - text)), SHELL_ITEMS);
	stpcpy(to, text);
	return copy;
}

/* The text itself is no template: a word without places stands where it goes. */
static struct jt_template *shell_template(const struct spec_map *set, struct jt_error *err)
{
	char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char[]){ "x" }, (char[]){ "sh" }, (char[]){ "{}" } };

	return jt_template_new(argv, set->item_on_stdin ? 4 : 5, JT_TEMPLATE_AS_IS, err);
}

static struct jt_template *template_of(const struct spec_map *set, struct jt_error *err)
{
	if (set->shell)
		return shell_template(set, err);
	return jt_template_new((char **)(uintptr_t)set->words.v, set->words.n, set->item_on_stdin ? JT_TEMPLATE_AS_IS : JT_TEMPLATE_APPEND, err);
}

static int read_command(const struct spec_map *set, struct jt_template **ret, char **ret_shell, struct req_error *err)
{
	struct jt_error je;
	struct jt_template *t = template_of(set, &je);

	if (!t) {
		snprintf(err->field, sizeof(err->field), "command.words_b64");
		return req_fail(err, "org.jobd.Refused", "%s", je.text);
	}
	*ret = t;
	*ret_shell = set->shell ? shell_text(set->words.v[0]) : NULL;
	return 0;
}

/* ---- the beginning and the end --------------------------------------------------------------------------------------- */

/* Never fewer: numbers that are taken stay with their attempts, also above a lower limit, so that none is there twice when it is raised. */
void map_slots_make(struct map *m, uint32_t n)
{
	if (n <= m->slots_cap)
		return;
	m->slot_taken = xrealloc(m->slot_taken, n);
	memset(m->slot_taken + m->slots_cap, 0, n - m->slots_cap);
	m->slots_cap = n;
}

int map_settings_changed(struct map *m, const struct spec_run *spec, struct req_error *err)
{
	struct jt_template *t;
	char *shell;

	if (read_command(spec->map, &t, &shell, err) < 0)
		return -1;
	jt_template_free(m->template);
	free(m->shell);
	m->template = t;
	m->shell = shell;
	m->set = spec->map;
	map_slots_make(m, spec->workers);
	return 0;
}

static void make_tables(struct map *m)
{
	size_t n = TABLE_MIN;

	while (n < m->set->window)
		n *= 2;
	m->mask = n - 1;
	m->tags = xcalloc(n, sizeof(*m->tags));
	m->keys = xcalloc(n, sizeof(*m->keys));
}

int map_new(struct run *r, struct req_error *err)
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->run = r;
	TAILQ_INIT(&m->items);
	TAILQ_INIT(&m->others);
	TAILQ_INIT(&m->untold);
	LIST_INIT(&m->readers);
	m->next_tag = 1;
	if (map_settings_changed(m, r->spec, err) < 0) {
		free(m);
		return -1;
	}
	make_tables(m);
	LIST_INSERT_HEAD(&r->e->maps, m, entry);
	r->map = m;
	return 0;
}

static void free_items(struct item_list *list)
{
	struct map_item *it;

	while ((it = TAILQ_FIRST(list)))
		map_item_free(it);
}

void map_free(struct map *m)
{
	if (!m)
		return;
	map_detach(m);
	free_items(&m->items);
	free_items(&m->others);
	LIST_REMOVE(m, entry);
	if (m->nobody)
		event_free(m->nobody);
	jt_template_free(m->template);
	free(m->shell);
	free(m->place);
	free(m->free_place);
	free(m->slot_taken);
	free(m->tags);
	free(m->keys);
	m->run->map = NULL;
	free(m);
}

bool map_is_named(const struct map *m)
{
	return m->run->name;
}

/* ---- items by tag and by key -------------------------------------------------------------------------------------------- */

static struct map_item **tag_chain(const struct map *m, uint64_t tag)
{
	return &m->tags[tag & m->mask];         /* they grow by one, nearly always */
}

static struct map_item **key_chain(const struct map *m, const uint8_t key[16])
{
	uint64_t x;

	memcpy(&x, key, sizeof(x));
	return &m->keys[x & m->mask];
}

struct map_item *map_find(const struct map *m, uint64_t tag)
{
	struct map_item *it = *tag_chain(m, tag);

	while (it && it->tag != tag)
		it = it->by_tag;
	return it;
}

struct map_item *map_find_key(const struct map *m, const uint8_t key[16])
{
	struct map_item *it = *key_chain(m, key);

	while (it && memcmp(it->key.bytes, key, sizeof(it->key.bytes)) != 0)
		it = it->by_key;
	return it;
}

static void put_tag(struct map_item *it)
{
	struct map_item **chain = tag_chain(it->map, it->tag);

	it->by_tag = *chain;
	*chain = it;
}

static void take_tag(struct map_item *it)
{
	struct map_item **p = tag_chain(it->map, it->tag);

	while (*p != it)
		p = &(*p)->by_tag;
	*p = it->by_tag;
}

static void put_key(struct map_item *it)
{
	struct map_item **chain = key_chain(it->map, it->key.bytes);

	it->by_key = *chain;
	*chain = it;
}

static void take_key(struct map_item *it)
{
	struct map_item **p = key_chain(it->map, it->key.bytes);

	while (*p != it)
		p = &(*p)->by_key;
	*p = it->by_key;
}

static void claim(struct map_item *it)
{
	struct map *m = it->map;

	it->claimed = true;
	TAILQ_INSERT_TAIL(&m->items, it, link);
	m->n_items++;
	m->undelivered += it->bytes;
	if (m->next_tag <= it->tag)
		m->next_tag = it->tag + 1;
}

struct map_item *map_item_new(struct map *m, uint64_t tag, uint64_t seq, const struct spec_item_key *key)
{
	struct map_item *it = xcalloc(1, sizeof(*it));

	it->map = m;
	it->tag = tag;
	it->seq = seq;
	it->key = *key;
	put_tag(it);
	if (key->given)
		put_key(it);
	claim(it);
	return it;
}

void map_item_disclaim(struct map_item *it)
{
	struct map *m = it->map;

	if (!it->claimed)
		return;
	it->claimed = false;
	TAILQ_REMOVE(&m->items, it, link);
	TAILQ_INSERT_TAIL(&m->others, it, link);
	m->n_others++;
	m->n_items--;
	m->undelivered -= it->bytes;
}

void map_item_claim(struct map_item *it, uint64_t tag, uint64_t seq)
{
	if (it->claimed)
		return;
	take_tag(it);
	it->tag = tag;
	it->seq = seq;
	put_tag(it);
	TAILQ_REMOVE(&it->map->others, it, link);
	it->map->n_others--;
	claim(it);
}

/* ---- places --------------------------------------------------------------------------------------------------------------- */

struct map_item *map_item_at(const struct map *m, jt_job place)
{
	return place < m->n_places ? m->place[place] : NULL;
}

static void make_room(struct map *m, jt_job place)
{
	size_t n = m->n_places ? m->n_places * 2 : 16;

	if (place < m->n_places)
		return;
	n = n > place ? n : (size_t)place + 1;
	m->place = xrealloc(m->place, n * sizeof(*m->place));
	memset(m->place + m->n_places, 0, (n - m->n_places) * sizeof(*m->place));
	m->free_place = xrealloc(m->free_place, n * sizeof(*m->free_place));
	m->n_places = n;
}

static jt_job new_place(struct map *m)
{
	struct run *r = m->run;
	struct jt_changes ch = { 0 };
	struct jt_error err;
	char path[16];
	int len = snprintf(path, sizeof(path), "%u", r->n_jobs + 1);
	struct jt_spec spec = { .path = path, .path_len = (size_t)len };
	jt_job j = JT_NONE;

	if (jt_sched_add(r->sched, &spec, 1, &j, &ch, &err) < 0)
		log_die("run %u: %s", r->id, err.text);
	jt_changes_done(&ch);
	*run_mem(r, j) = (struct job_mem){ 0 };
	r->n_jobs++;
	return j;
}

jt_job map_place_take(struct map *m)
{
	struct run *r = m->run;
	struct jt_error err;
	jt_job j;

	if (!m->n_free_places)
		return new_place(m);
	j = m->free_place[--m->n_free_places];
	if (jt_sched_renew(r->sched, j, &err) < 0)
		log_die("run %u: %s", r->id, err.text);
	*run_mem(r, j) = (struct job_mem){ .attempts = run_mem(r, j)->attempts };
	return j;
}

void map_place_set(struct map_item *it, jt_job place)
{
	struct map *m = it->map;

	make_room(m, place);
	m->place[place] = it;
	it->id = JOB_ID(m->run->id, place);
}

/* Free as well: a place of which a start finds that nothing is in it. */
void map_place_free(struct map *m, jt_job place)
{
	make_room(m, place);
	m->place[place] = NULL;
	m->free_place[m->n_free_places++] = place;
}

void map_item_free(struct map_item *it)
{
	struct map *m = it->map;

	map_untell(it);
	map_readers_drop(it);
	if (it->input == INPUT_TOLD)
		map_input_gone(it);
	take_tag(it);
	if (it->key.given)
		take_key(it);
	map_item_disclaim(it);
	TAILQ_REMOVE(&m->others, it, link);
	m->n_others--;
	if (map_item_at(m, JOB_IDX(it->id)) == it)
		map_place_free(m, JOB_IDX(it->id));
	free(it->text);
	free(it);
}
