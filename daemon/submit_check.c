/* SPDX-License-Identifier: MIT */
/* What may be asked of this daemon, and by whom: beside what a specification may say at all (proto/spec.h). */
#include <string.h>
#include <unistd.h>

#include "submit.h"

int submit_check_open(struct engine *e, struct req_error *err)
{
	const char *trouble = store_trouble(e->store);

	if (e->stopping || e->draining)
		return req_fail(err, "org.jobd.Busy", "jobd is shutting down: submit again when it is back");
	if (trouble)
		return req_fail(err, "org.jobd.DiskFull", "%s", trouble);
	return 0;
}

int submit_check_room(struct engine *e, size_t bytes, struct req_error *err)
{
	if (store_has_room(e->store, bytes))
		return 0;
	health_notice_disk(e);
	return req_fail(err, "org.jobd.DiskFull", "disk full: there is no room in %s for another %zu KiB of jobs; make some, and submit again",
			e->state_dir, bytes / 1024 + 1);
}

static const char *name_of(const struct spec_job *s)
{
	return s->path ? s->path : "(defaults)";
}

static int check_env_of_others(const struct spec_job *s, struct req_error *err)
{
	const char *name = s->user && strcmp(s->user, "root") != 0 ? env_refused_for_others(s) : NULL;

	if (!name)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": env: %s is not passed on to a job of another user (%.64s)", name_of(s), name, s->user);
	return req_at(err, "env", s->path);
}

/* Jobs of others are for root; the daemon runs a job as the run's owner. */
static int check_user(const struct run *r, const struct spec_job *s, struct req_error *err)
{
	if (!s->user && !s->group)
		return 0;
	if (r->uid == 0)
		return check_env_of_others(s, err);
	req_fail(err, "org.jobd.NotAllowed", "job \"%s\": only root may choose `user` or `group`", name_of(s));
	return req_at(err, s->user ? "user" : "group", s->path);
}

/* The environment to inherit from is that of jobctl, which has looked the names up; jobd has none to give. */
static int check_env_inherit(const struct spec_job *s, struct req_error *err)
{
	if (!s->n_env_inherit)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": env_inherit is for jobctl, which puts the values into env", name_of(s));
	return req_at(err, "env_inherit", s->path);
}

static int check_fetch(const struct engine *e, const struct spec_job *s, struct req_error *err)
{
	if (s->kind != SPEC_FETCH || access(e->fetch_program, X_OK) == 0)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": fetch cannot be done here: there is no %s, as this jobd was built without libcurl; use argv or shell",
		 s->path, e->fetch_program);
	return req_at(err, "fetch", s->path);
}

int submit_check_defaults(const struct run *r, struct req_error *err)
{
	const struct spec_job *s = &r->spec->base;

	return check_user(r, s, err) < 0 || check_env_inherit(s, err) < 0 ? -1 : 0;
}

int submit_check_job(const struct run *r, const struct spec_job *s, struct req_error *err)
{
	return check_user(r, s, err) < 0 || check_env_inherit(s, err) < 0 || check_fetch(r->e, s, err) < 0 ? -1 : 0;
}
