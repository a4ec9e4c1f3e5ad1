/* SPDX-License-Identifier: MIT */
/*
 * vectors FILE... - run every record of the files (vectors.d/README.md tells their form) through the public interface of
 * libjobtree, and compare with what the reference did. `out` is read only after all events of a record are there.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"

struct event {
	int64_t at;
	char kind;
	jt_job job;
	int64_t ended;          /* F: when the job really ended */
};

struct play {
	json_t *in;
	struct jt_sched *s;
	struct event *ev;
	size_t n_ev;
	jt_job *at_path;        /* handles by place in `jobs` */
	int64_t *duration, *interval;
	enum jt_outcome *outcome;
	bool *crash;
	jt_job raised_by;
	bool refused;
	char why[1100];
	struct jt_sim_result result;
};

static const char *title;
static bool differs;

static void differ(const char *what, const char *want, const char *got)
{
	printf("%s: %s: want %s, got %s\n", title, what, want, got);
	differs = true;
}

/* ---- the record's `in` -> calls ---- */

static int64_t look_up(json_t *map, const char *job, int64_t otherwise)
{
	json_t *v = json_is_object(map) ? json_object_get(map, job) : NULL;
	return json_is_number(v) ? (int64_t)json_number_value(v) : otherwise;
}

static enum jt_outcome outcome_of(const char *name)
{
	static const struct { const char *name; enum jt_outcome o; } all[] = {
		{ "ok", JT_END_OK }, { "warn", JT_END_WARN }, { "skip", JT_END_SKIP }, { "fail", JT_END_FAIL },
		{ "abort", JT_END_ABORT }, { "crash", JT_END_ABORT },
	};
	for (size_t i = 0; name && i < sizeof(all) / sizeof(*all); i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].o;
	fprintf(stderr, "%s: outcome \"%s\" is not known\n", title, name ? name : "?");
	exit(2);
}

static int64_t duration_of(void *arg, jt_job j) { return ((struct play *)arg)->duration[j]; }
static int64_t interval_of(void *arg, jt_job j) { return ((struct play *)arg)->interval[j]; }
static enum jt_outcome outcome_cb(void *arg, jt_job j) { return ((struct play *)arg)->outcome[j]; }

static void on_start(void *arg, jt_job j, int64_t at)
{
	struct play *p = arg;
	p->ev[p->n_ev++] = (struct event){ at, 'S', j, at };
}

static void on_end(void *arg, jt_job j, int64_t at, int64_t ended)
{
	struct play *p = arg;
	if (p->outcome[j] == JT_END_ABORT)
		p->raised_by = j;
	if (!p->crash[j])               /* a body that raised has no end that was handled */
		p->ev[p->n_ev++] = (struct event){ at, 'F', j, ended };
}

static struct jt_opts opts_of(struct play *p)
{
	json_t *priority = json_object_get(p->in, "priority"), *interval = json_object_get(p->in, "interval");
	json_t *force = json_object_get(p->in, "force_barriers"), *barrier = json_object_get(p->in, "barrier");
	json_t *strict = json_object_get(p->in, "strict");
	const char *order = json_string_value(priority);
	struct jt_opts o = { .names = JT_NAMES_LOOSE, .slots = (uint32_t)json_integer_value(json_object_get(p->in, "workers")) };
	o.barrier = json_is_string(barrier) ? json_string_value(barrier) : NULL;
	o.order = order && strcmp(order, "depth") == 0 ? JT_BY_DEPTH : order && strcmp(order, "fifo") == 0 ? JT_BY_FIFO : JT_BY_PATH;
	o.barriers = json_is_false(force) ? JT_NO_BARRIERS : JT_BARRIERS;
	o.input = json_is_false(strict) ? JT_ANY_ORDER : JT_SORTED;
	if (json_is_object(interval)) {
		o.interval = interval_of;
		o.interval_arg = p;
	} else if (json_is_number(interval)) {
		o.interval_ns = (int64_t)json_number_value(interval);
	}
	return o;
}

static int add_jobs(struct play *p, json_t *jobs, struct jt_error *err)
{
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		json_t *job = json_array_get(jobs, i);
		const char *path = json_string_value(job);
		struct jt_spec spec = { .path = path, .path_len = json_string_length(job) };
		const char *outcome = json_string_value(json_object_get(json_object_get(p->in, "outcome"), path));
		spec.priority = (int32_t)look_up(json_object_get(p->in, "priority"), path, 0);
		if (jt_sched_add(p->s, &spec, 1, &p->at_path[i], NULL, err) < 0)
			return -1;
		jt_job j = p->at_path[i];
		p->duration[j] = look_up(json_object_get(p->in, "duration"), path,
					 look_up(p->in, "default_duration", 1));
		p->interval[j] = look_up(json_object_get(p->in, "interval"), path, 0);
		p->outcome[j] = outcome_of(outcome ? outcome : "ok");
		p->crash[j] = outcome && strcmp(outcome, "crash") == 0;
	}
	return 0;
}

static void play(struct play *p, json_t *in, json_t *jobs)
{
	size_t n = json_array_size(jobs) + 1;
	struct jt_error err = { 0 };
	*p = (struct play){ .in = in, .raised_by = JT_NONE };
	p->ev = calloc(2 * n, sizeof(*p->ev));
	p->at_path = calloc(n, sizeof(*p->at_path));
	p->duration = calloc(n, sizeof(*p->duration));
	p->interval = calloc(n, sizeof(*p->interval));
	p->outcome = calloc(n, sizeof(*p->outcome));
	p->crash = calloc(n, sizeof(*p->crash));
	struct jt_opts o = opts_of(p);
	struct jt_sim sim = { duration_of, outcome_cb, on_start, on_end, p, look_up(in, "terminate_at", JT_NEVER) };
	p->s = jt_sched_new(&o, &err);
	p->refused = !p->s || add_jobs(p, jobs, &err) < 0 || jt_sched_begin(p->s, NULL, &err) < 0 ||
		     jt_sim_run(p->s, &sim, &p->result, &err) < 0;
	snprintf(p->why, sizeof(p->why), "%s", err.text);
}

static void play_done(struct play *p)
{
	jt_sched_free(p->s);
	free(p->ev);
	free(p->at_path);
	free(p->duration);
	free(p->interval);
	free(p->outcome);
	free(p->crash);
}

/* ---- events -> JSON of the form of `out` ---- */

static const char *name_of(const struct play *p, jt_job j)
{
	return jt_job_path(p->s, j, NULL);
}

static json_t *events_json(const struct play *p, const char *kinds)
{
	json_t *v = json_array();
	for (size_t i = 0; i < p->n_ev; i++)
		if (strchr(kinds, p->ev[i].kind)) {
			char kind[2] = { p->ev[i].kind, 0 };
			json_t *e = json_array();
			json_array_append_new(e, json_integer(p->ev[i].at));
			json_array_append_new(e, json_string(kind));
			json_array_append_new(e, json_string(name_of(p, p->ev[i].job)));
			json_array_append_new(v, e);
		}
	return v;
}

static json_t *set_json(const struct play *p, bool started, bool ended)
{
	size_t n = jt_sched_counts(p->s)->total;
	unsigned char *seen = calloc(n + 1, 1);
	jt_job *order = calloc(n + 1, sizeof(*order));
	json_t *v = json_array();
	for (size_t i = 0; i < p->n_ev; i++)
		seen[p->ev[i].job] |= p->ev[i].kind == 'S' ? 1 : 2;
	n = jt_sched_list(p->s, NULL, 0, NULL, 0, order, n);
	for (size_t i = 0; i < n; i++) {
		bool s = seen[order[i]] & 1, f = seen[order[i]] & 2;
		if (s == started && (!started || ended || !f))
			json_array_append_new(v, json_string(name_of(p, order[i])));
	}
	free(seen);
	free(order);
	return v;
}

static json_t *earlier_json(const struct play *p)
{
	json_t *v = json_object();
	for (size_t i = 0; i < p->n_ev; i++)
		if (p->ev[i].kind == 'F' && p->ev[i].ended < p->ev[i].at)
			json_object_set_new(v, name_of(p, p->ev[i].job), json_integer(p->ev[i].ended));
	return v;
}

static json_t *result_json(const struct play *p)
{
	json_t *o = json_object();
	bool raised = p->raised_by != JT_NONE;
	json_object_set_new(o, "failed", json_boolean(p->result.result.failed));
	json_object_set_new(o, "raised", raised ? json_string(p->crash[p->raised_by] ? "crash" : "abort") : json_null());
	json_object_set_new(o, "raised_by", raised ? json_string(name_of(p, p->raised_by)) : json_null());
	json_object_set_new(o, "started", set_json(p, true, true));
	json_object_set_new(o, "never_started", set_json(p, false, false));
	json_object_set_new(o, "unprocessed", set_json(p, true, false));
	json_object_set_new(o, "events", events_json(p, "SF"));
	json_object_set_new(o, "starts", events_json(p, "S"));
	json_object_set_new(o, "ended_earlier", earlier_json(p));
	return o;
}

/* ---- comparing ---- */

static void compare(const char *what, json_t *want, json_t *got)
{
	if (json_equal(want, got))
		return;
	char *w = want ? json_dumps(want, JSON_ENCODE_ANY) : NULL, *g = json_dumps(got, JSON_ENCODE_ANY);
	differ(what, w ? w : "(nothing)", g ? g : "(nothing)");
	free(w);
	free(g);
}

static json_t *starts_of(json_t *events)
{
	json_t *v = json_array(), *e;
	size_t i;
	json_array_foreach(events, i, e)
		if (strcmp(json_string_value(json_array_get(e, 1)), "S") == 0)
			json_array_append(v, e);
	return v;
}

static bool tagged(json_t *record, const char *tag)
{
	json_t *t;
	size_t i;
	json_array_foreach(json_object_get(record, "tags"), i, t)
		if (json_is_string(t) && strcmp(json_string_value(t), tag) == 0)
			return true;
	return false;
}

static void compare_out(json_t *record, json_t *got)
{
	static const char *const sets[] = { "failed", "raised", "raised_by", "started", "never_started", "unprocessed" };
	json_t *out = json_object_get(record, "out"), *none = json_object(), *starts = starts_of(json_object_get(out, "events"));
	json_t *earlier = json_object_get(out, "ended_earlier");
	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
		compare(sets[i], json_object_get(out, sets[i]), json_object_get(got, sets[i]));
	/* The tie rules are the library's as well, so that the lists agree even where they are not forced. */
	compare("starts", starts, json_object_get(got, "starts"));
	compare("events", json_object_get(out, "events"), json_object_get(got, "events"));
	if (json_is_object(earlier) || !earlier)
		compare("ended_earlier", earlier ? earlier : none, json_object_get(got, "ended_earlier"));
	json_decref(none);
	json_decref(starts);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

/* What the sorted list gives: there is nothing in the file to compare an unsorted one with. */
static void compare_sorted(json_t *in, json_t *jobs, json_t *got)
{
	size_t n = json_array_size(jobs);
	json_t **v = calloc(n + 1, sizeof(*v)), *sorted = json_array();
	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(jobs, i);
	qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++)
		json_array_append(sorted, v[i]);
	struct play p;
	play(&p, in, sorted);
	json_t *want = p.refused ? json_null() : result_json(&p);
	compare("hazard: as the sorted list", want, got);
	play_done(&p);
	json_decref(want);
	json_decref(sorted);
	free(v);
}

static void check_record(json_t *record)
{
	json_t *in = json_object_get(record, "in");
	struct play p;
	play(&p, in, json_object_get(in, "jobs"));
	json_t *got = p.refused ? NULL : result_json(&p);
	bool refuse = json_object_get(json_object_get(record, "out"), "error") || tagged(record, "degenerate") || tagged(record, "defect");
	if (refuse && !p.refused)
		differ("refusal", "a refusal", "none");
	else if (!refuse && p.refused)
		differ("refusal", "none", p.why);
	else if (!refuse && tagged(record, "hazard"))
		compare_sorted(in, json_object_get(in, "jobs"), got);
	else if (!refuse)
		compare_out(record, got);
	json_decref(got);
	play_done(&p);
}

static int check_file(const char *path, int *n_passed, int *n_failed)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	if (!f) {
		perror(path);
		return -1;
	}
	for (ssize_t len; (len = getline(&line, &cap, f)) > 0;) {
		json_error_t why;
		if (strspn(line, " \t\r\n") == (size_t)len)
			continue;
		json_t *record = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, &why);
		title = json_is_string(json_object_get(record, "id")) ? json_string_value(json_object_get(record, "id")) : path;
		differs = false;
		if (record)
			check_record(record);
		else
			differ("record", "JSON", why.text);
		*(differs ? n_failed : n_passed) += 1;
		json_decref(record);
	}
	free(line);
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, unread = 0;
	for (int i = 1; i < argc; i++)
		unread |= check_file(argv[i], &passed, &failed);
	printf("%d passed, %d failed\n", passed, failed);
	return failed || unread || argc < 2;
}
