/* SPDX-License-Identifier: MIT */
/* What was added, as it was added: paths one after the other in one piece of memory, and what is rare beside them. */
#include "tree.h"

int jti_room(void *v, size_t *cap, size_t n, size_t size)
{
	if (n <= *cap)
		return 0;
	size_t want = *cap + *cap / 2 > n ? *cap + *cap / 2 : n;
	if (want < 16)
		want = 16;
	if (want > SIZE_MAX / size)
		return -1;
	void *old;
	memcpy(&old, v, sizeof(old));
	void *p = realloc(old, want * size);
	if (!p)
		return -1;
	memcpy(v, &p, sizeof(p));
	*cap = want;
	return 0;
}

static int jobs_room(struct jt_sched *s)
{
	if (s->n_jobs + 1 < s->jobs_cap)
		return 0;
	size_t cap = s->jobs_cap < 1024 ? 1024 : (size_t)s->jobs_cap * 3 / 2;
	uint64_t *off = realloc(s->off, (cap + 1) * sizeof(*off));
	if (!off)
		return -1;
	s->off = off;
	if (s->prio) {
		int32_t *prio = realloc(s->prio, cap * sizeof(*prio));
		if (!prio)
			return -1;
		s->prio = prio;
	}
	if (s->when) {
		uint8_t *when = realloc(s->when, cap);
		if (!when)
			return -1;
		s->when = when;
	}
	s->jobs_cap = (uint32_t)cap;
	return 0;
}

/* The rare facts get their array when the first job has one. */
static int rare_room(struct jt_sched *s, const struct jt_spec *spec)
{
	if (spec->priority && !s->prio && !(s->prio = calloc(s->jobs_cap, sizeof(*s->prio))))
		return -1;
	if (spec->when != JT_ON_SUCCESS && !s->when && !(s->when = calloc(s->jobs_cap, 1)))
		return -1;
	return jti_room(&s->wishes, &s->wishes_cap, s->n_wishes + spec->n_after, sizeof(*s->wishes));
}

static int wishes_add(struct jt_sched *s, const struct jt_spec *spec)
{
	for (size_t i = 0; i < spec->n_after; i++) {
		size_t len = strlen(spec->after[i]);
		if (jti_room(&s->wish_text, &s->wish_text_cap, s->wish_text_n + len + 1, 1) < 0)
			return -1;
		memcpy(s->wish_text + s->wish_text_n, spec->after[i], len + 1);
		s->wishes[s->n_wishes++] = (struct wish){ s->n_jobs, s->wish_text_n, (uint32_t)len };
		s->wish_text_n += len + 1;
	}
	return 0;
}

int jti_names_add(struct jt_sched *s, const struct jt_spec *spec, struct jt_error *err)
{
	size_t end = s->names_n + spec->path_len + 1;
	if (s->n_jobs >= (1u << 29))
		return jti_fail(err, JT_ELIMIT, JT_NONE, "a tree holds at most %u jobs", 1u << 29);
	if (jobs_room(s) < 0 || rare_room(s, spec) < 0 || jti_room(&s->names, &s->names_cap, end, 1) < 0 || wishes_add(s, spec) < 0)
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory after %u jobs", s->n_jobs);
	memcpy(s->names + s->names_n, spec->path, spec->path_len);
	s->names[end - 1] = 0;
	if (s->prio)
		s->prio[s->n_jobs] = spec->priority;
	if (s->when)
		s->when[s->n_jobs] = (uint8_t)spec->when;
	s->off[s->n_jobs++] = s->names_n;
	s->off[s->n_jobs] = end;
	s->names_n = end;
	return 0;
}
